//! `snel sample`.

use serde::Serialize;
use snel_core::engine::DensityEngine;
use snel_core::problem::{AnyModel, Model};
use snel_train::compute::AnyEngine;
use snel_train::run::{RunError, engine_of, load_model};
use snel_train::sample::{Langevin, Refined, Resampled, default_pool, refine, resample};
use snel_train::vae::{Decoding, decode};

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
    let (header, parameters) = (&model.header, &model.parameters[..]);
    let engine = engine_of(&model, &args.compute.settings())?;
    let pool = args.pool.unwrap_or_else(|| default_pool(args.n));
    let (drawn, refined, points) = match (&engine, &header.model) {
        (AnyEngine::Density(engine), AnyModel::Density(shape)) if !args.means => {
            let (mut drawn, refined) = draw(args, pool, &**engine, shape, parameters)?;
            let points = std::mem::take(&mut drawn.points);
            (drawn, refined, points)
        }
        (AnyEngine::Vae(engine), AnyModel::Vae(shape)) => {
            let of_prior = shape.prior_parameters(parameters);
            let prior = shape.prior(parameters);
            let (drawn, refined) = draw(args, pool, &**engine, &prior, &of_prior)?;
            let how = if args.means { Decoding::Mean } else { Decoding::Draw(args.seed) };
            let points = decode(&**engine, parameters, &drawn.points, how);
            (drawn, refined, points)
        }
        _ => return Err(RunError::Kind { found: header.model.kind() }.into()),
    };
    let mut points: Vec<f64> = points.into_iter().map(f64::from).collect();
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

/// Points of the density model `shape`, by the engine that computes it.
fn draw(
    args: &SampleArgs,
    pool: u64,
    engine: &dyn DensityEngine,
    shape: &Model,
    parameters: &[f32],
) -> Result<(Resampled, Option<Refined>), Failure> {
    let mut drawn = resample(engine, shape.dim(), args.seed, args.n, pool)?;
    if args.langevin == 0 {
        return Ok((drawn, None));
    }
    let threads = args.compute.threads();
    let how = Langevin { steps: args.langevin, step_size: args.step_size, threads };
    let refined = refine(shape, parameters, args.seed, &mut drawn.points, &how)?;
    Ok((drawn, Some(refined)))
}
