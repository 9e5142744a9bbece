//! `snel study dimension`: where importance sampling gives out.
//!
//! Two targets under five proposals at a fixed number of samples, `D` from 1 to 128. What decides is
//! `E_q[w^2] = 1 + chi^2(p, q)`, the factor by which effective samples are fewer. Two laws are fitted
//! to it, `exp(rate D)` and `D^power`: proposals that are wrong by the same factor in every
//! coordinate obey the first, heavy tails and displaced mass the second.

mod findings;

use std::sync::Arc;

use serde::Serialize;
use snel_core::objective::Objective;
use snel_core::rows::Matrix;

use super::check::Check;
use super::fit::{Line, line, logarithm};
use super::measure::{Cell, Quantity, Row, TRUSTED};
use super::samples::{RATIO, of, ratio, unbiased};
use super::sweep::Sweep;
use super::target::{Proposal, Target, WIDE};
use super::theory::Gaussians;
use super::{Extent, StudyError};
use crate::evaluate::Estimate;

pub use findings::{EXPLANATION, findings};

/// Effective samples below which an estimate of `Z` is a guess.
pub const GIVES_OUT: f64 = 100.0;

/// What only this study has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Settings {
    samples: u64,
    /// Data rows, all in every gradient.
    rows: usize,
    /// Repetitions: `values_per_cell / (M D)`, within these limits.
    most_repetitions: u64,
    least_repetitions: u64,
    values_per_cell: u64,
}

impl Settings {
    fn new(extent: Extent) -> Self {
        let (samples, values_per_cell) = match extent {
            Extent::Quick => (1000, 1_000_000),
            Extent::Usual => (65_536, 16 << 20),
            Extent::Deep => (1 << 20, 1 << 30),
        };
        let rows = if extent == Extent::Quick { 64 } else { 256 };
        Self { samples, rows, most_repetitions: 64, least_repetitions: 10, values_per_cell }
    }

    fn repetitions(&self, dim: usize) -> u64 {
        let fitting = self.values_per_cell / (self.samples * dim as u64);
        fitting.clamp(self.least_repetitions, self.most_repetitions)
    }
}

fn dims(extent: Extent) -> Vec<usize> {
    let largest = if extent == Extent::Quick { 3 } else { 7 };
    (0..=largest).map(|k| 1 << k).collect()
}

/// Measures what is not measured yet; all rows of the table.
///
/// # Errors
/// [`StudyError`]; what was measured before is in the table.
pub fn run(sweep: &Sweep<'_>, extent: Extent) -> Result<Vec<Row>, StudyError> {
    let settings = Settings::new(extent);
    let mut table = sweep.table("dimension", settings)?;
    let kinds: Vec<(usize, Target, Arc<Matrix>)> = dims(extent)
        .into_iter()
        .flat_map(|dim| Target::ALL.map(|target| (dim, target)))
        .map(|(dim, target)| (dim, target, Arc::new(target.rows(dim, settings.rows, sweep.seed))))
        .collect();
    let mut cells = Vec::new();
    for (dim, target, rows) in &kinds {
        for proposal in Proposal::ALL {
            // Samples of their own for each cell: the points of a fit are independent.
            let seed = sweep.seed.wrapping_add(cells.len() as u32);
            let (dim, target, samples) = (*dim, *target, settings.samples);
            let repetitions = settings.repetitions(dim);
            cells.push(Cell { target, proposal, dim, samples, repetitions, seed, rows });
        }
    }
    sweep.run(&cells, &mut table)?;
    Ok(table.rows().to_vec())
}

/// Below this, what is measured is the rounding of equal weights.
const ROUNDING: f64 = 1e-5;
/// Dimensions, the largest of those that are known well, that the laws are fitted to.
const LAST: usize = 4;
/// A law that misses by more is not asked where a proposal gives out.
const FITS: f64 = 10.0;

/// How a proposal's weights spread with `D`. No law for weights that are all equal.
#[derive(Debug, Clone, Serialize)]
pub struct Law {
    /// The model.
    pub target: Target,
    /// What samples came from.
    pub proposal: Proposal,
    /// `rate` of `E_q[w^2] = c exp(rate D)`, nats a dimension.
    pub rate: Option<Estimate>,
    /// `power` of `E_q[w^2] = c D^power`.
    pub power: Option<Estimate>,
    /// Mean square distance of the points from either law, in their errors.
    pub misfits: [Option<f64>; 2],
    /// The first measured `D` with fewer than [`GIVES_OUT`] effective samples.
    pub gave_out: Option<usize>,
    /// Where the law that fits better says that it happens; none if neither fits.
    pub gives_out: Option<f64>,
}

/// The laws of all pairs.
pub fn laws(rows: &[Row]) -> Vec<Law> {
    let pairs = Target::ALL.into_iter().flat_map(|t| Proposal::ALL.map(|p| (t, p)));
    pairs.map(|(target, proposal)| law(rows, target, proposal)).collect()
}

