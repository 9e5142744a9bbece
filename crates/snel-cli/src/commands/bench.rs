//! `snel bench step`.

use std::time::Duration;

use snel_cpu::InstructionSet;
use snel_train::bench::{Length, StepBench};

use crate::args::BenchStepArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{bytes, count, json, out, table};

pub(crate) fn step(args: &BenchStepArgs) -> Result<Exit, Failure> {
    let bench = StepBench {
        dim: args.dim as usize,
        width: args.width as usize,
        depth: args.depth as usize,
        samples: args.samples,
        batch: args.batch,
        activation: args.activation,
        proposal: args.proposal,
        compute: args.compute.settings(),
        instruction_set: args.instruction_set.unwrap_or_else(InstructionSet::best),
        length: match args.steps {
            Some(steps) => Length::Steps(steps),
            None => Length::Time(Duration::from_secs(args.seconds)),
        },
    };
    let report = bench.run()?;
    if args.json {
        json(&report);
        return Ok(Exit::Done);
    }
    let memory = report.peak_memory_mib.map_or("unknown".to_owned(), |mib| format!("{mib:.0} MiB"));
    let mut rows = vec![
        ("parameters", count(report.parameters)),
        ("points of a step", count(report.samples + report.batch)),
        ("threads", report.threads.to_string()),
        ("device", report.device),
        ("instruction set", report.instruction_set),
        (
            "time of a step",
            format!(
                "{:.3} ms median of {} steps; {:.3} least, {:.3} to {:.3} the middle half",
                report.median_ms,
                report.steps,
                report.min_ms,
                report.quartiles_ms[0],
                report.quartiles_ms[1]
            ),
        ),
        ("speed", format!("{:.1} GFLOP/s", report.gflops)),
        (
            "of the machine's peak",
            match (report.fraction_of_peak, report.peak_gflops) {
                (Some(fraction), Some(peak)) => {
                    format!("{:.1} % of {peak:.1} GFLOP/s", 100.0 * fraction)
                }
                _ => "not known for a GPU".to_owned(),
            },
        ),
        ("peak memory", memory),
    ];
    rows.extend(report.device_bytes.map(|taken| ("memory taken on the GPU", bytes(taken))));
    table(&rows);
    out("");
    out(
        "GFLOP/s are 6 parameters (M + n) / time; the peak is a loop of multiply-adds, timed between",
    );
    Ok(Exit::Done)
}
