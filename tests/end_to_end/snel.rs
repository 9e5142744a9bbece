//! Running the binary in a folder of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output as Raw, Stdio};
use std::time::{Duration, Instant};

/// A small run that takes well under a second: two-dimensional rings, a narrow network.
pub(crate) const SMALL: &str = r#"
[data]
toy = "rings"
rows = 600

[model]
depth = 2
width = 12

[train]
steps = 120
batch = 64
samples = 300
valid_every = 40
valid_samples = 1000
checkpoint_every = 20

[eval]
samples = 2000

[output]
report = false
"#;

/// A temporary folder with configs, data and runs.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// What the program left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A place whose `small.toml` is [`SMALL`].
    pub(crate) fn with_small() -> Self {
        let place = Self::new();
        place.write("small.toml", SMALL);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snel"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs `snel args` here, to the end.
    pub(crate) fn snel(&self, args: &[&str]) -> Output {
        Output::of(self.command(args).output().unwrap())
    }

    /// Runs it and expects success.
    pub(crate) fn ok(&self, args: &[&str]) -> Output {
        let output = self.snel(args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output
    }

    /// Starts `snel args` here.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

impl Output {
    /// A panic of the program fails the test, whatever else is expected.
    pub(crate) fn of(raw: Raw) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&raw.stdout), text(&raw.stderr));
        assert!(!stderr.contains("panicked at"), "{stderr}");
        Self { code: raw.status.code().unwrap_or(-1), stdout, stderr }
    }

    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Fails unless the exit code is `code` and stderr holds every one of `words`.
    pub(crate) fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(
            self.stderr.starts_with("error: ") || self.stderr.contains("\nerror: "),
            "{self:?}"
        );
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {}", self.stderr);
        }
    }
}

/// Waits until `path` exists; a minute is for machines that do much else.
pub(crate) fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} did not appear", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends `signal` (a name such as `INT`) to a child.
pub(crate) fn signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([OsStr::new("-s"), signal.as_ref(), id.as_ref()])
            .status()
            .unwrap()
            .success()
    );
}

/// Children of `parent` whose first argument is `role`.
pub(crate) fn children(parent: &Child, role: &str) -> Vec<String> {
    let id = parent.id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().into_string().ok()?;
        pid.parse::<u32>().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let is_child = stat.rsplit(") ").next()?.split(' ').nth(1)? == id;
        (is_child && command.split('\0').nth(1)? == role).then_some(pid)
    });
    processes.collect()
}
