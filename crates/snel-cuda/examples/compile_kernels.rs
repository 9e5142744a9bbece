//! Compiles kernels as the engine does, for looking at the machine code: no GPU needed.
//!
//! ```text
//! compile_kernels KERNELS LIST OUT ARCHITECTURE...
//! ```
//!
//! `KERNELS` is a folder of one `.cu` and its `.cuh`; `LIST` has a line of `-DNAME=VALUE` for each
//! specialisation, and `#` begins a remark; words without `-D` are for whoever reads the results.
//! `OUT` gets `LINE.sm_ARCHITECTURE.cubin`. Ends with 1 if anything does not compile, and says what.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use snel_cuda::device::Program;
use snel_cuda::driver::compilation::Compilation;
use snel_cuda::driver::nvrtc::Nvrtc;
use snel_cuda::driver::target::Target;

type Failure = Box<dyn Error + Send + Sync>;

/// A specialisation for an architecture.
struct Job {
    line: usize,
    target: Target,
    program: Program,
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<bool, Failure> {
    let [kernels, list, out, architectures @ ..] = arguments else {
        return Err("usage: compile_kernels KERNELS LIST OUT ARCHITECTURE...".into());
    };
    let files = files(Path::new(kernels))?;
    let sources: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let jobs = jobs(&std::fs::read_to_string(list)?, architectures)?;
    std::fs::create_dir_all(out)?;
    let compiler = Nvrtc::load()?;
    let (jobs, failed) = (Mutex::new(jobs), Mutex::new(false));
    let next = || jobs.lock().ok()?.pop();
    let work = || {
        while let Some(job) = next() {
            let Job { line, target, program } = &job;
            let (name, began) = (format!("{line}.{}", target.architecture()), Instant::now());
            let version = compiler.version();
            let (sources, target) = (sources.as_slice(), *target);
            let compilation = Compilation { sources, program, target, compiler: version };
            let saved = compiler.compile(&compilation).map_err(Failure::from).and_then(|image| {
                Ok(std::fs::write(Path::new(out).join(format!("{name}.cubin")), image)?)
            });
            match saved {
                Ok(()) => println!("{name}: {:.1} s", began.elapsed().as_secs_f64()),
                Err(error) => {
                    eprintln!("{name}: {error}");
                    failed.lock().map(|mut failed| *failed = true).unwrap_or_default();
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    Ok(!failed.into_inner().unwrap_or(true))
}

/// The `.cu` and `.cuh` files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "cu" || e == "cuh") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

fn jobs(list: &str, architectures: &[String]) -> Result<Vec<Job>, Failure> {
    let mut jobs = Vec::new();
    for (index, line) in list.lines().enumerate() {
        let words = line.split('#').next().unwrap_or_default().split_whitespace();
        let defined = words.filter_map(|word| word.strip_prefix("-D"));
        let pair = |word: &str| {
            let (name, value) = word.split_once('=').unwrap_or((word, "1"));
            (name.to_owned(), value.to_owned())
        };
        let definitions: Vec<_> = defined.map(pair).collect();
        if definitions.is_empty() {
            continue;
        }
        for architecture in architectures {
            let target = Target::Machine(architecture.parse()?);
            let program = Program { definitions: definitions.clone() };
            jobs.push(Job { line: index + 1, target, program });
        }
    }
    // Taken from the end.
    jobs.reverse();
    Ok(jobs)
}
