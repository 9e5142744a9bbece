//! Running the binary.

use std::process::Command;

/// A command line under construction.
pub(crate) struct Snel {
    command: Command,
}

/// What the program left.
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Snel {
    pub(crate) fn new() -> Self {
        Self { command: Command::new(env!("CARGO_BIN_EXE_snel")) }
    }

    pub(crate) fn args<A: AsRef<std::ffi::OsStr>>(
        mut self,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.command.args(args);
        self
    }

    /// Runs to the end. A panic of the program fails the test, whatever else is expected.
    pub(crate) fn run(mut self) -> Output {
        let output = self.command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(!stderr.contains("panicked at"), "{stderr}");
        Output { code: output.status.code().unwrap_or(-1), stdout, stderr }
    }
}
