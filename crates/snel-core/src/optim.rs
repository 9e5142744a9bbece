//! Adam and AdamW on the flat parameter vector, schedules, and gradient-norm clipping.
//!
//! Invariants
//! 1. `b` has its own learning rate and is never decayed; biases are not decayed either.
//! 2. The gradient of `b`, `1 - exp(-b) Ẑ` for SNL, cannot exceed 1; it is kept above -1 as well.
//!    One heavy sample would otherwise fill Adam's second moment of `b` for thousands of steps,
//!    during which `b` would stand still.
//! 3. The update is element-wise in f64, rounded to f32 once at the end: no order to depend on.
//!    The norm for clipping is summed in a fixed order, every eighth square together.
//!
//! Sources: Kingma, Ba 2015 (Adam); Loshchilov, Hutter 2019 (decoupled decay, cosine schedule).

use serde::{Deserialize, Serialize};

use crate::layout::{Layout, SegmentKind};
use crate::state::State;
use crate::vectorise::vectorised;

/// The optimiser of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Optim {
    /// Learning rate of the energy.
    pub lr: f64,
    /// Learning rate of `b`.
    pub b_lr: f64,
    /// Learning rate of the energy of a latent space; `lr` is then that of encoder and decoder.
    pub latent_lr: f64,
    /// Decoupled decay of weights: they shrink by `lr * weight_decay` a step. Zero is plain Adam.
    pub weight_decay: f64,
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Largest Euclidean norm of the gradient without `b`; larger ones are scaled down.
    pub clip_norm: Option<f64>,
    /// Learning rates over time.
    pub schedule: Schedule,
}

impl Default for Optim {
    /// Adam with its published constants.
    fn default() -> Self {
        Self {
            lr: 1e-3,
            b_lr: 1e-3,
            latent_lr: 1e-3,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: None,
            schedule: Schedule { warmup: 0, shape: Shape::Constant },
        }
    }
}

/// A factor on both learning rates, by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps of linear warm-up from zero.
    pub warmup: u64,
    /// What follows.
    pub shape: Shape,
}

/// The schedule after warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// One.
    Constant,
    /// Half a cosine from one to `floor` at step `steps`.
    Cosine {
        /// Steps of the run.
        steps: u64,
        /// Last factor.
        floor: f64,
    },
    /// Times `factor` after every `every` steps.
    Step {
        /// Steps between changes.
        every: u64,
        /// Factor of each change.
        factor: f64,
    },
}

impl Schedule {
    /// The factor at `step`.
    pub fn factor(&self, step: u64) -> f64 {
        let warm = if step < self.warmup { (step + 1) as f64 / self.warmup as f64 } else { 1.0 };
        let shape = match self.shape {
            Shape::Constant => 1.0,
            Shape::Cosine { steps, floor } => {
                let length = steps.saturating_sub(self.warmup).max(1) as f64;
                let t = (step.saturating_sub(self.warmup) as f64 / length).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
            }
            Shape::Step { every, factor } => factor.powf((step / every.max(1)) as f64),
        };
        warm * shape
    }
}

/// What one update did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Applied {
    /// Norm of the gradient of the energy's parameters, before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the energy.
    pub lr: f64,
}

impl Optim {
    /// Applies `gradient` (length of the layout) to `state`, in place, and advances its step.
    pub fn update(&self, layout: &Layout, gradient: &[f64], state: &mut State) -> Applied {
        let b = layout.b();
        let gradient_norm = norm(&gradient[..b]);
        let clip = match self.clip_norm {
            Some(limit) if gradient_norm > limit => limit / gradient_norm,
            _ => 1.0,
        };
        let constants = self.constants(state.step, state.updates + 1);
        let latent_lr = self.schedule.factor(state.step) * self.latent_lr;
        state.step += 1;
        state.updates += 1;
        let Constants { lr, b_lr, .. } = constants;
        let adam = Adam(constants);
        for segment in layout.segments() {
            if !segment.is_trained() {
                continue;
            }
            let range = segment.range();
            let p = &mut state.parameters[range.clone()];
            let m = &mut state.first_moment[range.clone()];
            let v = &mut state.second_moment[range.clone()];
            let decay = if segment.kind == SegmentKind::Weight { self.weight_decay } else { 0.0 };
            if segment.kind == SegmentKind::LogNormaliser {
                adam.update(p, m, v, &[gradient[b].clamp(-1.0, 1.0)], 1.0, b_lr, decay);
            } else {
                let lr = if segment.of_prior { latent_lr } else { lr };
                adam.update(p, m, v, &gradient[range], clip, lr, decay);
            }
        }
        Applied { gradient_norm, lr }
    }

