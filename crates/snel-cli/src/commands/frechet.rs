//! `snel frechet`.

use snel_train::frechet::{FrechetReport, Sets, measure};

use crate::args::FrechetArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{count, json, out};

pub(crate) fn run(args: &FrechetArgs) -> Result<Exit, Failure> {
    let how = Sets { count: args.n, sets: args.sets };
    let report = measure(&args.runs, &args.labels, how, &args.compute.settings())?;
    if args.json {
        json(&report);
    } else {
        print(&report);
    }
    Ok(Exit::Done)
}

fn print(report: &FrechetReport) {
    let FrechetReport { accuracy, rows, count: draws, sets, real, runs } = report;
    out("Squared Fréchet distance in the features of a small classifier; not FID");
    if let Some(accuracy) = accuracy {
        out(&format!("the classifier gets {:.2} % of the validation rows right", 100.0 * accuracy));
    }
    out(&format!("{} draws against {} test rows, {sets} times\n", count(*draws), count(*rows)));
    for run in runs {
        let distance = run.distance;
        out(&format!("{:>9.4} ± {:.4}  {}", distance.value, distance.se, run.path.display()));
    }
    out(&format!("{real:>9.4}           training rows"));
}
