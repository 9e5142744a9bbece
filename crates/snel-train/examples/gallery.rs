//! Writes one sample of every picture, as SVG and PNG, and a report of them, to look at after a change:
//! `cargo run -p snel-train --example gallery -- OUTDIR`
//!
//! The numbers are made up, in the shapes that real runs have: a wild start, noise, a late plateau.

use std::{error::Error, fs, path::PathBuf};

use snel_train::{
    plot::{
        self, Bounds, Corner, Density2d, Grid, Interval, NormaliserPoint, PlotError, Shade,
        Slice1d, Yardstick,
    },
    report::{self, Figure, HOW_TO_READ, Headline, Report, Table},
};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::args().nth(1).ok_or("usage: gallery OUTDIR")?);
    fs::create_dir_all(&out)?;
    let pictures = pictures()?;
    for (name, svg) in &pictures {
        fs::write(out.join(format!("{name}.svg")), svg)?;
        fs::write(out.join(format!("{name}.png")), plot::to_png(svg, 2.0)?)?;
    }
    fs::write(out.join("report.html"), report::html(&report(&pictures)))?;
    Ok(())
}

fn pictures() -> Result<Vec<(&'static str, String)>, PlotError> {
    Ok(vec![
        ("bounds", plot::bounds(&run(20_000, 250))?),
        ("bounds_short", plot::bounds(&run(7, 3))?),
        ("ess", plot::ess(&ess(20_000))?),
        ("log_normaliser", plot::log_normaliser(&normaliser(20_000))?),
        ("log_weights", plot::log_weights(&log_weights(65_536))?),
        ("density_2d", plot::density_2d(&density_2d(true, Shade::Density))?),
        ("density_2d_log", plot::density_2d(&density_2d(false, Shade::LogDensity))?),
        ("slice_1d", plot::slice_1d(&slice_1d())?),
        ("corner_3", plot::corner(&corner(3))?),
        ("corner_10", plot::corner(&corner(10))?),
        ("empty", plot::bounds(&Bounds::default())?),
    ])
}

/// A small generator, so that the gallery is the same every time.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn run(steps: u64, evaluate_every: u64) -> Bounds {
    let mut noise = Noise(1);
    let scale = steps as f64 / 8.0;
    let level = |step: u64| -2.06 - 1.9 * (-(step as f64) / scale).exp();
    let train = (0..steps).map(|step| {
        let wild = if step < steps / 1000 { -(10f64.powf(12.0 * noise.uniform())) } else { 0.0 };
        let rare = if noise.uniform() < 0.002 { -3.0 * noise.uniform() } else { 0.0 };
        (step, level(step) + 0.09 * noise.normal() + wild + rare)
    });
    let train = train.collect();
    let validation = (0..=steps).step_by(evaluate_every as usize).map(|step| {
        let gap = 0.03 + 0.3 * (-(step as f64) / scale).exp();
        let middle = level(step) - 0.015 + 0.004 * noise.normal();
        Interval { step, lower: middle - gap, upper: middle + 0.5 * gap }
    });
    let validation = validation.collect();
    let yardstick = |name: &str, nats| Yardstick { name: name.into(), nats };
    Bounds {
        train,
        validation,
        yardsticks: vec![yardstick("Gaussian", -2.837), yardstick("proposal", -9.3)],
        units: "nats per point, original units".into(),
    }
}

fn ess(steps: u64) -> Vec<(u64, f64)> {
    let mut noise = Noise(2);
    (0..steps)
        .map(|s| {
            let log = -0.4 - 1.6 * (-(s as f64) / 3000.0).exp() + 0.12 * noise.normal();
            (s, if noise.uniform() < 0.001 { 1e-5 } else { 10f64.powf(log).min(1.0) })
        })
        .collect()
}

fn normaliser(steps: u64) -> Vec<NormaliserPoint> {
    let mut noise = Noise(3);
    let mut b = 0.3;
    (0..steps)
        .step_by(10)
        .map(|step| {
            let truth = 4.0 * (1.0 - (-(step as f64) / 4000.0).exp());
            b += 0.05 * (truth - b);
            NormaliserPoint { step, b, log_z: truth + 0.05 * noise.normal() }
        })
        .collect()
}

fn log_weights(n: usize) -> Vec<f64> {
    let mut noise = Noise(4);
    (0..n).map(|_| 12.0 - 1.2 * noise.normal().abs() - 0.4 * noise.uniform().ln()).collect()
}