    /// The constants of update number `update`, from 1, in step `step`.
    pub fn constants(&self, step: u64, update: u64) -> Constants {
        let schedule = self.schedule.factor(step);
        // i32 is enough, for the corrections are one long before 2^31 updates.
        let t = update.min(1 << 30) as i32;
        Constants {
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            correct1: 1.0 / (1.0 - self.beta1.powi(t)),
            correct2: 1.0 / (1.0 - self.beta2.powi(t)),
            lr: schedule * self.lr,
            b_lr: schedule * self.b_lr,
        }
    }
}

/// What is the same for all parameters in one update, for engines that apply it elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constants {
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Bias correction of the first moment, a factor.
    pub correct1: f64,
    /// Bias correction of the second moment, a factor.
    pub correct2: f64,
    /// Learning rate of the energy.
    pub lr: f64,
    /// Learning rate of `b`.
    pub b_lr: f64,
}

/// Adam at one update.
struct Adam(Constants);

impl Adam {
    /// Updates parameters `p` with moments `m` and `v` by `factor * gradient`.
    #[allow(clippy::too_many_arguments)] // the letters of the algorithm
    fn update(
        &self,
        p: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
        gradient: &[f64],
        factor: f64,
        lr: f64,
        decay: f64,
    ) {
        let Constants { beta1, beta2, epsilon, correct1, correct2, .. } = self.0;
        vectorised(
            #[inline(always)]
            || {
                let moments = m.iter_mut().zip(v.iter_mut());
                for ((p, (m, v)), g) in p.iter_mut().zip(moments).zip(gradient) {
                    let (old, g) = (f64::from(*p), g * factor);
                    let first = beta1 * f64::from(*m) + (1.0 - beta1) * g;
                    let second = beta2 * f64::from(*v) + (1.0 - beta2) * g * g;
                    let step = first * correct1 / ((second * correct2).sqrt() + epsilon);
                    *m = first as f32;
                    *v = second as f32;
                    *p = (old - lr * (step + decay * old)) as f32;
                }
            },
        );
    }
}

