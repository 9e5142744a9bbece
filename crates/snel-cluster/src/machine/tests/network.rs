//! What travels between workers and the coordinator, and when it arrives.
//!
//! A connection delivers in order and each message once, but for the end: what was under way when it
//! broke may arrive, or not, or long after the coordinator has given up on it.

use std::collections::BTreeMap;
use std::time::Duration;

use snel_core::chunks::ChunkSet;

use super::problem::{State, Sum};
use crate::machine::{Digest, Fate, GroupId, MemberId, Outcome, Position, RoundId, Verdict};

/// Time since the beginning.
pub(super) type Time = Duration;

/// From a worker.
#[derive(Debug, Clone)]
pub(super) enum Up {
    Hello,
    Prepared { has_state: bool, nccl: u32 },
    Arrived(Position),
    Beat(u64),
    Contributed { round: RoundId, chunks: ChunkSet, digest: Digest, partial: u128, sound: bool },
    Ready { round: RoundId, digest: Digest },
    Reduced { group: GroupId, round: RoundId, verdict: Verdict, took: Duration },
    GroupId { group: GroupId, id: u64 },
    GroupReady(GroupId),
    GroupFailed(GroupId),
    Snapshot(State),
    Checkpoint(State),
    Leave { cluster: bool },
    Finished { step: u64, outcome: Outcome },
    Failed,
    Closed,
}

/// From the coordinator.
#[derive(Debug, Clone)]
pub(super) enum Down {
    Prepare { restart: bool },
    Start { state: State, stored: bool },
    WantSnapshot,
    Compute { round: RoundId, chunks: ChunkSet },
    WantGroupId(GroupId),
    JoinGroup { group: GroupId, id: u64, world: usize },
    Reduce { group: GroupId, round: RoundId, chunks: ChunkSet },
    GroupOver(GroupId),
    Sum(Sum),
    Commit { round: RoundId, redo: bool },
    Membership { leader: bool },
    Stored(u64),
    Stop,
    Release(Fate),
    Closed,
}

/// A connection.
pub(super) struct Line {
    pub(super) worker: usize,
    /// Something was wrong with it, or with the worker: the coordinator may give up on it.
    pub(super) disturbed: bool,
    /// When it broke.
    pub(super) broken: Option<Time>,
    /// What was under way when it broke is lost, up and down.
    pub(super) truncated: [bool; 2],
    /// Messages that the coordinator will hear again.
    remembered: Vec<Up>,
    /// When the last message arrives, up and down.
    arrival: [Time; 2],
}

/// What happens at a moment.
#[derive(Debug)]
pub(super) enum What<Own> {
    Up(MemberId, Up),
    /// Of a connection that is gone.
    Late(MemberId, Up),
    Down(MemberId, Down),
    Own(Own),
}

/// All connections, and what is to come, in the order of time.
pub(super) struct Network<Own> {
    queue: BTreeMap<(Time, u64), What<Own>>,
    scheduled: u64,
    pub(super) lines: BTreeMap<MemberId, Line>,
    opened: u64,
}

impl<Own> Network<Own> {
    pub(super) fn new() -> Self {
        Self { queue: BTreeMap::new(), scheduled: 0, lines: BTreeMap::new(), opened: 0 }
    }

    pub(super) fn at(&mut self, time: Time, what: What<Own>) {
        self.scheduled += 1;
        self.queue.insert((time, self.scheduled), what);
    }

    pub(super) fn next(&mut self) -> Option<(Time, What<Own>)> {
        self.queue.pop_first().map(|((time, _), what)| (time, what))
    }

    pub(super) fn open(&mut self, worker: usize, now: Time) -> MemberId {
        self.opened += 1;
        let id = MemberId(self.opened);
        let line = Line {
            worker,
            disturbed: false,
            broken: None,
            truncated: [false; 2],
            remembered: Vec::new(),
            arrival: [now; 2],
        };
        self.lines.insert(id, line);
        id
    }

    /// Sends unless the line is broken.
    pub(super) fn up(&mut self, id: MemberId, message: Up, at: Time) {
        if let Some(at) = self.arrival(id, 0, at) {
            self.at(at, What::Up(id, message));
        }
    }

    pub(super) fn down(&mut self, id: MemberId, message: Down, at: Time) {
        if let Some(at) = self.arrival(id, 1, at) {
            self.at(at, What::Down(id, message));
        }
    }

    fn arrival(&mut self, id: MemberId, way: usize, at: Time) -> Option<Time> {
        let line = self.lines.get_mut(&id).filter(|line| line.broken.is_none())?;
        line.arrival[way] = line.arrival[way].max(at);
        Some(line.arrival[way])
    }

    /// Breaks a line; both ends notice when all that is under way has arrived, and not before `up`
    /// and `down`.
    pub(super) fn cut(&mut self, id: MemberId, now: Time, up: Time, down: Time) {
        self.up(id, Up::Closed, up);
        self.down(id, Down::Closed, down);
        if let Some(line) = self.lines.get_mut(&id) {
            line.broken.get_or_insert(now);
            line.disturbed = true;
        }
    }

    /// What arrives on this line now is lost.
    pub(super) fn loses(&self, id: MemberId, way: usize) -> bool {
        self.lines.get(&id).is_some_and(|line| line.broken.is_some() && line.truncated[way])
    }

    pub(super) fn open_lines(&self) -> Vec<MemberId> {
        self.lines.iter().filter(|(_, line)| line.broken.is_none()).map(|(id, _)| *id).collect()
    }

    pub(super) fn remember(&mut self, id: MemberId, message: Up) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.remembered.push(message);
        }
    }

    pub(super) fn recall(&mut self, id: MemberId) -> Vec<Up> {
        self.lines.get_mut(&id).map(|line| std::mem::take(&mut line.remembered)).unwrap_or_default()
    }

    /// The coordinator is gone, and all that was on its way to it.
    pub(super) fn forget_ups(&mut self) {
        self.queue.retain(|_, what| !matches!(what, What::Up(..) | What::Late(..)));
    }
}