/// Eight Gaussians on a circle, and a slightly wider imitation.
fn ring_log_density(x: f64, y: f64, sd: f64) -> f64 {
    let near = |k: i32| {
        let a = std::f64::consts::FRAC_PI_4 * f64::from(k);
        let d2 = (x - 2.0 * a.cos()).powi(2) + (y - 2.0 * a.sin()).powi(2);
        (-0.5 * d2 / (sd * sd)).exp()
    };
    ((0..8).map(near).sum::<f64>() / (8.0 * std::f64::consts::TAU * sd * sd)).ln()
}

fn density_2d(with_truth: bool, shade: Shade) -> Density2d {
    let mut noise = Noise(5);
    let grid = |n: usize, sd: f64| {
        let at = |i: usize| -3.2 + 6.4 * (i as f64 + 0.5) / n as f64;
        let cells = (0..n * n).map(|i| ring_log_density(at(i % n), at(i / n), sd));
        Grid { nx: n, ny: n, log_density: cells.collect() }
    };
    let data = (0..10_000).map(|i| {
        let a = std::f64::consts::FRAC_PI_4 * f64::from(i % 8);
        [2.0 * a.cos() + 0.2 * noise.normal(), 2.0 * a.sin() + 0.2 * noise.normal()]
    });
    Density2d {
        conditional: false,
        names: ["east (km)".into(), "north (km)".into()],
        x: [-3.2, 3.2],
        y: [-3.2, 3.2],
        data: data.collect(),
        learned: grid(160, 0.23),
        truth: with_truth.then(|| grid(160, 0.2)),
        shade,
    }
}

fn slice_1d() -> Slice1d {
    let mut noise = Noise(6);
    let density = |x: f64, sd: f64| {
        let peak = |m: f64, s: f64| (-0.5 * ((x - m) / s).powi(2)).exp() / (s * 2.506_628);
        (0.65 * peak(2.0, sd) + 0.35 * peak(4.4, 0.8 * sd)).ln()
    };
    let data = (0..6000).map(|_| {
        if noise.uniform() < 0.65 { 2.0 + 0.5 * noise.normal() } else { 4.4 + 0.4 * noise.normal() }
    });
    let curve =
        |sd: f64| (0..400).map(|i| f64::from(i) / 60.0).map(|x| (x, density(x, sd))).collect();
    Slice1d {
        name: "waiting time (min)".into(),
        data: data.collect(),
        learned: curve(0.53),
        truth: Some(curve(0.5)),
    }
}

fn corner(width: usize) -> Corner {
    let mut noise = Noise(7);
    let mut rows = |n: usize, sd: f64| {
        let mut out = Vec::with_capacity(n * width);
        for _ in 0..n {
            let (a, b, side) = (noise.normal(), noise.normal(), noise.uniform().round());
            for j in 0..width {
                out.push(match j % 3 {
                    0 => 240.0 + 30.0 * (sd * a + 5.0 * side),
                    1 => 0.02 * (a * a + 0.5 * sd * b),
                    _ => sd * b + 0.4 * noise.normal() - side,
                });
            }
        }
        out
    };
    let names = ["global_active_power (W)", "voltage drop", "log intensity"];
    Corner {
        names: (0..width).map(|j| names[j % 3].to_owned()).collect(),
        data: rows(6000, 1.0),
        model: rows(6000, 1.15),
        ..Corner::default()
    }
}

fn report(pictures: &[(&str, String)]) -> Report {
    let figure = |(name, svg): &(&str, String)| Figure {
        title: (*name).into(),
        caption: format!("Sample picture `{name}`: one sentence says what it shows."),
        svg: svg.clone(),
    };
    let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    Report {
        title: "power: household consumption".into(),
        facts: vec![
            fact("Data", "power.csv, 1,659,917 rows, 6 columns, standardised"),
            fact("Model", "energy network, 3 layers of 128, SiLU; 34,177 parameters"),
            fact("Objective", "SNL, 65,536 proposal samples a step"),
            fact("Steps", "20,000 in 41 minutes on 8 threads"),
        ],
        headlines: vec![Headline {
            name: "Test log-likelihood, original units".into(),
            interval: "−2.113 to −2.064 nats per point".into(),
            explanation: vec![HOW_TO_READ.into()],
        }],
        warnings: vec![
            "The largest weight carries 31 % of the sum: raise `proposal.scale`.".into(),
        ],
        tables: vec![Table {
            title: "Yardsticks".into(),
            caption: "The same test data under simpler models, in nats per point.".into(),
            columns: row(["model", "lower", "upper"]),
            rows: vec![
                row(["this run", "−2.113", "−2.064"]),
                row(["Gaussian", "−2.837", "−2.837"]),
                row(["proposal", "−9.300", "−9.300"]),
            ],
        }],
        figures: pictures.iter().map(figure).collect(),
        config: "[model]\nenergy = \"mlp\"\nwidth = 128\ndepth = 3\n".into(),
        command: "snel train power.toml --out runs/power".into(),
    }
}