fn law(rows: &[Row], target: Target, proposal: Proposal) -> Law {
    let rows = select(rows, target, proposal);
    let reliable = reliable(&rows);
    let points = |x: fn(f64) -> f64| -> Vec<(f64, Estimate)> {
        of(&reliable, Objective::Snl, Quantity::SecondMoment)
            .filter_map(|row| Some((x(row.dim as f64), logarithm(row.estimate())?)))
            .filter(|(_, log)| log.value.abs() > ROUNDING)
            .collect()
    };
    let last = |points: Vec<(f64, Estimate)>| {
        let skipped = points.len().saturating_sub(LAST);
        line(&points[skipped..])
    };
    let (exponential, power) = (last(points(|d| d)), last(points(f64::ln)));
    let ess = || of(&rows, Objective::Snl, Quantity::EssFraction);
    let effective = |row: &Row| row.estimate * row.samples as f64;
    let samples = rows.first().map_or(0.0, |row| row.samples as f64);
    // Where `log E_q[w^2] = log(M / GIVES_OUT)`.
    let crossing = |fit: &Line| {
        let room = (samples / GIVES_OUT).ln() - fit.intercept;
        // A slope that may as well be zero crosses nowhere.
        (fit.slope.value > 2.0 * fit.slope.se).then(|| room / fit.slope.value)
    };
    let misfit = |fit: Option<Line>| fit.map_or(f64::INFINITY, |fit| fit.misfit);
    let gives_out = match (misfit(exponential), misfit(power)) {
        (a, b) if a.min(b) > FITS => None,
        (a, b) if a <= b => exponential.as_ref().and_then(crossing),
        _ => power.as_ref().and_then(crossing).map(f64::exp),
    };
    Law {
        target,
        proposal,
        rate: exponential.map(|fit| fit.slope),
        power: power.map(|fit| fit.slope),
        misfits: [exponential, power].map(|fit| fit.map(|fit| fit.misfit)),
        gave_out: ess().find(|row| effective(row) < GIVES_OUT).map(|row| row.dim),
        gives_out,
    }
}

/// The predictions and how they fared.
pub fn checks(rows: &[Row]) -> Vec<Check> {
    use Objective::{IsMle, Snl};
    let wide = reliable(&select(rows, Target::Gaussian, Proposal::Wide));
    let log_moments: Vec<(f64, Estimate)> = of(&wide, Snl, Quantity::SecondMoment)
        .filter_map(|row| Some((row.dim as f64, logarithm(row.estimate())?)))
        .collect();
    let rate = Gaussians { dim: 1, sd: WIDE, samples: 1.0 }.second_moment().ln();
    let student = reliable(&select(rows, Target::Gaussian, Proposal::Student));
    let defensive = reliable(&select(rows, Target::Gaussian, Proposal::Defensive));
    let all = reliable(rows);
    let size = |claim: &str, rows: &[Row], method, quantity| {
        Check::new(claim, RATIO, 1.0, ratio(rows, method, quantity))
    };
    vec![
        Check::new(
            format!("a Gaussian {WIDE} times too wide loses effective samples as exp(rate D)"),
            "rate",
            rate,
            line(&log_moments).map(|fit| fit.slope),
        ),
        size(
            "a Student proposal loses what the integral over the radius says",
            &student,
            Snl,
            Quantity::SecondMoment,
        ),
        size("and so does a defensive one", &defensive, Snl, Quantity::SecondMoment),
        size(
            "the variance of SNL's gradient under the wide proposal has the size it must have",
            &wide,
            Snl,
            Quantity::GradientVariance,
        ),
        size(
            "the bias of IS-MLE's gradient under the wide proposal has the size it must have",
            &wide,
            IsMle,
            Quantity::GradientBias,
        ),
        unbiased(
            &all,
            Snl,
            Quantity::GradientBias,
            "SNL's gradient has no bias under any proposal, as far as Z can be estimated",
        ),
    ]
}

/// The rows of a pair, by `D`.
pub(super) fn select(rows: &[Row], target: Target, proposal: Proposal) -> Vec<Row> {
    let of_pair = |row: &&Row| (row.target, row.proposal) == (target, proposal);
    let mut rows: Vec<Row> = rows.iter().filter(of_pair).cloned().collect();
    rows.sort_by_key(|row| row.dim);
    rows
}

/// The rows of cells whose weights are spread so little that means over repetitions are normal: the
/// relative variance of `Ẑ` is below a tenth of [`TRUSTED`].
fn reliable(rows: &[Row]) -> Vec<Row> {
    let sound = |row: &Row| {
        let ess = of(rows, Objective::Snl, Quantity::EssFraction)
            .find(|e| (e.target, e.proposal, e.dim) == (row.target, row.proposal, row.dim))
            .map_or(0.0, |e| e.estimate);
        (1.0 / ess - 1.0) / (row.samples as f64) < 0.1 * TRUSTED
    };
    rows.iter().filter(|row| sound(row)).cloned().collect()
}
