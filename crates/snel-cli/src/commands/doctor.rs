//! `snel doctor`.

use serde::Serialize;
use snel_cpu::InstructionSet;

use crate::args::DoctorArgs;
use crate::exit::Exit;
use crate::output::{json, out, table};

/// What this machine has.
#[derive(Serialize)]
struct Document {
    version: &'static str,
    system: String,
    cores: usize,
    /// Those that the engine is compiled for, the one in use first.
    instruction_sets: Vec<String>,
    cuda: &'static str,
    scratch: String,
}

pub(crate) fn run(args: &DoctorArgs) -> Exit {
    let document = Document {
        version: env!("CARGO_PKG_VERSION"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        instruction_sets: InstructionSet::present().iter().map(ToString::to_string).collect(),
        cuda: "this build has no CUDA engine: it computes on the CPU",
        scratch: std::env::temp_dir().display().to_string(),
    };
    if args.json {
        json(&document);
        return Exit::Done;
    }
    out(&format!("snel {} on {}", document.version, document.system));
    table(&[
        ("cores", document.cores.to_string()),
        (
            "instruction sets",
            format!("{} (the first is used)", document.instruction_sets.join(", ")),
        ),
        ("CUDA", document.cuda.to_owned()),
        ("scratch files go to", format!("{} (set TMPDIR to change)", document.scratch)),
    ]);
    Exit::Done
}
