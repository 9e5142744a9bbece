//! The pictures of a run of a conditional model.

use snel_core::conditional::ConditionalEngine;
use snel_core::engine::{SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::philox::Stream;
use snel_data::Dataset;

use super::report::ConditionalReport;
use super::rows::{for_each_block, for_each_draw};
use crate::evaluate::log_weight;
use crate::metrics::Record;
use crate::model_file::ModelFile;
use crate::pictures::{Picture, curves};
use crate::plot::{self, Density2d, Grid, Shade};
use crate::report::Figure;
use crate::run::RunError;

/// Rows of data in a picture, at most.
const POINTS: u64 = 5000;
/// Cells along each side of the map of densities.
const CELLS: usize = 220;
/// Samples behind the normaliser of each column of the map.
const SAMPLES: u64 = 4096;

/// All pictures that the run has the numbers for.
///
/// # Errors
/// [`RunError`] if rows cannot be read or a picture not be drawn.
pub fn pictures(
    records: &[Record],
    report: &ConditionalReport,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn ConditionalEngine,
) -> Result<Vec<Picture>, RunError> {
    let picture = |name, title: String, caption: &str, svg| Picture {
        name,
        figure: Figure { title, caption: caption.to_owned(), svg },
    };
    let mut pictures = curves(records, &report.yardsticks)?;
    // One target is drawn; the numbers of all are in `eval.json`.
    if let Some(target) = report.standardised.targets.first() {
        let curve: Vec<(f64, f64)> = target.coverage.iter().map(|c| (c.level, c.share)).collect();
        pictures.push(picture(
            "pit",
            format!("Probability integral transform of {}", target.name),
            "Level if predictions are calibrated; heaps at both ends say that they are too narrow, \
             a heap in the middle that they are too wide.",
            plot::pit(&target.pit)?,
        ));
        pictures.push(picture(
            "coverage",
            format!("Coverage of {}", target.name),
            "How many rows fall within central intervals of each probability.",
            plot::coverage(&curve)?,
        ));
    }
    if (engine.model().inputs, engine.model().targets) == (1, 1) {
        pictures.push(picture(
            "density",
            "Density of y given x".to_owned(),
            "The learned density of the target at every x, beside the test rows, and beside the \
             true one where it is known.",
            map(dataset, model, engine)?,
        ));
    }
    Ok(pictures)
}

fn map(
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn ConditionalEngine,
) -> Result<String, RunError> {
    let scales = &model.header.standardise;
    let mut data = Vec::new();
    for_each_block(&dataset.test, 1, POINTS, |block| {
        data.extend(block.x.iter().zip(&block.y).map(|(&x, &y)| [f64::from(x), f64::from(y)]));
    })?;
    let range = |column: usize| {
        let values = || data.iter().map(|p| p[column]);
        let (low, high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        // The inputs as far as there are data, the target a tenth beyond.
        let margin = if column == 1 { 0.1 * (high - low) } else { 0.0 };
        [low - margin, high + margin]
    };
    let (rx, ry) = (range(0), range(1));
    let at = |range: [f64; 2], i: usize| {
        range[0] + (range[1] - range[0]) * (i as f64 + 0.5) / CELLS as f64
    };
    let x: Vec<f32> = (0..CELLS).map(|i| at(rx, i) as f32).collect();
    let y: Vec<f32> = (0..CELLS).map(|j| at(ry, j) as f32).collect();
    let log_det = scales.columns(1..2).log_det();
    let mut log_z = vec![0.0; CELLS];
    let set = SampleSet { stream: Stream::Evaluation, step: 1 };
    for_each_draw(engine, set, SAMPLES, 0, &x, |i, _, scored| {
        let mut weights = LogWeights::default();
        scored.iter().for_each(|s| {
            weights.add(log_weight(s));
        });
        log_z[i] = weights.log_mean();
    });
    let (mut learned, mut truth) = (vec![0.0; CELLS * CELLS], vec![0.0; CELLS * CELLS]);
    let toy = dataset.toy.as_ref().filter(|toy| toy.targets() == 1);
    for i in 0..CELLS {
        let mut scored = vec![Scored::default(); CELLS];
        engine.score(&x[i..=i], &y, &mut scored);
        for (j, s) in scored.iter().enumerate() {
            learned[j * CELLS + i] = s.tilted() - log_z[i] + log_det;
            let mut point = [at(rx, i), at(ry, j)];
            scales.invert(&mut point);
            let known = toy.and_then(|toy| toy.conditional_log_density(&point));
            truth[j * CELLS + i] = known.unwrap_or(f64::NEG_INFINITY);
        }
    }
    let original = |column: usize, v: f64| v * scales.sd()[column] + scales.mean()[column];
    let grid = |log_density| Grid { nx: CELLS, ny: CELLS, log_density };
    let columns = &model.header.columns;
    Ok(plot::density_2d(&Density2d {
        names: [columns[0].clone(), columns[1].clone()],
        x: rx.map(|v| original(0, v)),
        y: ry.map(|v| original(1, v)),
        learned: grid(learned),
        truth: toy.map(|_| grid(truth)),
        data: data.iter().map(|p| [original(0, p[0]), original(1, p[1])]).collect(),
        shade: Shade::Density,
        conditional: true,
    })?)
}
