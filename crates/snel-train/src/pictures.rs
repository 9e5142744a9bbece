//! The pictures of a run, made from its metrics, its data and its model.
//!
//! Data and densities are shown in original units, likelihood curves in standardised ones.

use std::path::Path;

use snel_core::engine::{DensityEngine, SampleSet, Scored};
use snel_core::philox::Stream;
use snel_core::rows::Rows;
use snel_data::Dataset;

use crate::eval_report::{EvalReport, Yardstick};
use crate::evaluate::{for_each_block, log_weight};
use crate::file::{create_folder, write_atomically};
use crate::metrics::{Record, Weighed};
use crate::model_file::ModelFile;
use crate::plot::{
    self, Bounds, Corner, Density2d, Grid, Interval, NormaliserPoint, PlotError, Shade, Slice1d,
};
use crate::report::Figure;
use crate::run::RunError;
use crate::sample;

/// Rows of data and points of the model in a picture, at most.
const POINTS: u64 = 5000;
/// Log-weights in the histogram, at most.
const WEIGHTS: u64 = 100_000;
/// Cells along each side of a density map, and points of a density curve.
const CELLS: usize = 220;
/// Resolution of the PNG copies, pixels a unit.
const PNG_SCALE: f32 = 2.0;

/// A picture and the name of its file.
pub struct Picture {
    /// File name without extension.
    pub name: &'static str,
    /// What the report shows.
    pub figure: Figure,
}

/// All pictures that the run has the numbers for.
///
/// # Errors
/// [`RunError`] if rows cannot be read or a picture not be drawn.
pub fn pictures(
    records: &[Record],
    report: &EvalReport,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn DensityEngine,
) -> Result<Vec<Picture>, RunError> {
    let picture = |name, title: &str, caption: &str, svg| Picture {
        name,
        figure: Figure { title: title.to_owned(), caption: caption.to_owned(), svg },
    };
    let mut pictures = curves(records, &report.yardsticks)?;
    pictures.push(picture(
        "log-weights",
        "Log-weights",
        "How unequally the samples of the final evaluation carry the weight; a long right tail \
         means that the proposal misses something.",
        plot::log_weights(&some_log_weights(engine, model, report))?,
    ));
    let space = Space { dataset, model, engine };
    match model.header.model.dim() {
        1 => pictures.push(picture(
            "density",
            "Density",
            "The learned density over a histogram of the test rows.",
            space.slice()?,
        )),
        2 => pictures.push(picture(
            "density",
            "Density",
            "The learned density beside the test rows, and beside the true density where it is \
             known.",
            space.map()?,
        )),
        _ => {
            if let Some(svg) = space.corner()? {
                pictures.push(picture(
                    "corner",
                    "Data and model",
                    "Test rows against points drawn from the model, every pair of columns.",
                    svg,
                ));
            }
        }
    }
    Ok(pictures)
}

/// Writes every picture as SVG and PNG.
///
/// # Errors
/// [`RunError`].
pub fn save(pictures: &[Picture], folder: &Path) -> Result<(), RunError> {
    create_folder(folder)?;
    for Picture { name, figure } in pictures {
        write_atomically(&folder.join(format!("{name}.svg")), figure.svg.as_bytes())?;
        let png = plot::to_png(&figure.svg, PNG_SCALE)?;
        write_atomically(&folder.join(format!("{name}.png")), &png)?;
    }
    Ok(())
}

/// The curves of training and validation; `yardsticks` are shown beside the bounds.
pub(crate) fn curves(
    records: &[Record],
    yardsticks: &[Yardstick],
) -> Result<Vec<Picture>, PlotError> {
    let (mut steps, mut validations) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Step(r) => steps.push(r),
            Record::Validation(r) => validations.push(r),
        }
    }
    let weighed: Vec<(u64, f64, Weighed)> =
        steps.iter().filter_map(|r| Some((r.step, r.b, r.weighed?))).collect();
    let bounds = Bounds {
        train: weighed.iter().map(|(step, _, w)| (*step, w.bound)).collect(),
        validation: validations
            .iter()
            .map(|r| Interval { step: r.step, lower: r.lower, upper: r.upper })
            .collect(),
        yardsticks: yardsticks
            .iter()
            .map(|y| plot::Yardstick { name: y.name.clone(), nats: y.standardised })
            .collect(),
        units: "nats a row, standardised units".to_owned(),
    };
    let ess: Vec<(u64, f64)> = weighed.iter().map(|(step, _, w)| (*step, w.ess_fraction)).collect();
    let normaliser: Vec<NormaliserPoint> = weighed
        .iter()
        .map(|&(step, b, Weighed { log_z, .. })| NormaliserPoint { step, b, log_z })
        .collect();
    let picture = |name, title: &str, caption: &str, svg| Picture {
        name,
        figure: Figure { title: title.to_owned(), caption: caption.to_owned(), svg },
    };
    let mut pictures = vec![picture(
        "bounds",
        "Bounds",
        "The bound on training minibatches, and the interval on validation rows.",
        plot::bounds(&bounds)?,
    )];
    // Chains have no weights.
    if weighed.is_empty() && !steps.is_empty() {
        return Ok(pictures);
    }
    pictures.extend([
        picture(
            "ess",
            "Effective sample size",
            "The share of proposal samples that count; below a thousandth the estimates are poor.",
            plot::ess(&ess)?,
        ),
        picture(
            "log-normaliser",
            "Log-normaliser",
            "The learned b follows the samples' estimate of log Z; the bound is tight where \
             they agree.",
            plot::log_normaliser(&normaliser)?,
        ),
    ]);
    Ok(pictures)
}

