//! A small classifier of images, for its features.
//!
//! Two hidden layers of SiLU units and a linear one, trained by the cross-entropy of the labels with
//! Adam over shuffled batches. Fixed seed, one thread, one order: the same images and labels give the
//! same classifier on a machine.

use ndarray::{Array1, Array2, ArrayView1, Axis, Zip};
use snel_core::activation::Activation;
use snel_core::density::Draws;
use snel_core::layout::{Layout, SegmentKind};
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::philox::{Key, Stream};
use snel_core::shuffle::Permutation;
use snel_core::state::State;

const HIDDEN: [usize; 2] = [256, 64];
const EPOCHS: u32 = 6;
const BATCH: usize = 128;
const SEED: u32 = 0;
const LR: f64 = 2e-3;
/// Images whose features are computed at a time.
const BLOCK: usize = 4096;
/// Labels are classes from 0 on; more than these are no classes.
const MOST_CLASSES: usize = 1000;

/// Labels that cannot be learned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// One label an image is needed.
    #[error("{labels} labels for {images} images")]
    Count {
        /// Labels.
        labels: usize,
        /// Images.
        images: usize,
    },
    /// Not a class.
    #[error("label {number} is {found}, not a whole number from 0 to {}", MOST_CLASSES - 1)]
    Label {
        /// Its number, from 0.
        number: usize,
        /// What it is.
        found: String,
    },
}

/// A trained classifier.
pub struct Classifier {
    layout: Layout,
    parameters: Vec<f32>,
    /// Of the images, of the hidden layers, and the number of classes.
    widths: Vec<usize>,
}

/// What a pass leaves: inputs of all layers, slopes of the hidden ones, and the logits.
struct Pass {
    inputs: Vec<Array2<f32>>,
    slopes: Vec<Array2<f32>>,
    logits: Array2<f32>,
}

impl Classifier {
    /// Learns `labels`, one for each of `images` (`labels.len() x dim`, row-major).
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn train(images: &[f32], dim: usize, labels: &[f64]) -> Result<Self, LabelError> {
        let classes = classes(labels)?;
        let rows = images.len() / dim.max(1);
        if labels.len() != rows || rows == 0 {
            return Err(LabelError::Count { labels: labels.len(), images: rows });
        }
        let count = classes.iter().max().map_or(1, |most| most + 1);
        let mut classifier = Self::new(dim, count);
        classifier.learn(images, &classes);
        Ok(classifier)
    }

