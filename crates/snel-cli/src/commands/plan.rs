//! `snel plan`.

use snel_train::config::Config;
use snel_train::cost::Cost;
use snel_train::run_report::{networks, proposal};
use snel_train::setup::prepare;

use super::render;
use crate::args::PlanArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{bytes, count, json, names, out, table};

pub(crate) fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let config = Config::load(&args.config, &args.overrides)?;
    let setup = prepare(&config, &std::env::temp_dir())?;
    let cost = Cost::new(&config, &setup, args.compute.threads());
    if args.json {
        json(&cost);
        return Ok(Exit::Done);
    }
    if let Some(place) = args.render {
        out(&render::text(place, args, &config, &cost));
        return Ok(Exit::Done);
    }
    out(&format!("{} is sound; nothing was trained", args.config.display()));
    out("");
    let [train, valid, test] = cost.rows;
    let model = &setup.problem.model;
    table(&[
        ("rows", format!("{} train, {} valid, {} test", count(train), count(valid), count(test))),
        ("columns", names(&setup.dataset.columns)),
        ("energy", networks(model)),
        ("parameters", count(cost.parameters)),
        ("proposal", proposal(model)),
        ("steps", count(cost.steps)),
        (
            "a step",
            format!(
                "{} rows and {} samples{} in {} chunks of {}",
                count(cost.batch),
                count(cost.samples),
                if setup.batching.per_row { " of each" } else { "" },
                cost.chunks,
                cost.chunk
            ),
        ),
        ("work of a step", format!("{:.3} GFLOP", cost.flop_per_step / 1e9)),
        ("work of the run", format!("{:.1} TFLOP", cost.flop_per_step * cost.steps as f64 / 1e12)),
        ("sums of a step", bytes(cost.reduce_bytes)),
        ("memory", memory(&cost)),
        ("checkpoint", bytes(cost.checkpoint_bytes)),
        ("run folder", config.run_folder().display().to_string()),
    ]);
    Ok(Exit::Done)
}

fn memory(cost: &Cost) -> String {
    let more = if cost.memory_granted { "" } else { ": more than this machine gives" };
    format!("about {} on {} threads{more}", bytes(cost.memory_bytes), cost.threads)
}
