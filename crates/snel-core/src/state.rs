//! All that the next step needs to know.

use xxhash_rust::xxh3::Xxh3;

use crate::engine::{EngineError, Head};
use crate::optim::Applied;
use crate::partial::Reduced;
use crate::problem::{Parametric, Problem};

/// Values that are digested at a time.
const DIGEST_BLOCK: usize = 1024;

/// The training state: with the configuration, data and code it determines every later step.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Number of the next step.
    pub step: u64,
    /// Updates applied; refused steps advance `step` only.
    pub updates: u64,
    /// Scale exponent of the next step's exact sums.
    pub scale: i32,
    /// The flat parameter vector.
    pub parameters: Vec<f32>,
    /// Adam's running mean of gradients.
    pub first_moment: Vec<f32>,
    /// Adam's running mean of squared gradients.
    pub second_moment: Vec<f32>,
    /// Step size of chains; zero without chains.
    pub step_size: f64,
    /// Where persistent chains are, one a row; empty without any.
    pub chains: Vec<f32>,
}

impl State {
    /// The state before the first step.
    pub fn new(parameters: Vec<f32>) -> Self {
        let zeros = vec![0.0; parameters.len()];
        Self {
            step: 0,
            updates: 0,
            scale: crate::partial::FIRST_SCALE,
            first_moment: zeros.clone(),
            second_moment: zeros,
            step_size: 0.0,
            chains: Vec::new(),
            parameters,
        }
    }

    /// Step, scale and `b`.
    pub fn head(&self) -> Head {
        Head { step: self.step, scale: self.scale, b: self.b(), step_size: self.step_size }
    }

    /// The log-normaliser `b`, the last parameter.
    pub fn b(&self) -> f32 {
        self.parameters.last().copied().unwrap_or(0.0)
    }

    /// Sets the log-normaliser.
    pub fn set_b(&mut self, b: f32) {
        if let Some(last) = self.parameters.last_mut() {
            *last = b;
        }
    }

    /// Applies a whole step's gradient: what every engine on a CPU does. `gradient` is memory to
    /// work in.
    pub fn apply<M: Parametric>(
        &mut self,
        problem: &Problem<M>,
        reduced: &Reduced<'_>,
        gradient: &mut Vec<f64>,
    ) -> Applied {
        gradient.resize(self.parameters.len(), 0.0);
        reduced.gradient(gradient);
        self.scale = reduced.next_scale;
        self.move_chains(problem, reduced);
        problem.optim.update(&problem.layout, gradient, self)
    }

    /// Takes over the places that the step's chains have come to, and adapts their step size. `self` is
    /// still at the step.
    fn move_chains<M: Parametric>(&mut self, problem: &Problem<M>, reduced: &Reduced<'_>) {
        let Some(mcmc) = problem.objective.mcmc() else { return };
        let acceptance = reduced.statistics.harmonic_acceptance();
        self.step_size = mcmc.adapted(self.step_size, self.updates, acceptance);
        let Some((chains, dim)) = problem.persistent() else { return };
        let mut words = reduced.carried();
        chains.for_each_slot(problem.seed, self.step, 0..chains.moved, |_, slot| {
            let place = &mut self.chains[slot * dim..][..dim];
            place.iter_mut().zip(&mut words).for_each(|(to, word)| *to = f32::from_bits(word));
        });
    }

    /// A number that tells states apart: equal states have equal digests, and states that differ
    /// in a bit do not, but for one chance in 2^128. It guards against faults, not against forgery.
    pub fn digest(&self) -> u128 {
        let Self { step, updates, scale, parameters, first_moment, second_moment, .. } = self;
        let mut hasher = Xxh3::new();
        hasher.update(&step.to_le_bytes());
        hasher.update(&updates.to_le_bytes());
        hasher.update(&scale.to_le_bytes());
        hasher.update(&self.step_size.to_le_bytes());
        for vector in [parameters, first_moment, second_moment, &self.chains] {
            // Piece by piece: a copy of all would be as large as the state.
            let mut bytes = [0; 4 * DIGEST_BLOCK];
            for block in vector.chunks(DIGEST_BLOCK) {
                let (pieces, _) = bytes.as_chunks_mut::<4>();
                pieces.iter_mut().zip(block).for_each(|(to, v)| *to = v.to_le_bytes());
                hasher.update(&bytes[..4 * block.len()]);
            }
        }
        hasher.digest128()
    }

    /// A copy, if it has the sizes of `problem`.
    ///
    /// # Errors
    /// [`EngineError::State`] if it has not.
    pub fn checked<M: Parametric>(&self, problem: &Problem<M>) -> Result<Self, EngineError> {
        let expected = problem.layout.len();
        for vector in [&self.parameters, &self.first_moment, &self.second_moment] {
            if vector.len() != expected {
                return Err(EngineError::State { found: vector.len(), expected });
            }
        }
        let (found, expected) = (self.chains.len(), problem.chain_values());
        if found != expected {
            return Err(EngineError::Chains { found, expected });
        }
        Ok(self.clone())
    }
}
