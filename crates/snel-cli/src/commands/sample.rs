//! `snel sample`.

use serde::Serialize;
use snel_core::problem::AnyModel;
use snel_train::run::{density_engine_of, load_model};
use snel_train::sample::{Langevin, default_pool, refine, resample};

use crate::args::SampleArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{count, err, json, out, table};

/// The JSON document of a draw.
#[derive(Serialize)]
struct Document {
    points: u64,
    pool: u64,
    ess: f64,
    ess_fraction: f64,
    unique: u64,
    acceptance: Option<f64>,
    step_size: Option<f64>,
    warnings: Vec<String>,
}

pub(crate) fn run(args: &SampleArgs) -> Result<Exit, Failure> {
    let model = load_model(&args.run)?;
    let engine = density_engine_of(&model, &args.compute.settings())?;
    let header = &model.header;
    let pool = args.pool.unwrap_or_else(|| default_pool(args.n));
    let mut drawn = resample(&*engine, header.model.dim(), args.seed, args.n, pool)?;
    let mut refined = None;
    if let (1.., AnyModel::Density(shape)) = (args.langevin, &header.model) {
        let threads = args.compute.threads();
        let langevin = Langevin { steps: args.langevin, step_size: args.step_size, threads };
        refined = Some(refine(shape, &model.parameters, args.seed, &mut drawn.points, &langevin)?);
    }
    let mut points: Vec<f64> = drawn.points.iter().map(|&v| f64::from(v)).collect();
    header.standardise.invert(&mut points);
    snel_data::write_rows(&args.out, &header.columns, &points)?;
    let document = Document {
        points: args.n,
        pool,
        ess: drawn.ess,
        ess_fraction: drawn.ess_fraction,
        unique: drawn.unique,
        acceptance: refined.as_ref().and_then(|r| r.acceptance),
        step_size: refined.as_ref().map(|r| r.step_size),
        warnings: refined.iter().fold(drawn.warnings, |all, r| [all, r.warnings.clone()].concat()),
    };
    if args.json {
        json(&document);
        return Ok(Exit::Done);
    }
    out(&format!("{}  {} points in original units", args.out.display(), count(args.n)));
    let mut rows = vec![
        (
            "effective samples",
            format!("{:.0} of {} ({:.2} %)", drawn.ess, count(pool), 100.0 * drawn.ess_fraction),
        ),
        ("different samples used", count(document.unique)),
    ];
    if let Some(refined) = &refined {
        rows.push((
            "Langevin",
            format!(
                "acceptance {:.3}, step size {:.4}",
                refined.acceptance.unwrap_or(f64::NAN),
                refined.step_size
            ),
        ));
    }
    table(&rows);
    document.warnings.iter().for_each(|w| err(&format!("warning: {w}")));
    Ok(Exit::Done)
}
