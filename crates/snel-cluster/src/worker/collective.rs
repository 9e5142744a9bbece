//! The sum of a step over the workers of a run: through the coordinator, or with the group that the
//! coordinator names.
//!
//! Invariants
//! 1. What this worker has summed of a round it keeps until the round is decided: after a lost
//!    connection or a restarted coordinator only what is missing is computed.
//! 2. A sum is returned only after its commit, whoever made it.
//! 3. A group that fails costs a worker nothing: what it has summed it keeps, and waits to be asked
//!    for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use snel_core::chunks::ChunkSet;
use snel_core::collective::{Collective, CollectiveError};
use snel_core::engine::Engine;
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;
use snel_cuda::nccl::Opinion;
use snel_proto::v1;
use snel_proto::v1::work_request::Message as Out;
use snel_proto::v1::work_response::Message as In;

use crate::frame::{Assembler, Label};
use crate::machine::{Digest, Position, RoundId, Verdict};
use crate::verdict::verdict;
use crate::wire;
use crate::worker::session::Session;

/// One run's collective.
pub(super) struct GrpcCollective {
    session: Arc<Mutex<Session>>,
    /// The round that was summed last.
    last: Option<RoundId>,
    /// The most bytes that a sum may have.
    limit: usize,
}

pub(super) fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GrpcCollective {
    pub(super) fn new(session: Arc<Mutex<Session>>, limit: usize) -> Self {
        Self { session, last: None, limit }
    }
}

impl Collective for GrpcCollective {
    fn sum(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<(), CollectiveError> {
        let step = u64::from(plan.step);
        let attempt = self.last.filter(|last| last.step == step).map_or(0, |last| last.attempt + 1);
        let id = RoundId { step, attempt };
        self.last = Some(id);
        let mut round = Round { id, kept: Vec::new(), digest: engine.digest(), sum: None };
        let mut session = lock(&self.session);
        session.arrive(round.position());
        let mut sum = Assembler::default();
        loop {
            match session.next()? {
                In::Compute(compute) if wire::round_from_wire(compute.round) == id => {
                    let chunks = wire::chunks_from_wire(&compute.chunks).ok_or_else(garbled)?;
                    if compute.group == 0 {
                        round.compute(&chunks, plan, engine, partial, &mut session)?;
                    } else if session.groups().is_in(compute.group) {
                        round.reduce(&compute, &chunks, plan, engine, partial, &mut session)?;
                    }
                    session.stand(round.position());
                }
                In::Sum(frame) if wire::round_from_wire(frame.round) == id => {
                    let Some((label, body)) = sum.push(frame, self.limit).map_err(transport)?
                    else {
                        continue;
                    };
                    let whole = Partial::from_bytes(&body).map_err(transport)?;
                    if whole.carries() != partial.carries() {
                        return Err(garbled());
                    }
                    *partial = whole;
                    let digest = wire::digest(&body);
                    round.sum = Some(digest);
                    session.stand(round.position());
                    session.send(Out::Ready(v1::Ready {
                        run: label.run,
                        round: Some(label.round),
                        digest: wire::digest_to_wire(digest),
                        ..v1::Ready::default()
                    }));
                }
                In::Commit(commit) if wire::round_from_wire(commit.round) == id => {
                    session.progress();
                    if round.sum.is_none() {
                        return Err(garbled());
                    }
                    // Whatever it does until then, what it does next is the next round.
                    let next = if commit.redo {
                        RoundId { step, attempt: attempt + 1 }
                    } else {
                        RoundId { step: step + 1, attempt: 0 }
                    };
                    session.stand(Position::before(next));
                    return Ok(());
                }
                // Of rounds that are decided, and news of the membership.
                _ => {}
            }
        }
    }
}

/// A round, as this worker has come to know it.
struct Round {
    id: RoundId,
    /// What it has contributed or would.
    kept: Vec<Partial>,
    digest: u128,
    /// Digest of the sum that it holds.
    sum: Option<Digest>,
}

impl Round {
    fn position(&self) -> Position {
        let mut kept = ChunkSet::default();
        for partial in &self.kept {
            // Parts overlap only if a coordinator gave chunks twice; then one of them is enough.
            let _ = kept.merge(partial.chunks());
        }
        Position { round: self.id, kept, sum: self.sum }
    }

    /// Sums `chunks`, with the help of what is there, into `room`, and keeps the result.
    fn sum_own(
        &mut self,
        chunks: &ChunkSet,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        room: &mut Partial,
        session: &Session,
    ) -> Result<(), CollectiveError> {
        room.restart(plan.scale, plan.n_chunks());
        for kept in &self.kept {
            if kept.chunks().is_subset(chunks) && kept.chunks().is_disjoint(room.chunks()) {
                room.merge(kept)?;
            }
        }
        // All at once: in parts, threads would wait for each other at the end of each.
        let missing = chunks.minus(room.chunks());
        if !missing.is_empty() {
            engine.accumulate(plan, &missing, room)?;
            session.progress();
        }
        self.kept.retain(|kept| !kept.chunks().is_subset(chunks));
        self.kept.push(room.clone());
        self.sum = None;
        Ok(())
    }

    /// Sums `chunks` and sends the result.
    fn compute(
        &mut self,
        chunks: &ChunkSet,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        room: &mut Partial,
        session: &mut Session,
    ) -> Result<(), CollectiveError> {
        self.sum_own(chunks, plan, engine, room, session)?;
        let mut body = Vec::new();
        room.write_to(&mut body);
        let label = Label {
            run: session.run_name(),
            round: wire::round_to_wire(self.id, session.epoch()),
            digest: wire::digest_to_wire(self.digest),
            ..Label::default()
        };
        session.send_body(&label, &Bytes::from(body), Out::Partial);
        Ok(())
    }

    /// Sums `chunks`, then with its group, and says what came out; or that nothing did.
    fn reduce(
        &mut self,
        compute: &v1::Compute,
        chunks: &ChunkSet,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        room: &mut Partial,
        session: &mut Session,
    ) -> Result<(), CollectiveError> {
        let share = |share: &v1::Share| wire::chunks_from_wire(&share.chunks);
        let shares: Option<Vec<ChunkSet>> = compute.shares.iter().map(share).collect();
        let opinion = Opinion::new(plan, &shares.ok_or_else(garbled)?, self.digest);
        let begin = Instant::now();
        self.sum_own(chunks, plan, engine, room, session)?;
        let took = begin.elapsed();
        let group = compute.group;
        if let Err(error) = session.groups().sum(group, room, &opinion) {
            session.speaker().failed(group, &error);
            return Ok(());
        }
        session.progress();
        let mut body = Vec::new();
        room.write_to(&mut body);
        let digest = wire::digest(&body);
        let verdict = verdict(room, digest).ok_or_else(garbled)?;
        self.sum = Some(digest);
        session.stand(self.position());
        session.send(Out::Ready(v1::Ready {
            run: session.run_name(),
            round: Some(wire::round_to_wire(self.id, session.epoch())),
            digest: wire::digest_to_wire(digest),
            group,
            redo: matches!(verdict, Verdict::Redo { .. }),
            refused: matches!(verdict, Verdict::Step { refused: true, .. }),
            took_us: took.as_micros() as u64,
        }));
        Ok(())
    }
}

/// A message that no sound coordinator sends.
fn garbled() -> CollectiveError {
    CollectiveError::SentAway("the coordinator's messages make no sense".to_owned())
}

fn transport(error: impl std::error::Error + Send + Sync + 'static) -> CollectiveError {
    CollectiveError::Transport(Box::new(error))
}