fn some_log_weights(
    engine: &dyn DensityEngine,
    model: &ModelFile,
    report: &EvalReport,
) -> Vec<f64> {
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    let samples = report.standardised.weights.samples.min(WEIGHTS);
    let mut log_weights = Vec::new();
    for_each_block(engine, model.header.model.dim(), set, samples, |_, scored| {
        log_weights.extend(scored.iter().map(log_weight));
    });
    log_weights
}

/// The model in the space of its data.
struct Space<'a> {
    dataset: &'a Dataset,
    model: &'a ModelFile,
    engine: &'a dyn DensityEngine,
}

impl Space<'_> {
    /// Test rows in original units, the first ones.
    fn data(&self) -> Result<Vec<f64>, RunError> {
        let rows = &self.dataset.test;
        let numbers: Vec<u64> = (0..rows.len().min(POINTS)).collect();
        let mut x = vec![0.0; numbers.len() * rows.dim()];
        rows.gather(&numbers, &mut x).map_err(crate::setup::SetupError::Rows)?;
        let mut x: Vec<f64> = x.into_iter().map(f64::from).collect();
        self.model.header.standardise.invert(&mut x);
        Ok(x)
    }

    /// Log-densities, original units, at `points` in original units.
    fn log_density(&self, points: &[f64]) -> Vec<f64> {
        let scales = &self.model.header.standardise;
        let mut x = points.to_vec();
        scales.apply(&mut x);
        let x: Vec<f32> = x.into_iter().map(|v| v as f32).collect();
        let mut scored = vec![Scored::default(); x.len() / scales.dim()];
        self.engine.score(&x, &mut scored);
        let offset = scales.log_det() - f64::from(self.model.b());
        scored.iter().map(|s| s.tilted() + offset).collect()
    }

    /// The range of a column, a tenth wider on both sides.
    fn range(data: &[f64], dim: usize, column: usize) -> [f64; 2] {
        let values = || data.iter().skip(column).step_by(dim).copied();
        let (low, high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let margin = 0.1 * (high - low);
        [low - margin, high + margin]
    }

    fn slice(&self) -> Result<String, RunError> {
        let data = self.data()?;
        let [low, high] = Self::range(&data, 1, 0);
        let step = (high - low) / CELLS as f64;
        let points: Vec<f64> = (0..=CELLS).map(|i| low + i as f64 * step).collect();
        let learned = points.iter().copied().zip(self.log_density(&points)).collect();
        let truth = self.dataset.toy.as_ref();
        let truth = truth.map(|toy| points.iter().map(|&x| (x, toy.log_density(&[x]))).collect());
        let name = self.dataset.columns[0].clone();
        Ok(plot::slice_1d(&Slice1d { name, data, learned, truth })?)
    }

    fn map(&self) -> Result<String, RunError> {
        let data = self.data()?;
        let (x, y) = (Self::range(&data, 2, 0), Self::range(&data, 2, 1));
        let at = |range: [f64; 2], i: usize| {
            range[0] + (range[1] - range[0]) * (i as f64 + 0.5) / CELLS as f64
        };
        let points: Vec<f64> =
            (0..CELLS).flat_map(|j| (0..CELLS).flat_map(move |i| [at(x, i), at(y, j)])).collect();
        let grid = |log_density| Grid { nx: CELLS, ny: CELLS, log_density };
        let truth =
            self.dataset.toy.as_ref().map(|toy| {
                grid(points.chunks_exact(2).map(|point| toy.log_density(point)).collect())
            });
        let columns = &self.dataset.columns;
        Ok(plot::density_2d(&Density2d {
            names: [columns[0].clone(), columns[1].clone()],
            x,
            y,
            learned: grid(self.log_density(&points)),
            truth,
            data: data.chunks_exact(2).map(|p| [p[0], p[1]]).collect(),
            shade: Shade::Density,
            conditional: false,
        })?)
    }

    /// None if no sample of the proposal has any weight.
    fn corner(&self) -> Result<Option<String>, RunError> {
        let data = self.data()?;
        let header = &self.model.header;
        let count = (data.len() / header.model.dim()) as u64;
        let pool = sample::default_pool(count);
        let Ok(drawn) = sample::resample(self.engine, header.model.dim(), header.seed, count, pool)
        else {
            return Ok(None);
        };
        let mut model: Vec<f64> = drawn.points.into_iter().map(f64::from).collect();
        header.standardise.invert(&mut model);
        Ok(Some(plot::corner(&Corner {
            names: self.dataset.columns.clone(),
            data,
            model,
            ..Corner::default()
        })?))
    }
}
