//! Tables and pictures of `snel study samples`.

use snel_core::objective::Objective;

use super::{checks, of};
use crate::plot::{Measured, Scaling, Trend, grouped, short};
use crate::report::Table;
use crate::study::StudyError;
use crate::study::measure::{Quantity, Row};
use crate::study::page::Findings;

const SAMPLES: &str = "proposal samples M";

/// What the page says before its numbers.
pub const EXPLANATION: [&str; 3] = [
    "A standard normal in four dimensions is the model, a Gaussian 1.3 times as wide the proposal. \
     Value, gradient and normaliser are known, so bias and variance are measured against the truth.",
    "SNL, IS-MLE and NCE see the same rows and the same samples: the same number of energy \
     evaluations. Bias of a gradient means: its mean less the gradient of the likelihood, along the \
     mean gradient of the energy, which is the pull of the normaliser.",
    "The biases of IS-MLE and NCE are measured as differences from SNL on the same samples, whose \
     noise falls as fast as they do; that SNL has none is measured without that.",
];

/// Everything that the study has found.
///
/// # Errors
/// [`StudyError`] if a picture cannot be drawn.
pub fn findings(rows: &[Row]) -> Result<Findings, StudyError> {
    use Objective::{IsMle, Nce, Snl};
    use Quantity::{BoundBias, GradientBias, GradientVariance, LogZVariance, ZVariance};
    let mut found = Findings { checks: checks(rows), ..Findings::default() };
    found.tables = vec![times(rows), numbers(rows)];
    let trend = |name, method, quantity| trend(rows, name, method, quantity);
    found.picture(
        "variance",
        &Scaling {
            title: "Variance of the normaliser's estimate",
            axes: [SAMPLES, "variance"],
            trends: vec![
                trend("Ẑ / Z, and SNL's bound", Snl, ZVariance),
                trend("log Ẑ, and the upper bound", IsMle, LogZVariance),
            ],
        },
        "Both fall as `1/M`; dashes are the chi-square divergence over `M`.",
    )?;
    found.picture(
        "bias",
        &Scaling {
            title: "Bias of the bounds",
            axes: [SAMPLES, "nats"],
            trends: vec![
                trend("upper bound (− log Ẑ), too high", IsMle, BoundBias),
                trend("SNL's bound at b = log Z", Snl, BoundBias),
            ],
        },
        "The upper bound is too high by half the variance of `Ẑ`. SNL's bound has no bias: what is \
         drawn is the limit that two standard errors leave.",
    )?;
    found.picture(
        "gradient-bias",
        &Scaling {
            title: "Bias of the gradient",
            axes: [SAMPLES, "along the normaliser's gradient"],
            trends: vec![
                trend("SNL", Snl, GradientBias),
                trend("IS-MLE", IsMle, GradientBias),
                trend("NCE", Nce, GradientBias),
            ],
        },
        "IS-MLE's bias falls as `1/M`. NCE optimises something else until there are many more \
         samples than rows. SNL has no bias: limits, not values.",
    )?;
    found.picture(
        "gradient-variance",
        &Scaling {
            title: "Variance of the gradient",
            axes: [SAMPLES, "trace of the covariance"],
            trends: vec![
                trend("SNL", Snl, GradientVariance),
                trend("IS-MLE", IsMle, GradientVariance),
                trend("NCE", Nce, GradientVariance),
            ],
        },
        "At the same number of samples. SNL and IS-MLE hardly differ here. NCE bounds the weights by \
         `M/n`: while that is small, so is its variance, and its bias is not.",
    )?;
    let seconds = |name: &str, method| {
        let place = |row: &Row| Measured { x: row.samples as f64, y: row.seconds, se: 0.0 };
        let measured = of(rows, method, GradientBias).map(place).collect();
        Trend { name: name.to_owned(), measured, theory: Vec::new() }
    };
    found.picture(
        "time",
        &Scaling {
            title: "Time of a gradient",
            axes: [SAMPLES, "seconds"],
            trends: vec![seconds("SNL", Snl), seconds("IS-MLE", IsMle), seconds("NCE", Nce)],
        },
        "The time of a gradient is that of its energy evaluations; below some thousand points it is \
         that of everything else.",
    )?;
    Ok(found)
}

fn trend(rows: &[Row], name: &str, method: Objective, quantity: Quantity) -> Trend {
    let place = |row: &Row| (row.samples as f64, row.theory.unwrap_or(f64::NAN));
    let measured =
        |row: &Row| Measured { x: row.samples as f64, y: row.estimate, se: row.standard_error };
    Trend {
        name: name.to_owned(),
        measured: of(rows, method, quantity).map(measured).collect(),
        theory: of(rows, method, quantity).map(place).collect(),
    }
}

fn times(rows: &[Row]) -> Table {
    let mut table = Table {
        title: "Time, memory and effective samples".to_owned(),
        caption: "Memory is the peak of the whole process; it does not grow with `M` beyond what \
                  the threads' chunks need."
            .to_owned(),
        columns: ["M", "repetitions", "ESS", "SNL, s", "IS-MLE, s", "NCE, s", "peak, MiB"]
            .map(str::to_owned)
            .to_vec(),
        rows: Vec::new(),
    };
    for row in of(rows, Objective::Snl, Quantity::EssFraction) {
        let time = |method| {
            let mut same = of(rows, method, Quantity::GradientBias);
            same.find(|r| r.samples == row.samples).map_or(f64::NAN, |r| r.seconds)
        };
        let memory = rows.iter().filter(|r| r.samples == row.samples);
        let memory = memory.filter_map(|r| r.peak_memory_mib).fold(f64::NAN, f64::max);
        let mut cells = vec![
            grouped(row.samples as usize),
            grouped(row.repetitions as usize),
            format!("{} %", short(100.0 * row.estimate, 4)),
        ];
        cells.extend(Objective::ALL.map(|method| short(time(method), 3)));
        cells.push(short(memory, 3));
        table.rows.push(cells);
    }
    table
}

fn numbers(rows: &[Row]) -> Table {
    let cells = |row: &Row| {
        vec![
            format!("{}, {}", method_name(row.method), row.quantity.name()),
            grouped(row.samples as usize),
            format!("{} ± {}", short(row.estimate, 4), short(row.standard_error, 2)),
            row.theory.map_or("–".to_owned(), |theory| short(theory, 4)),
        ]
    };
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| (method_name(row.method), row.quantity as u8, row.samples));
    Table {
        title: "All numbers".to_owned(),
        caption: "As in `study.csv`.".to_owned(),
        columns: ["quantity", "M", "measured", "theory"].map(str::to_owned).to_vec(),
        rows: sorted.into_iter().map(cells).collect(),
    }
}

/// A method as people write it.
pub(in crate::study) fn method_name(method: Objective) -> &'static str {
    match method {
        Objective::Snl => "SNL",
        Objective::IsMle => "IS-MLE",
        Objective::Nce => "NCE",
        Objective::Mcmc(_) => "MCMC",
    }
}
