//! Going through the cells of a study, but for those that are in its table.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::problem::Problem;
use snel_core::rows::Matrix;

use super::StudyError;
use super::measure::{Cell, Engines, Quantity, Row};
use super::table::Table;
use super::target::{Proposal, Target, WIDE};
use super::theory::{Gaussians, radial_second_moment};
use super::watch::Watcher;

/// What the numbers of any sweep depend on, and its times.
#[derive(Debug, Serialize)]
pub(crate) struct Settings<S> {
    /// Which study.
    pub(crate) study: &'static str,
    /// What only this study has.
    #[serde(flatten)]
    pub(crate) own: S,
    /// Seed of rows and samples.
    pub(crate) seed: u32,
    /// Threads of the engine, for the sake of the times.
    pub(crate) threads: usize,
    /// What must be equal for results to be equal bits.
    pub(crate) arithmetic: String,
}

/// What any sweep needs.
pub struct Sweep<'a> {
    /// Where its table is.
    pub folder: &'a Path,
    /// Seed of rows and samples.
    pub seed: u32,
    /// Threads of the engines.
    pub threads: usize,
    /// Makes the engines.
    pub engines: &'a Engines<'a>,
    /// Who looks on.
    pub watcher: &'a dyn Watcher,
}

impl Sweep<'_> {
    /// The table of the study `study` with the settings `own`.
    pub(crate) fn table(
        &self,
        study: &'static str,
        own: impl Serialize,
    ) -> Result<Table<Row>, StudyError> {
        let model = Target::Gaussian.model(1, Proposal::Wide.density(Target::Gaussian, 1));
        let problem = Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 0));
        let engine = (self.engines)(problem, Arc::new(Matrix::empty(1)))?;
        let arithmetic = engine.fingerprint().to_string();
        let Self { seed, threads, .. } = *self;
        Ok(Table::open(self.folder, &Settings { study, own, seed, threads, arithmetic })?)
    }

    /// Measures the cells that `table` lacks.
    pub(crate) fn run(&self, cells: &[Cell<'_>], table: &mut Table<Row>) -> Result<(), StudyError> {
        let is_there = |cell: &Cell<'_>| {
            table.rows().iter().any(|row| {
                (row.target, row.proposal, row.dim, row.samples)
                    == (cell.target, cell.proposal, cell.dim, cell.samples)
            })
        };
        let left: Vec<&Cell<'_>> = cells.iter().filter(|cell| !is_there(cell)).collect();
        self.watcher.begin(left.iter().map(|cell| cell.work()).sum());
        for cell in left {
            self.watcher.cell(&cell.name());
            let mut rows = cell.measure(self.engines, self.watcher)?;
            rows.iter_mut().for_each(|row| row.theory = theory(row, cell.rows));
            table.add(rows)?;
        }
        Ok(())
    }
}

/// What theory says about a row, where it is known here.
fn theory(row: &Row, data: &Matrix) -> Option<f64> {
    use Quantity::{BoundBias, GradientBias, GradientVariance};
    let samples = row.samples as f64;
    if row.method == Objective::Snl && matches!(row.quantity, GradientBias | BoundBias) {
        return Some(0.0);
    }
    if row.target != Target::Gaussian {
        return None;
    }
    let sd = match row.proposal {
        Proposal::Matched => Some(1.0),
        Proposal::Wide => Some(WIDE),
        _ => None,
    };
    let Some(sd) = sd else {
        let moment = second_moment(row.proposal, row.dim)?;
        return of_weights(row.quantity, moment, samples);
    };
    let g = Gaussians { dim: row.dim, sd, samples };
    let squares = || -> Vec<f64> {
        let square = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        data.values().chunks(row.dim).map(square).collect()
    };
    match (row.method, row.quantity) {
        (Objective::Snl, GradientVariance) => Some(g.snl_variance()),
        (Objective::IsMle, GradientVariance) => Some(g.is_mle_variance()),
        (Objective::IsMle, GradientBias) => Some(g.is_mle_bias()),
        (Objective::Nce, GradientBias) => {
            let squares = squares();
            Some(g.nce_bias(samples / squares.len() as f64, &squares))
        }
        (_, quantity) => of_weights(quantity, g.second_moment(), samples),
    }
}

/// `E_q[w^2]` of a standard normal target, where it is no closed form but an integral.
fn second_moment(proposal: Proposal, dim: usize) -> Option<f64> {
    let density = proposal.density(Target::Gaussian, dim);
    let at_distance = |square: f64| {
        let mut x = vec![0.0; dim];
        x[0] = square.sqrt();
        density.log_density(&x)
    };
    match proposal {
        Proposal::Student | Proposal::Defensive => Some(radial_second_moment(dim, at_distance)),
        _ => None,
    }
}

/// What follows from `E_q[w^2]` alone.
fn of_weights(quantity: Quantity, second_moment: f64, samples: f64) -> Option<f64> {
    let variance = (second_moment - 1.0) / samples;
    match quantity {
        Quantity::EssFraction => Some(1.0 / second_moment),
        Quantity::SecondMoment => Some(second_moment),
        Quantity::ZVariance | Quantity::LogZVariance | Quantity::BoundVariance => Some(variance),
        Quantity::LogZBias => Some(-0.5 * variance),
        Quantity::BoundBias => Some(0.5 * variance),
        Quantity::GradientBias | Quantity::GradientVariance => None,
    }
}
