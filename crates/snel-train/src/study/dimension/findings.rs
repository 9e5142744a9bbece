//! Tables and pictures of `snel study dimension`.

use snel_core::objective::Objective;

use super::{GIVES_OUT, Law, checks, laws, select};
use crate::evaluate::Estimate;
use crate::plot::{Measured, Scaling, Trend, short};
use crate::report::Table;
use crate::study::StudyError;
use crate::study::measure::{Quantity, Row};
use crate::study::page::Findings;
use crate::study::samples::{method_name, of};
use crate::study::target::{Proposal, Target};

const DIM: &str = "dimensions D";

/// What the page says before its numbers.
pub const EXPLANATION: [&str; 3] = [
    "Two models of known normaliser, a standard normal and a mixture of two normals four deviations \
     apart, under five proposals with the same number of samples. The mixture has no closed forms \
     for its weights; for it the measurements speak alone.",
    "The second moment of the weights, one and the chi-square divergence, is the factor by which \
     effective samples are fewer. A proposal that is wrong by the same factor in every coordinate \
     loses exponentially in the dimension; heavy tails and displaced mass lose as a power of it.",
    "Where few effective samples are left, repetitions agree with each other and are wrong \
     together: the samples that would make up for it did not come. Their error bars are not to be \
     believed there, and no prediction is tested there.",
];

/// Everything that the study has found.
///
/// # Errors
/// [`StudyError`] if a picture cannot be drawn.
pub fn findings(rows: &[Row]) -> Result<Findings, StudyError> {
    use Objective::{IsMle, Snl};
    use Quantity::{EssFraction, GradientBias, GradientVariance, LogZBias};
    let mut found = Findings { checks: checks(rows), ..Findings::default() };
    found.tables = vec![law_table(&laws(rows)), method_table(rows)];
    for (method, quantity, axis, caption, [gaussian, mixture]) in [
        (
            Snl,
            EssFraction,
            "share",
            "At a fixed number of samples; dashes are theory, where it is known.",
            [
                ("ess-gaussian", "Effective share of the samples, Gaussian target"),
                ("ess-mixture", "Effective share of the samples, mixture target"),
            ],
        ),
        (
            IsMle,
            LogZBias,
            "nats, too low",
            "Half the variance while it is small. Where effective samples are few, what is missing is \
             nearly all of `Z`: the upper bound is too high by as many nats.",
            [
                ("log-z-gaussian", "Bias of log Ẑ, Gaussian target"),
                ("log-z-mixture", "Bias of log Ẑ, mixture target"),
            ],
        ),
        (
            Snl,
            GradientVariance,
            "trace of the covariance",
            "Of the whole gradient, whose length grows with `D`, too. It falls again where the heavy \
             samples no longer come: then it is wrong.",
            [
                ("gradient-gaussian", "Variance of SNL's gradient, Gaussian target"),
                ("gradient-mixture", "Variance of SNL's gradient, mixture target"),
            ],
        ),
    ] {
        for (target, (name, title)) in Target::ALL.into_iter().zip([gaussian, mixture]) {
            let trends = Proposal::ALL.map(|p| trend(rows, target, p, method, quantity)).to_vec();
            found.picture(name, &Scaling { title, axes: [DIM, axis], trends }, caption)?;
        }
    }
    let methods = Objective::ALL.map(|method| Trend {
        name: method_name(method).to_owned(),
        ..trend(rows, Target::Gaussian, Proposal::Wide, method, GradientBias)
    });
    found.picture(
        "gradient-bias",
        &Scaling {
            title: "Bias of the gradient, Gaussian target, wide proposal",
            axes: [DIM, "along the normaliser's gradient"],
            trends: methods.to_vec(),
        },
        "Until effective samples run out SNL has none. Then its mean rests on samples that are too \
         rare to be seen, and what comes is biased for every method.",
    )?;
    Ok(found)
}

fn trend(
    rows: &[Row],
    target: Target,
    proposal: Proposal,
    method: Objective,
    quantity: Quantity,
) -> Trend {
    let rows = select(rows, target, proposal);
    let x = |row: &Row| row.dim as f64;
    // Equal weights leave nothing but rounding.
    let seen = |row: &&Row| quantity == Quantity::EssFraction || row.estimate.abs() > 1e-9;
    let measured = |row: &Row| Measured { x: x(row), y: row.estimate, se: row.standard_error };
    // The first order of a bias ends where it is larger than what it is a correction to.
    let theory = |row: &Row| {
        let sensible =
            quantity == Quantity::EssFraction || row.theory.is_some_and(|t| t.abs() < 0.5);
        let kept = row.theory.filter(|_| sensible || quantity == Quantity::GradientVariance);
        Some((x(row), kept?))
    };
    Trend {
        name: proposal.name().to_owned(),
        measured: of(&rows, method, quantity).filter(seen).map(measured).collect(),
        theory: of(&rows, method, quantity).filter_map(theory).collect(),
    }
}

fn with_error(estimate: Option<Estimate>) -> String {
    estimate.map_or("–".to_owned(), |e| format!("{} ± {}", short(e.value, 3), short(e.se, 2)))
}

fn law_table(laws: &[Law]) -> Table {
    let row = |law: &Law| {
        let misfit = |fit: Option<f64>| fit.map_or("–".to_owned(), |m| short(m, 2));
        vec![
            format!("{} target, {}", law.target.name(), law.proposal.name()),
            with_error(law.rate),
            misfit(law.misfits[0]),
            with_error(law.power),
            misfit(law.misfits[1]),
            law.gave_out.map_or("not yet".to_owned(), |dim| dim.to_string()),
            law.gives_out.map_or("–".to_owned(), |dim| short(dim, 2)),
        ]
    };
    let columns = [
        "model and proposal",
        "rate, nats a dimension",
        "misfit",
        "power of D",
        "misfit",
        "gave out at D",
        "by the better law",
    ];
    Table {
        title: "How fast effective samples go".to_owned(),
        caption: format!(
            "Two laws for the second moment of the weights, exponential and power, fitted to the four \
             largest dimensions where it is known well. Misfit is about 1 for a law that is right. A proposal gives out \
             where fewer than {GIVES_OUT} effective samples are left."
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: laws.iter().map(row).collect(),
    }
}

fn method_table(rows: &[Row]) -> Table {
    let wide = select(rows, Target::Gaussian, Proposal::Wide);
    let mut table = Table {
        title: "The three methods, Gaussian target, wide proposal".to_owned(),
        caption: "Bias of the gradient along the normaliser's, standard deviation of the whole \
                  gradient, milliseconds of one gradient."
            .to_owned(),
        columns: ["method", "D", "bias", "theory", "deviation", "ms", "peak, MiB"]
            .map(str::to_owned)
            .to_vec(),
        rows: Vec::new(),
    };
    for method in Objective::ALL {
        for bias in of(&wide, method, Quantity::GradientBias) {
            let spread = of(&wide, method, Quantity::GradientVariance)
                .find(|row| row.dim == bias.dim)
                .map_or(f64::NAN, |row| row.estimate.sqrt());
            table.rows.push(vec![
                method_name(method).to_owned(),
                bias.dim.to_string(),
                with_error(Some(bias.estimate())),
                bias.theory.map_or("–".to_owned(), |theory| short(theory, 3)),
                short(spread, 3),
                short(1e3 * bias.seconds, 3),
                bias.peak_memory_mib.map_or("–".to_owned(), |mib| short(mib, 3)),
            ]);
        }
    }
    table
}
