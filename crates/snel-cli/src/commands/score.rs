//! `snel score`.

use snel_train::run::{density_engine_of, load_model};
use snel_train::score::{ScoreSummary, score_file};

use crate::args::ScoreArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{count, err, json, out, table};

pub(crate) fn run(args: &ScoreArgs) -> Result<Exit, Failure> {
    let model = load_model(&args.run)?;
    let engine = density_engine_of(&model, &args.compute.settings())?;
    let summary = score_file(&model, &*engine, &args.data, &args.out, args.samples)?;
    if args.json {
        json(&summary);
        return Ok(Exit::Done);
    }
    let ScoreSummary { rows, mean_log_density, log_z, b, .. } = &summary;
    out(&format!(
        "{}  log-density of {} rows, nats, original units",
        args.out.display(),
        count(*rows)
    ));
    table(&[
        ("mean", format!("{mean_log_density:.5}")),
        ("b", format!("{b:.5}")),
        ("log Z", format!("{:.5} ± {:.5}", log_z.value, log_z.se)),
    ]);
    summary.warnings.iter().for_each(|w| err(&format!("warning: {w}")));
    Ok(Exit::Done)
}
