//! `snel predict`.

use snel_train::compute::AnyEngine;
use snel_train::conditional::{PredictOptions, PredictSummary, predict_file};
use snel_train::run::{RunError, engine_of, load_model};

use crate::args::PredictArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{count, err, json, names, out, table};

pub(crate) fn run(args: &PredictArgs) -> Result<Exit, Failure> {
    let model = load_model(&args.run)?;
    let AnyEngine::Conditional(engine) = engine_of(&model, &args.compute.settings())? else {
        return Err(RunError::Kind { found: model.header.model.kind() }.into());
    };
    let options = PredictOptions {
        samples: args.samples,
        quantiles: args.quantiles.clone(),
        interval: args.interval,
        density: args.density.clone().map(|path| (path, args.nodes as usize)),
    };
    let summary = predict_file(&model, &*engine, &args.data, &args.out, &options)?;
    if args.json {
        json(&summary);
        return Ok(Exit::Done);
    }
    let PredictSummary { rows, columns, samples, ess_fraction, least_ess, .. } = &summary;
    out(&format!("{}  predictions for {} rows, original units", args.out.display(), count(*rows)));
    table(&[
        ("columns", names(columns)),
        (
            "effective samples",
            format!(
                "{:.2} % of {} a row, fewest {least_ess:.0}",
                100.0 * ess_fraction,
                count(*samples)
            ),
        ),
    ]);
    summary.warnings.iter().for_each(|w| err(&format!("warning: {w}")));
    Ok(Exit::Done)
}
