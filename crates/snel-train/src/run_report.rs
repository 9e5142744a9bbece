//! The report of a run: `report.html`, put together from its parts.

use crate::config::Config;
use crate::eval_report::{EvalReport, Yardstick};
use crate::model_file::ModelFile;
use crate::pictures::Picture;
use crate::plot::grouped;
use crate::report::{HOW_TO_READ, Headline, Report, Table, html};
use snel_core::mcmc::{Kernel, Mcmc, Persistent, Start};
use snel_core::objective::Objective;
use snel_core::problem::AnyModel;

/// What the report calls a `b` that was not trained.
const B_LEARNED: &str = "b, learned";
const B_REFITTED: &str = "b, refitted: the objective does not train it";

/// The page as text. `source` says where the data came from, `command` what made the run.
pub fn page(
    config: &Config,
    eval: &EvalReport,
    model: &ModelFile,
    source: &str,
    pictures: Vec<Picture>,
    command: &str,
) -> String {
    let e = &eval.standardised;
    let split = format!("{:?}", eval.split).to_lowercase();
    let headlines = headlines(
        &format!("the {split} rows"),
        [e.interval, eval.original.interval],
        about_rows(e.rows, e.rows_se),
        eval.log_det,
    );
    let yardsticks = yardsticks(e.lower.value, eval.original.lower, &eval.yardsticks);
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let with_error = |v: crate::evaluate::Estimate| format!("{:.5} ± {:.5}", v.value, v.se);
    let normaliser = Table {
        title: "Normaliser and weights".to_owned(),
        caption: "Standard errors after ±; standardised units.".to_owned(),
        columns: ["quantity", "value"].map(str::to_owned).to_vec(),
        rows: vec![
            row("lower bound (SNL)", with_error(e.lower)),
            row("upper bound (importance sampling)", with_error(e.upper)),
            row("log Z", with_error(e.log_z)),
            row(name_of_b(eval.b_refitted), format!("{:.5}", e.b)),
            row("b − log Z", with_error(e.b_minus_log_z)),
            row("samples", grouped(e.weights.samples as usize)),
            row(
                "effective samples",
                format!(
                    "{} ({:.2} %)",
                    grouped(e.weights.ess as usize),
                    100.0 * e.weights.ess_fraction
                ),
            ),
            row("largest share of weight", format!("{:.4} %", 100.0 * e.weights.largest_share)),
        ],
    };
    html(&Report {
        title: config.name.clone(),
        facts: model_facts(config, model, source),
        headlines,
        warnings: e.warnings.clone(),
        tables: vec![yardsticks, normaliser],
        figures: pictures.into_iter().map(|p| p.figure).collect(),
        config: config.to_toml(),
        command: command.to_owned(),
    })
}

/// The log-likelihood of `what` in both units, standardised and original.
pub(crate) fn headlines(
    what: &str,
    [standardised, original]: [[f64; 2]; 2],
    about: String,
    log_det: f64,
) -> Vec<Headline> {
    let range = |[low, high]: [f64; 2]| format!("{low:.4} to {high:.4} nats a row");
    vec![
        Headline {
            name: format!("Log-likelihood of {what}, standardised units"),
            interval: range(standardised),
            explanation: vec![HOW_TO_READ.to_owned(), about],
        },
        Headline {
            name: format!("Log-likelihood of {what}, original units"),
            interval: range(original),
            explanation: vec![format!(
                "The same in the units of the file: standardised values plus {log_det:.4}."
            )],
        },
    ]
}

/// Simpler models below this one, whose lower bounds are given in both units.
pub(crate) fn yardsticks(standardised: f64, original: f64, simpler: &[Yardstick]) -> Table {
    let number = |v: f64| format!("{v:.4}");
    Table {
        title: "Yardsticks".to_owned(),
        caption: "Mean log-likelihood of simpler models on the same rows, nats a row.".to_owned(),
        columns: ["model", "standardised", "original"].map(str::to_owned).to_vec(),
        rows: std::iter::once(("this model, lower bound", standardised, original))
            .chain(simpler.iter().map(|y| (y.name.as_str(), y.standardised, y.original)))
            .map(|(name, s, o)| vec![name.to_owned(), number(s), number(o)])
            .collect(),
    }
}

/// What was trained on what.
pub(crate) fn model_facts(
    config: &Config,
    model: &ModelFile,
    source: &str,
) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let header = &model.header;
    vec![
        fact("data", format!("{source}: {} columns", header.columns.len())),
        fact("energy", networks(&header.model)),
        fact("parameters", format!("{} and b", grouped(model.parameters.len() - 1))),
        fact("base density", base(header.model.base())),
        fact("proposal", proposal(&header.model)),
        fact("objective", objective(header.objective)),
        fact("model chosen after", format!("{} of {} steps", header.step, config.train.steps)),
        fact("seed", header.seed.to_string()),
        fact("arithmetic", header.fingerprint.clone()),
    ]
}

/// What `b` is, in a table.
pub(crate) fn name_of_b(refitted: bool) -> &'static str {
    if refitted { B_REFITTED } else { B_LEARNED }
}