/// Euclidean norm.
fn norm(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    let sums = vectorised(
        #[inline(always)]
        || {
            // Inside, so that they stay in a register.
            let mut sums = [0.0; LANES];
            let (blocks, rest) = values.as_chunks::<LANES>();
            for block in blocks {
                for (sum, v) in sums.iter_mut().zip(block) {
                    *sum += v * v;
                }
            }
            for (sum, v) in sums.iter_mut().zip(rest) {
                *sum += v * v;
            }
            sums
        },
    );
    sums.iter().sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::energy::Energy;

    fn optim() -> Optim {
        Optim { lr: 0.1, b_lr: 0.5, ..Optim::default() }
    }

    fn layout() -> Layout {
        Layout::new(&Energy::Mlp {
            dim: 1,
            widths: vec![1],
            activation: Activation::Relu,
            residual: false,
        })
    }

    /// Adam's first step is `lr * sign(g)` whatever the size of `g`; `b` moves by its own rate.
    #[test]
    fn first_step_is_the_sign() {
        let layout = layout();
        let mut state = State::new(vec![1.0; layout.len()]);
        optim().update(&layout, &[3.0, -2.0, 1e-3, 0.7], &mut state);
        for (p, expected) in state.parameters.iter().zip([0.9, 1.1, 0.9, 0.5]) {
            assert!((p - expected).abs() < 1e-5, "{p} {expected}");
        }
        assert_eq!((state.step, state.updates), (1, 1));
    }

    /// Three steps against the published algorithm written out for one parameter.
    #[test]
    fn follows_the_algorithm() {
        let layout = layout();
        let mut state = State::new(vec![0.5; layout.len()]);
        let (mut p, mut m, mut v) = (0.5f64, 0.0f64, 0.0f64);
        for t in 1..=3 {
            let g = 0.3 * f64::from(t) - 0.5;
            optim().update(&layout, &[g; 4], &mut state);
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            p -=
                0.1 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
            // The state is f32: a rounding a step.
            assert!((f64::from(state.parameters[0]) - p).abs() < 1e-6 * f64::from(t));
        }
    }

    #[test]
    fn decay_spares_biases_and_b() {
        let layout = layout();
        let mut state = State::new(vec![1.0; layout.len()]);
        Optim { weight_decay: 0.1, ..optim() }.update(&layout, &[0.0; 4], &mut state);
        assert!(state.parameters[0] < 1.0 && state.parameters[2] < 1.0);
        assert_eq!((state.parameters[1], state.parameters[3]), (1.0, 1.0));
    }

    /// The energy of a latent space moves by its own rate, and what is constant not at all.
    #[test]
    fn segments_have_rates() {
        let tensor = |name: &str, kind| (name.to_owned(), vec![1], kind);
        let layout = Layout::of(vec![
            tensor("energy", SegmentKind::Weight),
            tensor("encoder", SegmentKind::Weight),
            tensor("decoder", SegmentKind::Constant),
        ])
        .with_prior(1);
        let mut state = State::new(vec![1.0; 4]);
        Optim { latent_lr: 0.02, weight_decay: 0.1, ..optim() }.update(
            &layout,
            &[1.0, 1.0, 0.0, 0.0],
            &mut state,
        );
        for (p, expected) in state.parameters.iter().zip([0.978, 0.89, 1.0, 1.0]) {
            assert!((p - expected).abs() < 1e-6, "{:?}", state.parameters);
        }
    }

    /// With epsilon large, Adam's step is proportional to the gradient, so clipping shows.
    #[test]
    fn clips_the_norm_of_the_energy_only() {
        let layout = layout();
        let linear = Optim { epsilon: 1e6, lr: 1e6, b_lr: 1e6, ..optim() };
        let clipped = Optim { clip_norm: Some(1.0), ..linear.clone() };
        let gradient = [3.0, 0.0, 4.0, 0.7];
        let (mut a, mut b) = (State::new(vec![0.0; 4]), State::new(vec![0.0; 4]));
        assert_eq!(linear.update(&layout, &gradient, &mut a).gradient_norm, 5.0);
        clipped.update(&layout, &gradient, &mut b);
        assert!((a.parameters[0] / b.parameters[0] - 5.0).abs() < 1e-3);
        assert_eq!(a.parameters[3], b.parameters[3]);
    }

    /// A weight of a million moves `b` as far as a weight of two, then and later.
    #[test]
    fn one_heavy_sample_does_not_freeze_b() {
        let layout = layout();
        let run = |first: f64| {
            let mut state = State::new(vec![0.0; 4]);
            for g in [first, 0.1, 0.1, 0.1] {
                optim().update(&layout, &[0.0, 0.0, 0.0, g], &mut state);
            }
            state.parameters[3]
        };
        assert_eq!(run(-1e6), run(-1.0));
    }

    #[test]
    fn schedules() {
        let with = |warmup, shape| Schedule { warmup, shape };
        let cosine = with(10, Shape::Cosine { steps: 110, floor: 0.1 });
        assert_eq!(cosine.factor(0), 0.1);
        assert_eq!(cosine.factor(9), 1.0);
        assert_eq!(cosine.factor(10), 1.0);
        assert!((cosine.factor(60) - 0.55).abs() < 1e-12);
        assert!((cosine.factor(110) - 0.1).abs() < 1e-12);
        assert_eq!(cosine.factor(500), 0.1);
        let step = with(0, Shape::Step { every: 100, factor: 0.5 });
        assert_eq!((step.factor(99), step.factor(100), step.factor(250)), (1.0, 0.5, 0.25));
        assert_eq!(with(0, Shape::Constant).factor(1 << 40), 1.0);
    }
}
