//! The threads of an engine, and what each of them owns.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use snel_core::chunks::ChunkSet;
use snel_core::engine::EngineError;
use snel_core::partial::{Partial, Sums};

use crate::team::Team;

/// A team whose members have a workspace each.
pub(crate) struct Crew<W> {
    threads: usize,
    /// Locked only to share out what is looked at; a step has the crew to itself.
    hands: Mutex<Hands<W>>,
}

struct Hands<W> {
    team: Team,
    members: Vec<Member<W>>,
}

/// What one thread owns. Aligned so that no two threads write to one cache line, or to the pair
/// of lines that some machines fetch together.
#[repr(align(128))]
struct Member<W> {
    workspace: W,
    sums: Sums,
    fault: Option<EngineError>,
}

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {threads} threads")]
pub struct CpuError {
    pub(crate) threads: usize,
    pub(crate) source: io::Error,
}

impl<W: Send> Crew<W> {
    /// A crew of `threads` threads, at least one.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub(crate) fn new(threads: usize, workspace: impl Fn() -> W) -> Result<Self, CpuError> {
        let threads = threads.max(1);
        let team = Team::new(threads).map_err(|source| CpuError { threads, source })?;
        let member = |_| Member { workspace: workspace(), sums: Sums::default(), fault: None };
        let members = (0..threads).map(member).collect();
        Ok(Self { threads, hands: Mutex::new(Hands { team, members }) })
    }

    /// Rows or points of each thread's share of `n`, at least one.
    pub(crate) fn share_of(&self, n: usize) -> usize {
        n.div_ceil(self.threads).max(1)
    }

    /// Adds what `work` makes of every one of `chunks` to `partial`; whoever is free takes the next.
    ///
    /// # Errors
    /// The first of `work`; the partial is then as it was.
    pub(crate) fn accumulate(
        &mut self,
        chunks: &ChunkSet,
        partial: &mut Partial,
        work: impl Fn(&mut W, u32, &mut Sums) -> Result<(), EngineError> + Sync,
    ) -> Result<(), EngineError> {
        let Hands { team, members } = self.hands.get_mut().unwrap_or_else(PoisonError::into_inner);
        let next = AtomicU32::new(0);
        let empty = &*partial;
        team.for_each(members, |Member { workspace, sums, fault }| {
            sums.restart_like(empty);
            *fault = None;
            while let Some(index) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = work(workspace, index, sums) {
                    *fault = Some(error);
                    return;
                }
            }
        });
        // The first thread's sums become those of all.
        let (first, others) = members.split_at_mut(1);
        for member in others {
            first[0].sums.merge(&member.sums);
        }
        if let Some(error) = members.iter_mut().find_map(|member| member.fault.take()) {
            return Err(error);
        }
        Ok(partial.add(chunks, &members[0].sums)?)
    }

    /// Calls `work` with each of `shares`, of which there are at most as many as threads.
    pub(crate) fn share<T: Send>(
        &self,
        shares: impl Iterator<Item = T>,
        work: impl Fn(&mut W, &mut T) + Sync,
    ) {
        // Whoever panicked with the lock has left nothing but scratch memory behind.
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let Hands { team, members } = &mut *hands;
        let mut shares: Vec<_> = members.iter_mut().zip(shares).collect();
        team.for_each(&mut shares, |(member, share)| work(&mut member.workspace, share));
    }
}
