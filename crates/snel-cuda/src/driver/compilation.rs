//! All that machine code depends on: sources, definitions, options, architecture, compiler.
//!
//! Invariant: two compilations with equal [`Compilation::key`]s give the same code. Whatever else is
//! handed to the compiler one day belongs into the key.

use sha2::{Digest, Sha256};

use super::target::Target;
use crate::device::Program;

/// Files by name: one ending in `.cu`, and what it includes.
pub type Sources<'a> = &'a [(&'a str, &'a str)];

/// Options that every kernel is compiled with.
///
/// The arithmetic is IEEE's, and products and sums are fused where the sources say `fmaf` and nowhere
/// else, so that the same source gives the same normals and log-densities on a CPU.
pub const OPTIONS: [&str; 7] = [
    "--std=c++17",
    // Lambdas carry no `__device__`.
    "--device-as-default-execution-space",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--fmad=false",
    // Lets profilers and sanitizers name lines; the code is the same without it.
    "--generate-line-info",
];

/// One thing to compile.
#[derive(Debug, Clone, Copy)]
pub struct Compilation<'a> {
    /// Files.
    pub sources: Sources<'a>,
    /// Macros.
    pub program: &'a Program,
    /// For what.
    pub target: Target,
    /// Version of the compiler.
    pub compiler: (u32, u32),
}

impl<'a> Compilation<'a> {
    /// The file that is compiled: the first whose name ends in `.cu`.
    pub fn main(&self) -> Option<(&'a str, &'a str)> {
        self.sources.iter().copied().find(|(name, _)| is_main(name))
    }

    /// The files that it may include.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.sources.iter().copied().filter(|(name, _)| !is_main(name))
    }

    /// The compiler's command line.
    pub fn options(&self) -> Vec<String> {
        let mut options = vec![format!("--gpu-architecture={}", self.target.architecture())];
        options.extend(OPTIONS.map(str::to_owned));
        let defined = |(name, value): &(String, String)| format!("--define-macro={name}={value}");
        options.extend(self.program.definitions.iter().map(defined));
        options
    }

    /// The name under which the result is kept: 64 hexadecimal digits.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        // A length before each text, or two lists of texts could read the same.
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        add("kernels 1");
        add(&format!("nvrtc {}.{}", self.compiler.0, self.compiler.1));
        add(&self.options().len().to_string());
        self.options().iter().for_each(|option| add(option));
        for (name, text) in self.sources {
            add(name);
            add(text);
        }
        super::cache::hexadecimal(&hash.finalize())
    }
}

fn is_main(name: &str) -> bool {
    name.strip_suffix(".cu").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(definitions: &[(&str, &str)]) -> Program {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Program { definitions: definitions.iter().map(own).collect() }
    }

    #[test]
    fn nothing_that_changes_code_leaves_the_key_as_it_was() {
        let wide = program(&[("WIDTH", "128")]);
        let narrow = program(&[("WIDTH", "12"), ("DEPTH", "8")]);
        let base = Compilation {
            sources: &[("a.cu", "int a;"), ("b.cuh", "int b;")],
            program: &wide,
            target: Target::Machine(90),
            compiler: (13, 0),
        };
        let keys = [
            base.key(),
            Compilation { program: &narrow, ..base }.key(),
            Compilation { target: Target::Machine(80), ..base }.key(),
            Compilation { target: Target::Ptx(90), ..base }.key(),
            Compilation { compiler: (12, 9), ..base }.key(),
            Compilation { sources: &[("a.cu", "int a;"), ("b.cuh", "int c;")], ..base }.key(),
            Compilation { sources: &[("a.cu", "int a;b.cuh"), ("", "int b;")], ..base }.key(),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(key.len(), 64);
            assert!(!keys[..i].contains(key), "{i}");
        }
        assert_eq!(base.key(), keys[0]);
    }

    #[test]
    fn arithmetic_is_never_relaxed() {
        let wide = program(&[("WIDTH", "128")]);
        let target = Target::Machine(90);
        let options =
            Compilation { sources: &[], program: &wide, target, compiler: (13, 0) }.options();
        assert!(options.iter().all(|o| !o.contains("fast")), "{options:?}");
        for option in ["--gpu-architecture=sm_90a", "--fmad=false", "--define-macro=WIDTH=128"] {
            assert!(options.iter().any(|o| o == option), "{option} in {options:?}");
        }
    }
}