    fn new(dim: usize, classes: usize) -> Self {
        let widths: Vec<usize> = [dim].into_iter().chain(HIDDEN).chain([classes]).collect();
        let mut tensors = Vec::new();
        for (i, pair) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            tensors.push((format!("{i}.weight"), vec![outputs, inputs], SegmentKind::Weight));
            tensors.push((format!("{i}.bias"), vec![outputs], SegmentKind::Bias));
        }
        let layout = Layout::of(tensors);
        let mut parameters = vec![0.0; layout.len()];
        for (i, segment) in (0..).zip(layout.segments()) {
            if segment.kind == SegmentKind::Weight {
                let mut draws = Draws::new(Key::new(SEED, Stream::Initialise), 0, i);
                let mut normals = vec![0.0; segment.len()];
                draws.normals(&mut normals);
                let sd = (2.0 / segment.shape[1] as f64).sqrt();
                let weights = &mut parameters[segment.range()];
                weights.iter_mut().zip(normals).for_each(|(w, z)| *w = (sd * z) as f32);
            }
        }
        Self { layout, parameters, widths }
    }

    /// Values of an image's features.
    pub fn feature_width(&self) -> usize {
        HIDDEN[HIDDEN.len() - 1]
    }

    /// Features of `images` (row-major), in order.
    pub fn features(&self, images: &[f32]) -> Vec<f32> {
        let mut features = Vec::new();
        self.for_each_pass(images, |mut pass| {
            features.extend(pass.inputs.pop().unwrap_or_default());
        });
        features
    }

    /// Share of `images` whose most likely class is their label.
    pub fn accuracy(&self, images: &[f32], labels: &[f64]) -> f64 {
        let mut guesses = Vec::new();
        self.for_each_pass(images, |pass| guesses.extend(pass.logits.rows().into_iter().map(most)));
        let right = guesses.iter().zip(labels).filter(|(g, l)| **g as f64 == **l).count();
        right as f64 / guesses.len() as f64
    }

    fn for_each_pass(&self, images: &[f32], mut visit: impl FnMut(Pass)) {
        let dim = self.widths[0];
        for block in images.chunks(BLOCK * dim) {
            visit(self.forward(&self.parameters, matrix(block.to_vec(), dim)));
        }
    }

    fn learn(&mut self, images: &[f32], classes: &[usize]) {
        let (dim, rows) = (self.widths[0], classes.len());
        let batches = rows.div_ceil(BATCH);
        let steps = u64::from(EPOCHS) * batches as u64;
        let schedule = Schedule { warmup: 0, shape: Shape::Cosine { steps, floor: 0.0 } };
        let optim = Optim { lr: LR, weight_decay: 1e-2, schedule, ..Optim::default() };
        let mut state = State::new(std::mem::take(&mut self.parameters));
        for epoch in 0..EPOCHS {
            let order = Permutation::new(Key::new(SEED, Stream::Shuffle), epoch, rows as u64);
            for batch in 0..batches {
                let range = batch * BATCH..((batch + 1) * BATCH).min(rows);
                let rows: Vec<usize> = range.map(|i| order.at(i as u64) as usize).collect();
                let classes: Vec<usize> = rows.iter().map(|&row| classes[row]).collect();
                let x = rows.iter().flat_map(|&row| &images[row * dim..][..dim]).copied();
                let x = matrix(x.collect(), dim);
                let gradient = self.gradient(&state.parameters, x, &classes);
                optim.update(&self.layout, &gradient, &mut state);
            }
        }
        self.parameters = state.parameters;
    }

    fn weight(&self, parameters: &[f32], layer: usize) -> Array2<f32> {
        let segment = &self.layout.segments()[2 * layer];
        matrix(parameters[segment.range()].to_vec(), segment.shape[1])
    }

    fn forward(&self, parameters: &[f32], x: Array2<f32>) -> Pass {
        let (mut inputs, mut slopes) = (Vec::new(), Vec::new());
        let mut h = x;
        for layer in 0..=HIDDEN.len() {
            let bias = &self.layout.segments()[2 * layer + 1];
            let bias = ArrayView1::from(&parameters[bias.range()]);
            let mut z = h.dot(&self.weight(parameters, layer).t()) + bias;
            inputs.push(h);
            if layer < HIDDEN.len() {
                let mut slope = Array2::zeros(z.raw_dim());
                Zip::from(&mut z).and(&mut slope).for_each(|z, slope| {
                    let (value, d) = Activation::Silu.value_and_slope(f64::from(*z));
                    (*z, *slope) = (value as f32, d as f32);
                });
                slopes.push(slope);
            }
            h = z;
        }
        Pass { inputs, slopes, logits: h }
    }

    /// Gradient of the mean cross-entropy.
    fn gradient(&self, parameters: &[f32], x: Array2<f32>, classes: &[usize]) -> Vec<f64> {
        let Pass { inputs, slopes, logits } = self.forward(parameters, x);
        let n = classes.len() as f32;
        let mut cotangent = logits;
        for (mut row, &class) in cotangent.rows_mut().into_iter().zip(classes) {
            let probabilities = softmax(row.to_owned());
            row.assign(&probabilities);
            row[class] -= 1.0;
            row /= n;
        }
        let mut gradient = vec![0.0; self.layout.len()];
        for layer in (0..=HIDDEN.len()).rev() {
            let [weight, bias] = [2 * layer, 2 * layer + 1].map(|i| &self.layout.segments()[i]);
            let add = |to: &mut [f64], from: &mut dyn Iterator<Item = &f32>| {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = f64::from(*from));
            };
            add(&mut gradient[weight.range()], &mut cotangent.t().dot(&inputs[layer]).iter());
            add(&mut gradient[bias.range()], &mut cotangent.sum_axis(Axis(0)).iter());
            if layer > 0 {
                cotangent = cotangent.dot(&self.weight(parameters, layer)) * &slopes[layer - 1];
            }
        }
        gradient
    }
}

