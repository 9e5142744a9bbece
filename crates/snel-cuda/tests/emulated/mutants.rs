//! Every barrier and every wait is needed: kernels that lack one are caught, by a report of the
//! emulator or by other bits for some schedule of the threads.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use snel_core::chunks::ChunkSet;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::partial::{Partial, StepError};
use snel_core::philox::Stream;
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::Base;
use snel_cuda::{CudaEngine, Placement, Settings};

use crate::cases::{Case, bytes, densities, diagonal, empty, rows, small};
use crate::compilation::{available, changed_kernels, kernels};
use crate::emulator::Emulator;

/// Statements whose removal must show.
const WAITS: [&str; 3] = ["__syncthreads();", "__syncwarp();", "wait_for_copies();"];
/// Schedules that are tried before a mutant counts as unharmed.
const SEEDS: u64 = 12;

/// Values of a point: more than one thread draws.
const DIM: usize = 5;

/// A mixture with triangular scales, so that sampling has all its phases; residual layers, so that
/// backward has all of its own.
fn case() -> Case {
    let mixture = densities(DIM).pop().unwrap();
    let base = snel_core::density::Density::Gaussian { at: diagonal(DIM) };
    Case {
        dim: DIM,
        widths: vec![40, 40, 40],
        proposal: mixture,
        base: Base::Density(base),
        ..Case::new()
    }
}

/// The settings under which the waits of a file are met. Weights and tile in shared memory; points and
/// columns that no single warp has; or layer by layer, several chunks a block.
fn settings(file: &str) -> Settings {
    let placement =
        Placement { weights_shared: true, tiles_shared: true, sums_in_registers: false };
    let layerwise = file.starts_with("layerwise");
    Settings {
        blocks: Some(2),
        placement: (!layerwise).then_some(placement),
        tile: Some(48),
        layerwise: Some(layerwise),
        ..small()
    }
}

/// More chunks than blocks, of two tiles each.
fn plan(scale: i32) -> StepPlan {
    Batching { batch: 70, samples: 200, per_row: false, chunk: 60, total_rows: 200, seed: 5 }
        .plan(2, scale)
}

fn sums(engine: &mut CudaEngine<Emulator>, scale: i32) -> Result<Partial, String> {
    let plan = plan(scale);
    let mut partial = empty(&case().problem(), &plan);
    let all = ChunkSet::of(0..plan.n_chunks());
    let done = engine.accumulate(&plan, &all, &mut partial);
    done.map(|()| partial).map_err(|error| format!("{error:?}"))
}

/// Everything that the kernels compute under the settings of `file`, or the report of a failure. The
/// step is made twice: at a scale that holds all, and at `edge`.
fn outcome(sources: &Path, file: &str, seed: u64, edge: i32) -> Result<Vec<u8>, String> {
    let case = case();
    let device = Emulator::new(seed).with_sources(sources.to_owned());
    let engine = CudaEngine::new(case.problem(), rows(case.dim), device, &settings(file));
    let mut engine = engine.map_err(|error| format!("{error:?}"))?;
    engine.restore(&case.state()).unwrap();
    let mut out = bytes(&sums(&mut engine, 30)?);
    out.extend(bytes(&sums(&mut engine, edge)?));
    let mut x = vec![0.0; DIM * 250];
    let mut scored = vec![Scored::default(); 500];
    let (drawn, given) = scored.split_at_mut(250);
    let set = SampleSet { stream: Stream::Validation, step: 1 };
    engine.score_samples(set, 0..250, &mut x, drawn);
    engine.score(&x, given);
    out.extend(x.iter().flat_map(|v| v.to_bits().to_le_bytes()));
    let values = scored.iter().flat_map(|s| [s.energy, s.log_base, s.log_proposal]);
    out.extend(values.flat_map(|v| v.to_bits().to_le_bytes()));
    let applied = match sums(&mut engine, 30)?.reduce() {
        Ok(reduced) => engine.apply(&reduced),
        Err(error) => return Err(format!("{error:?}")),
    };
    out.extend(applied.gradient_norm.to_bits().to_le_bytes());
    out.extend(engine.digest().to_le_bytes());
    Ok(out)
}

/// The scale at which a chunk's largest value does not fit, and values of half its size do: one
/// thread knows that the chunk must be left out.
fn edge() -> i32 {
    let case = case();
    let mut engine = case.engine(Emulator::new(0), &settings(""));
    let partial = sums(&mut engine, 90).unwrap();
    let Err(StepError::Overflow { largest, .. }) = partial.reduce() else { panic!("it fits") };
    90 + (partial.limit().log2() - f64::from(largest).log2().floor()) as i32
}

/// The kernels without the wait in line `line` of `file`.
fn mutant(number: usize, file: &Path, line: usize) -> PathBuf {
    let name = file.file_name().unwrap().to_str().unwrap();
    changed_kernels(&format!("mutants/{number}"), name, |text| {
        let without = |(i, l): (usize, &str)| match WAITS.iter().find(|w| l.contains(**w)) {
            Some(wait) if i == line => l.replace(wait, "(void)0;"),
            _ => l.to_owned(),
        };
        text.lines().enumerate().map(without).collect::<Vec<_>>().join("\n")
    })
}

/// File and line of every wait in the kernels.
fn waits() -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(kernels()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|f| f.is_file() && !f.ends_with("primitives.cuh")) {
        let text = fs::read_to_string(file).unwrap();
        let lines = text.lines().enumerate();
        let waiting = lines.filter(|(_, l)| WAITS.iter().any(|wait| l.contains(wait)));
        found.extend(waiting.map(|(i, _)| (file.clone(), i)));
    }
    found
}

#[test]
fn every_wait_is_needed() {
    if !available() {
        return;
    }
    let edge = edge();
    let [tiles, layers] = ["", "layerwise"].map(|file| {
        let right = outcome(&kernels(), file, 0, edge).unwrap();
        for seed in 1..SEEDS {
            assert_eq!(outcome(&kernels(), file, 100 * seed, edge).as_ref(), Ok(&right), "{seed}");
        }
        right
    });
    let waits = waits();
    // A change of spelling must not make this test empty.
    assert!(waits.len() >= 10, "{waits:?}");
    // The wait that is next, and those that no schedule missed.
    let (next, unharmed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some((file, line)) = waits.get(number)
        {
            let name = file.file_name().unwrap().to_str().unwrap();
            let right = if name.starts_with("layerwise") { &layers } else { &tiles };
            let sources = mutant(number, file, *line);
            let mut outcomes = (0..SEEDS).map(|seed| outcome(&sources, name, 100 * seed, edge));
            let at = format!("{name}:{}", line + 1);
            match outcomes.find(|found| found.as_ref() != Ok(right)) {
                Some(Ok(_)) => println!("{at}: other bits"),
                Some(Err(report)) => println!("{at}: {report}"),
                None => unharmed.lock().unwrap().push(at),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let unharmed = unharmed.into_inner().unwrap();
    assert!(unharmed.is_empty(), "not missed: {unharmed:?}");
}
