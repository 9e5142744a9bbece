//! `snel doctor`.

use std::path::PathBuf;

use serde::Serialize;
use snel_cpu::InstructionSet;
use snel_cuda::driver::cache::Cache;
use snel_cuda::driver::gpus;
use snel_cuda::driver::library::Library;
use snel_cuda::driver::target::OLDEST;
use snel_cuda::nccl;
use snel_cuda::nccl::LoadError;

use crate::args::DoctorArgs;
use crate::exit::Exit;
use crate::output::{bytes, json, out, table};

/// What this machine has.
#[derive(Serialize)]
struct Document {
    version: &'static str,
    system: String,
    cores: usize,
    /// Those that the engine is compiled for, the one in use first.
    instruction_sets: Vec<String>,
    gpus: Vec<Gpu>,
    /// Why GPUs could not be listed.
    gpus_unknown: Option<String>,
    /// Version of the NVIDIA driver's kernel module.
    driver: Option<String>,
    libraries: Vec<Part>,
    kernel_cache: Option<PathBuf>,
    scratch: PathBuf,
}

/// A GPU.
#[derive(Serialize)]
struct Gpu {
    index: u32,
    name: String,
    memory_bytes: u64,
    compute_capability: String,
    multiprocessors: u32,
    /// The kernels run on GPUs of its capability.
    usable: bool,
}

/// A library, or how to get it.
#[derive(Serialize)]
struct Part {
    name: &'static str,
    purpose: &'static str,
    found: bool,
    path: Option<PathBuf>,
    version: Option<String>,
    /// What newer versions can do, and this one can.
    abilities: Vec<&'static str>,
    /// Why it is not found.
    fault: Option<String>,
    remedy: Option<String>,
}

pub(crate) fn run(args: &DoctorArgs) -> Exit {
    let document = examine();
    if args.json {
        json(&document);
    } else {
        print(&document);
    }
    Exit::Done
}

fn examine() -> Document {
    let (gpus, gpus_unknown) = match gpus() {
        Ok(gpus) => (gpus, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let gpus = gpus.into_iter().map(|gpu| Gpu {
        index: gpu.index,
        memory_bytes: gpu.memory_bytes,
        compute_capability: gpu.capability.to_string(),
        multiprocessors: gpu.multiprocessors,
        usable: gpu.capability >= OLDEST,
        name: gpu.name,
    });
    Document {
        version: env!("CARGO_PKG_VERSION"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        instruction_sets: InstructionSet::present().iter().map(ToString::to_string).collect(),
        gpus: gpus.collect(),
        gpus_unknown,
        driver: kernel_module(),
        libraries: Library::ALL.into_iter().map(library).chain([nccl()]).collect(),
        kernel_cache: Cache::of_user().map(|cache| cache.folder().to_path_buf()),
        scratch: std::env::temp_dir(),
    }
}

fn library(library: Library) -> Part {
    let found = library.find();
    Part {
        name: library.name(),
        purpose: library.purpose(),
        found: found.is_ok(),
        abilities: Vec::new(),
        remedy: found.is_err().then(|| library.remedy().to_owned()),
        fault: found.as_ref().err().map(|missing| missing.looked_for.clone()),
        path: found.as_ref().ok().and_then(|f| f.path.clone()),
        version: found.ok().and_then(|f| f.version),
    }
}

/// NCCL, as a run would load it.
fn nccl() -> Part {
    let found = nccl::Library::load();
    let purpose =
        "sums between GPUs, for `snel worker --nccl`; else sums go through the coordinator";
    let mut part = Part {
        name: "NCCL",
        purpose,
        found: found.is_ok(),
        path: None,
        version: None,
        abilities: Vec::new(),
        fault: None,
        remedy: None,
    };
    match found {
        Ok(library) => {
            let can = library.abilities();
            let all = [("shrink", can.shrink), ("revoke", can.revoke), ("grow", can.grow)];
            part.abilities =
                all.into_iter().filter(|(_, can)| *can).map(|(name, _)| name).collect();
            part.path = library.path();
            part.version = Some(library.version().to_string());
        }
        Err(error) => {
            part.fault = Some(match error {
                LoadError::NotFound { tried } => tried,
                unfit => unfit.to_string(),
            });
            part.remedy = Some(LoadError::remedy());
        }
    }
    part
}

/// The version of the driver that is loaded into the Linux kernel.
fn kernel_module() -> Option<String> {
    let version = std::fs::read_to_string("/sys/module/nvidia/version").ok()?;
    Some(version.trim().to_owned())
}

fn print(document: &Document) {
    out(&format!("snel {} on {}", document.version, document.system));
    let sets = format!("{} (the first is used)", document.instruction_sets.join(", "));
    let mut rows = vec![("cores", document.cores.to_string()), ("instruction sets", sets)];
    rows.extend(document.gpus.iter().map(|gpu| ("GPU", described(gpu))));
    if document.gpus.is_empty() {
        let unknown = document.gpus_unknown.is_some();
        let why = if unknown { "none that is known" } else { "none that the driver shows" };
        rows.push(("GPU", format!("{why}: it computes on the CPU")));
    }
    rows.extend(document.driver.iter().map(|version| ("driver version", version.clone())));
    rows.extend(document.libraries.iter().map(|library| (library.name, place(library))));
    let cache = document.kernel_cache.as_ref().map(|folder| folder.display().to_string());
    let cache = cache.unwrap_or_else(|| "nowhere".to_owned());
    rows.push(("GPU kernels are kept in", format!("{cache} (set SNEL_CACHE_DIR to change)")));
    let scratch = document.scratch.display();
    rows.push(("scratch files go to", format!("{scratch} (set TMPDIR to change)")));
    table(&rows);
    for missing in document.libraries.iter().filter(|library| !library.found) {
        out("");
        out(&format!("{} {}.", missing.name, missing.purpose));
        out(&format!("Not found: {}.", missing.fault.as_deref().unwrap_or_default()));
        out(&format!("To get it: {}.", missing.remedy.as_deref().unwrap_or_default()));
    }
}

fn described(gpu: &Gpu) -> String {
    let Gpu { index, name, compute_capability, multiprocessors, .. } = gpu;
    let memory = bytes(gpu.memory_bytes);
    let remark = if gpu.usable {
        String::new()
    } else {
        format!("; too old for the kernels, which need {OLDEST}")
    };
    format!(
        "cuda:{index}, {name}, {memory}, compute capability {compute_capability}, \
         {multiprocessors} multiprocessors{remark}"
    )
}

fn place(library: &Part) -> String {
    let path = library.path.as_ref().map(|path| path.display().to_string());
    let abilities = match &library.abilities[..] {
        [] => String::new(),
        all => format!(" (can {})", all.join(", ")),
    };
    match (&library.version, path) {
        _ if !library.found => "not found".to_owned(),
        (Some(version), Some(path)) => format!("{version} in {path}{abilities}"),
        (Some(version), None) => format!("{version}{abilities}"),
        (None, Some(path)) => path,
        (None, None) => "found".to_owned(),
    }
}
