//! The pictures of a run of a variational auto-encoder.

use snel_core::vae::VaeEngine;
use snel_data::Dataset;

use super::latent::principal;
use super::sample::{Decoding, decode};
use crate::evaluate::for_each_rows;
use crate::metrics::Record;
use crate::model_file::ModelFile;
use crate::pictures::{Picture, curves};
use crate::plot::{self, Corner, Images, Subject};
use crate::report::Figure;
use crate::run::RunError;
use crate::sample::{default_pool, resample};

/// Test rows on the latent map, and points of the prior beside them.
const POINTS: u64 = 2000;
/// Directions of the latent map.
const DIRECTIONS: usize = 3;
/// Images in a row of a picture, and rows.
const COLUMNS: usize = 10;
const ROWS: usize = 10;

/// All pictures that the run has the numbers for.
///
/// # Errors
/// [`RunError`] if rows cannot be read or a picture not be drawn.
pub fn pictures(
    records: &[Record],
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn VaeEngine,
) -> Result<Vec<Picture>, RunError> {
    let picture = |name, title: &str, caption: &str, svg| Picture {
        name,
        figure: Figure { title: title.to_owned(), caption: caption.to_owned(), svg },
    };
    let mut pictures = curves(records, &[])?;
    let look = Look { dataset, model, engine };
    let drawn = look.prior((COLUMNS * ROWS) as u64);
    if let (Some(side), Some(z)) = (side(engine.model().inputs), &drawn) {
        pictures.push(picture(
            "samples",
            "Samples",
            "Means of p(x|z) at points drawn from the prior.",
            look.samples(side, z)?,
        ));
        pictures.push(picture(
            "reconstructions",
            "Reconstructions",
            "Test rows, each above the mean of p(x|z) at its mean of q(z|x).",
            look.reconstructions(side)?,
        ));
    }
    if let Some(svg) = look.latent_map()? {
        pictures.push(picture(
            "latent",
            "Latent space",
            "Means of q(z|x) of test rows against points of the prior, along the directions in which \
             the former vary most. A prior that fits covers them and no more.",
            svg,
        ));
    }
    Ok(pictures)
}

/// The side of a square image of `values` values; none unless it is one.
fn side(values: usize) -> Option<usize> {
    let side = values.isqrt();
    (side > 1 && side * side == values).then_some(side)
}

/// A trained model and its data.
struct Look<'a> {
    dataset: &'a Dataset,
    model: &'a ModelFile,
    engine: &'a dyn VaeEngine,
}

impl Look<'_> {
    /// `count` points of the prior; none if no sample of its base has any weight.
    fn prior(&self, count: u64) -> Option<Vec<f32>> {
        let (latent, seed) = (self.engine.model().latent(), self.model.header.seed);
        let drawn = resample(self.engine, latent, seed, count, default_pool(count));
        drawn.ok().map(|drawn| drawn.points)
    }

    /// The first test rows, at most `count`.
    fn rows(&self, count: u64) -> Result<Vec<f32>, RunError> {
        let mut x = Vec::new();
        for_each_rows(&self.dataset.test, count, |_, block| x.extend(block))?;
        Ok(x)
    }

    /// Means of `q(z|x)` at the rows `x`.
    fn encode(&self, x: &[f32]) -> Vec<f32> {
        let model = self.engine.model();
        let mut means = vec![0.0; x.len() / model.inputs * model.latent()];
        let mut deviations = means.clone();
        self.engine.encode(x, &mut means, &mut deviations);
        means
    }

    /// Rows as images, black at the smallest value of the data and white at the largest.
    fn images(
        &self,
        side: usize,
        title: &'static str,
        subtitle: &str,
        x: &[f32],
    ) -> Result<String, RunError> {
        let shown = self.rows((COLUMNS * ROWS) as u64)?;
        let low = shown.iter().copied().fold(f32::INFINITY, f32::min);
        let high = shown.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let range = if high > low { high - low } else { 1.0 };
        Ok(plot::images(&Images {
            title,
            subtitle: subtitle.to_owned(),
            height: side,
            width: side,
            columns: COLUMNS,
            values: x.iter().map(|v| (v - low) / range).collect(),
        })?)
    }

    fn samples(&self, side: usize, z: &[f32]) -> Result<String, RunError> {
        let x = decode(self.engine, &self.model.parameters, z, Decoding::Mean);
        self.images(side, "Samples", "means of p(x|z), z from the prior", &x)
    }

    fn reconstructions(&self, side: usize) -> Result<String, RunError> {
        let x = self.rows((COLUMNS * ROWS / 2) as u64)?;
        let z = self.encode(&x);
        let again = decode(self.engine, &self.model.parameters, &z, Decoding::Mean);
        let row = COLUMNS * self.engine.model().inputs;
        let both = x.chunks(row).zip(again.chunks(row)).flat_map(|(x, again)| [x, again]);
        let both: Vec<f32> = both.flatten().copied().collect();
        self.images(
            side,
            "Reconstructions",
            "rows of test data, each above what is made of it",
            &both,
        )
    }

    /// None without a point of the prior.
    fn latent_map(&self) -> Result<Option<String>, RunError> {
        let latent = self.engine.model().latent();
        let encoded = self.encode(&self.rows(POINTS)?);
        let Some(prior) = self.prior(encoded.len() as u64 / latent as u64) else { return Ok(None) };
        let map = principal(&encoded, latent, DIRECTIONS.min(latent));
        let names = (1..=map.directions()).map(|k| format!("direction {k}")).collect();
        let [data, model] = [&encoded, &prior].map(|z| map.project(z));
        Ok(Some(plot::corner(&Corner { subject: Subject::Latents, names, data, model })?))
    }
}
