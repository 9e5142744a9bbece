//! The engine of variational auto-encoders: chunks of rows and of samples handed to threads.
//!
//! Chunks of samples are those of a density model on `z`, with the same code. For chunks of rows,
//! `workspace` goes through encoder, decoder, likelihood and energy in tiles, `likelihood` compares
//! outputs with data, `score` does the same without gradients; `posterior` moves the chains of a row's
//! posterior, where the objective has them; `shared` has the packed weights.
//!
//! Invariants are those of [`crate::CpuEngine`], but for a learned base: a step allocates a little
//! for it, and its arithmetic is [`snel_core::mixture`]'s, in f64.

mod likelihood;
mod posterior;
mod score;
mod shared;
mod workspace;

use std::ops::Range;
use std::sync::Arc;

use snel_core::chunks::ChunkSet;
use snel_core::engine::{DensityEngine, EngineError, Fingerprint, SampleSet, Scored};
use snel_core::host::{Host, HostEngine};
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::vae::{LatentScored, VaeEngine, VaeModel};

use crate::crew::{CpuError, Crew};
use crate::instruction_set::InstructionSet;
use shared::{Packed, Shared};
use workspace::{Parameters, Workspace};

/// The engine of a variational auto-encoder on a machine without a GPU.
pub struct VaeCpuEngine {
    set: InstructionSet,
    shared: Shared,
    host: Host<VaeModel>,
    packed: Packed,
    crew: Crew<Workspace>,
}

impl VaeCpuEngine {
    /// An engine for `problem` on the training rows `rows`, with `threads` threads and the best
    /// instruction set of this machine.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub fn new(
        problem: Arc<Problem<VaeModel>>,
        rows: Arc<dyn Rows>,
        threads: usize,
    ) -> Result<Self, CpuError> {
        Self::with_instruction_set(problem, rows, threads, InstructionSet::best())
    }

    /// The same on a given instruction set.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub fn with_instruction_set(
        problem: Arc<Problem<VaeModel>>,
        rows: Arc<dyn Rows>,
        threads: usize,
        set: InstructionSet,
    ) -> Result<Self, CpuError> {
        let host = Host::new(problem.clone());
        let shared = Shared::new(problem, rows);
        let packed = Packed::new(&shared, &host.state.parameters, set.lanes());
        let crew = Crew::new(threads, || Workspace::new(&shared, &packed, set))?;
        Ok(Self { set, shared, host, packed, crew })
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { state: &self.host.state, packed: &self.packed }
    }
}

impl HostEngine for VaeCpuEngine {
    type Model = VaeModel;

    fn arithmetic(&self) -> Fingerprint {
        self.set.fingerprint(1)
    }

    fn add_chunks(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let Self { shared, host, packed, crew, .. } = self;
        let parameters = Parameters { state: &host.state, packed };
        crew.accumulate(chunks, partial, |workspace, index, sums| {
            workspace.accumulate(shared, parameters, plan, index, sums)
        })
    }

    fn host(&self) -> &Host<VaeModel> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<VaeModel> {
        &mut self.host
    }

    fn refresh(&mut self) {
        self.packed.pack(&self.shared, &self.host.state.parameters);
    }
}

impl DensityEngine for VaeCpuEngine {
    fn score(&self, x: &[f32], out: &mut [Scored]) {
        let Parameters { state, packed } = self.parameters();
        let share = self.crew.share_of(out.len());
        let shares = x.chunks(share * self.model().latent()).zip(out.chunks_mut(share));
        self.crew.share(shares, |workspace, (z, out)| {
            workspace.prior.score(&packed.prior, packed.of_prior(state), z, out);
        });
    }

    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        let Parameters { state, packed } = self.parameters();
        let share = self.crew.share_of(out.len());
        let parts = x.chunks_mut(share * self.model().latent()).zip(out.chunks_mut(share));
        let shares = (range.start..).step_by(share).zip(parts);
        self.crew.share(shares, |workspace, (start, (z, out))| {
            let range = *start..*start + out.len() as u64;
            let of_prior = packed.of_prior(state);
            workspace.prior.score_samples(&packed.prior, of_prior, set, range, z, out);
        });
    }
}

impl VaeEngine for VaeCpuEngine {
    fn model(&self) -> &VaeModel {
        &self.shared.problem.model
    }

    fn encode(&self, x: &[f32], means: &mut [f32], deviations: &mut [f32]) {
        let (inputs, latent) = (self.model().inputs, self.model().latent());
        let share = self.crew.share_of(x.len() / inputs);
        let out = means.chunks_mut(share * latent).zip(deviations.chunks_mut(share * latent));
        self.crew.share(
            x.chunks(share * inputs).zip(out),
            |workspace, (x, (means, deviations))| {
                workspace.encode_to(&self.shared, self.parameters(), x, means, deviations);
            },
        );
    }

    fn decode(&self, z: &[f32], x: &mut [f32]) {
        let (inputs, latent) = (self.model().inputs, self.model().latent());
        let share = self.crew.share_of(z.len() / latent);
        let shares = z.chunks(share * latent).zip(x.chunks_mut(share * inputs));
        self.crew.share(shares, |workspace, (z, x)| {
            workspace.decode_to(&self.shared, self.parameters(), z, x);
        });
    }

    fn score_latents(&self, set: SampleSet, first: u64, x: &[f32], out: &mut [LatentScored]) {
        let inputs = self.model().inputs;
        let rows = x.len() / inputs;
        if rows == 0 {
            return;
        }
        let (share, samples) = (self.crew.share_of(rows), out.len() / rows);
        let parts = x.chunks(share * inputs).zip(out.chunks_mut((share * samples).max(1)));
        let shares = (first..).step_by((share * samples).max(1)).zip(parts);
        self.crew.share(shares, |workspace, (first, (x, out))| {
            workspace.score_latents(&self.shared, self.parameters(), set, *first, x, out);
        });
    }
}