/// `values`, whole rows of `columns` each, as a matrix.
fn matrix(values: Vec<f32>, columns: usize) -> Array2<f32> {
    Array2::from_shape_vec((values.len() / columns, columns), values).unwrap_or_default()
}

/// Labels as classes.
fn classes(labels: &[f64]) -> Result<Vec<usize>, LabelError> {
    let class = |(number, &label): (usize, &f64)| {
        let whole = label.fract() == 0.0 && (0.0..MOST_CLASSES as f64).contains(&label);
        let wrong = || LabelError::Label { number, found: label.to_string() };
        whole.then_some(label as usize).ok_or_else(wrong)
    };
    labels.iter().enumerate().map(class).collect()
}

/// Probabilities of the logits.
fn softmax(mut logits: Array1<f32>) -> Array1<f32> {
    let most = logits.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    logits.mapv_inplace(|l| (l - most).exp());
    let total = logits.sum();
    logits / total
}

/// The place of the largest value.
fn most(values: ArrayView1<'_, f32>) -> usize {
    let by_value = |a: &(usize, &f32), b: &(usize, &f32)| a.1.total_cmp(b.1);
    values.iter().enumerate().max_by(by_value).map_or(0, |(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIM: usize = 36;

    /// Noisy pictures of 6 x 6: a bar in the row of the class.
    fn pictures(n: usize, stream: u32) -> (Vec<f32>, Vec<f64>) {
        let labels: Vec<f64> = (0..n).map(|i| (i % 6) as f64).collect();
        let picture = |i: usize| {
            let mut noise = vec![0.0; DIM];
            Draws::new(Key::new(stream, Stream::Toy), 0, i as u64).uniforms(&mut noise);
            (0..DIM).map(move |p| if p / 6 == i % 6 { 1.0 } else { 0.8 * noise[p] as f32 })
        };
        ((0..n).flat_map(picture).collect(), labels)
    }

    #[test]
    fn it_learns_bars() {
        let (images, labels) = pictures(1200, 1);
        let classifier = Classifier::train(&images, DIM, &labels).unwrap();
        let (fresh, labels) = pictures(300, 2);
        assert!(classifier.accuracy(&fresh, &labels) > 0.95);
        assert_eq!(classifier.features(&fresh).len(), 300 * classifier.feature_width());
    }

    /// Central differences in f32: the loss, about 2, is rounded at 1e-7, so a slope by steps of 1e-2
    /// is off by 1e-5 and its truncation by as much.
    #[test]
    fn the_gradient_is_that_of_the_cross_entropy() {
        let (images, labels) = pictures(8, 3);
        let classes = classes(&labels).unwrap();
        let classifier = Classifier::new(DIM, 6);
        let x = matrix(images, DIM);
        let loss = |parameters: &[f32]| -> f64 {
            let logits = classifier.forward(parameters, x.clone()).logits;
            let rows = logits.rows().into_iter().zip(&classes);
            let of = |(row, &class): (ArrayView1<f32>, &usize)| {
                -f64::from(softmax(row.to_owned())[class]).ln() / 8.0
            };
            rows.map(of).sum()
        };
        let gradient = classifier.gradient(&classifier.parameters, x.clone(), &classes);
        for i in (0..gradient.len() - 1).step_by(997) {
            let moved = |by: f32| {
                let mut parameters = classifier.parameters.clone();
                parameters[i] += by;
                loss(&parameters)
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((gradient[i] - slope).abs() < 1e-4, "{i}: {} {slope}", gradient[i]);
        }
    }

    #[test]
    fn labels_must_fit() {
        let (images, labels) = pictures(12, 1);
        let error = Classifier::train(&images, DIM, &labels[..11]).err();
        assert_eq!(error, Some(LabelError::Count { labels: 11, images: 12 }));
        let error = Classifier::train(&images, DIM, &[0.5; 12]).err();
        assert!(matches!(error, Some(LabelError::Label { number: 0, .. })));
    }
}