/// An objective in words.
fn objective(objective: Objective) -> String {
    let name = objective.name().to_uppercase();
    let Some(Mcmc { start, kernel, moves, posterior, .. }) = objective.mcmc() else { return name };
    let start = match start {
        Start::Proposal => "chains from the proposal".to_owned(),
        Start::Data => "chains from data rows".to_owned(),
        Start::Persistent(Persistent { chains, .. }) => {
            format!("{} persistent chains", grouped(chains as usize))
        }
    };
    let kernel = match kernel {
        Kernel::Ula { noise } if noise != 1.0 => format!("Langevin with {noise} of the noise"),
        Kernel::Ula { .. } => "unadjusted Langevin".to_owned(),
        Kernel::Mala => "MALA".to_owned(),
        Kernel::Hmc { leapfrog } => format!("HMC of {leapfrog} leapfrog steps"),
    };
    let of_posterior = posterior
        .map(|of| format!(", {} of those of each posterior", of.moves))
        .unwrap_or_default();
    format!("{name}: {start}, {moves} moves of {kernel} a step{of_posterior}")
}

pub(crate) fn about_rows(rows: u64, se: f64) -> String {
    let error = if se.is_finite() {
        format!("the standard error of their mean is {se:.3} nats")
    } else {
        "a single row does not tell".to_owned()
    };
    format!(
        "The interval is about the normaliser. How well {rows} rows stand for all others is \
         another matter: {error}."
    )
}

/// The networks of a model of any kind in words.
pub fn networks(model: &AnyModel) -> String {
    let widths = |first: usize, hidden: &[usize]| {
        let all = std::iter::once(&first).chain(hidden).map(ToString::to_string);
        all.collect::<Vec<_>>().join("-")
    };
    match model {
        AnyModel::Density(model) => energy(&model.energy),
        AnyModel::Conditional(model) => format!(
            "of y given x: features {}, energy {}-1, log-normaliser {}-1, {}",
            widths(model.inputs, &model.features),
            widths(model.feature_width() + model.targets, &model.energy),
            widths(model.feature_width(), &model.log_normaliser),
            format!("{:?}", model.activation).to_lowercase(),
        ),
        AnyModel::Vae(model) => format!(
            "{} of z; encoder {}-{}, decoder {}-{}, {}{}",
            energy(&model.energy),
            widths(model.inputs, &model.encoder),
            2 * model.latent(),
            widths(model.latent(), &model.decoder),
            model.inputs,
            format!("{:?}", model.activation).to_lowercase(),
            if model.frozen { ", frozen" } else { "" },
        ),
    }
}

/// The proposal of a model of any kind in words.
pub fn proposal(model: &AnyModel) -> String {
    use snel_core::conditional::ConditionalProposal;
    use snel_core::vae::LatentBase;
    let model = match model {
        AnyModel::Density(model) => return density(&model.proposal),
        AnyModel::Conditional(model) => model,
        AnyModel::Vae(model) => {
            return match model.base {
                LatentBase::Normal => "of z, the standard normal".to_owned(),
                LatentBase::Mixture { components } => {
                    format!("of z, a learned mixture of {components} Gaussians")
                }
            };
        }
    };
    match &model.proposal {
        ConditionalProposal::Fixed(fixed) => density(fixed),
        ConditionalProposal::Network(network) => {
            let wide = match &network.defensive {
                Some(defensive) => format!(", {} of a wide density", defensive.weight),
                None => String::new(),
            };
            format!("mixture density network of {} Gaussians{wide}", network.components)
        }
        ConditionalProposal::Observed { noise, .. } => {
            format!("around the observed y: {}", density(noise))
        }
    }
}

/// An energy in words.
fn energy(energy: &snel_core::energy::Energy) -> String {
    use snel_core::energy::Energy;
    match energy {
        Energy::Zero { .. } => "none".to_owned(),
        Energy::Quadratic { dim } => format!("quadratic in {dim} values"),
        Energy::Mlp { dim, widths, activation, residual } => {
            let layers: Vec<String> =
                std::iter::once(dim).chain(widths).map(ToString::to_string).collect();
            let residual = if *residual { ", residual" } else { "" };
            format!("perceptron {}-1, {activation:?}{residual}", layers.join("-")).to_lowercase()
        }
    }
}

fn base(base: &snel_core::problem::Base) -> String {
    use snel_core::problem::Base;
    match base {
        Base::None => "none".to_owned(),
        Base::Proposal => "the proposal".to_owned(),
        Base::Density(d) => density(d),
    }
}

/// A density in words.
pub fn density(density: &snel_core::density::Density) -> String {
    use snel_core::density::{Affine, Density, Scale};
    let shape = |at: &Affine| match at.scale {
        Scale::Diagonal(_) => "diagonal",
        Scale::Lower(_) => "full",
    };
    match density {
        Density::Gaussian { at } => format!("Gaussian, {} covariance", shape(at)),
        Density::Student { df, at } => {
            format!("Student-t, {df} degrees of freedom, {} scale", shape(at))
        }
        Density::Uniform { .. } => "uniform on a box".to_owned(),
        Density::Mixture { weights, components } => {
            let mut kinds: Vec<String> = components.iter().map(self::density).collect();
            kinds.sort();
            kinds.dedup();
            format!("mixture of {}: {}", weights.len(), kinds.join("; "))
        }
    }
}
