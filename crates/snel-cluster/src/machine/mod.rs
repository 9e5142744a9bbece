//! The coordinator's decisions about one run: a state machine without I/O, clock or randomness.
//!
//! [`Machine::step`] takes one event and says what is to be done; a shell carries bytes and time.
//!
//! Invariants
//! 1. Steps are committed in order, each once: a commit goes on record before anyone hears of it.
//! 2. A step is committed only if every chunk was summed exactly once, by workers that agreed about
//!    the state before it, and every active worker holds the sum.
//! 3. What a lost worker had contributed counts; only what it had not is given to others.
//! 4. A message of a connection that is gone changes nothing: each connection has its own
//!    [`MemberId`], never used again. Who starts over on the same connection ([`Fate::Again`]) is
//!    not heard before it has answered that.
//! 5. Whoever is waited for is named in [`Machine::waiting_for`], and not for ever.
//! 6. The run goes back to the disk only if nobody who was lost comes back with a newer state.
//!
//! A member is fed the state of the run (`Waiting`), catches up by the sums of others' steps
//! (`Learning`) and takes part once it is where the run is (`Active`).
//!
//! The messages of one connection arrive in order, each once. `tests/` plays what may go wrong.

mod agreement;
mod ending;
mod group;
mod member;
mod patience;
mod placement;
mod round;
mod share;
#[cfg(test)]
mod tests;
mod vote;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use snel_core::chunks::ChunkSet;

use crate::machine::group::Groups;
use crate::machine::member::Member;
use crate::machine::round::{Round, Sums};
use crate::record::Entry;

pub use ending::Ending;
pub use group::GroupId;
pub use member::Stage;

/// One connection of a worker that takes part in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// A contribution's payload, which the shell keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadId(pub u64);

/// Digest of a training state or of a sum.
pub type Digest = u128;

/// One attempt at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RoundId {
    /// The step, from 0.
    pub step: u64,
    /// Rises when the step is repeated with a coarser scale.
    pub attempt: u32,
}

/// What must be equal on all workers of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Parameters of the model.
    pub parameters: u64,
    /// Chunks of a step.
    pub chunks: u32,
    /// 32-bit words that the chunks of a step carry.
    pub carried: u64,
    /// Values of the chains in a state.
    pub chains: u64,
    /// Digest of model, proposal and settings.
    pub problem: String,
    /// The engine's numerics fingerprint.
    pub fingerprint: String,
}

/// Where a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The round that it wants to work on.
    pub round: RoundId,
    /// Chunks of the round that it has summed already.
    pub kept: ChunkSet,
    /// Digest of the round's sum, if it holds it and waits for the commit.
    pub sum: Option<Digest>,
}

impl Position {
    /// Before `round`, with nothing done of it.
    pub fn before(round: RoundId) -> Self {
        Self { round, kept: ChunkSet::default(), sum: None }
    }
}

/// How a training loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Validation did not improve any more.
    StoppedEarly,
    /// Asked to; a checkpoint is stored.
    Interrupted,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A worker is to take part, or comes back after its connection was lost.
    Joined {
        /// Its connection.
        member: MemberId,
        /// Its name.
        name: String,
    },
    /// It has data and engine.
    Prepared {
        /// Who.
        member: MemberId,
        /// What must agree.
        shape: Shape,
        /// It is in the middle of the run; [`Event::Arrived`] follows. Not if it was to restart.
        has_state: bool,
        /// Version of the NCCL that it can sum with; 0 if it cannot.
        nccl: u32,
    },
    /// It stands before a round. That is said before each, and again on a new connection.
    Arrived {
        /// Who.
        member: MemberId,
        /// Where.
        position: Position,
    },
    /// It lives.
    Beat {
        /// Who.
        member: MemberId,
        /// Rises with the work done.
        progress: u64,
    },
    /// It has summed chunks.
    Contributed {
        /// Who.
        member: MemberId,
        /// Of which round.
        round: RoundId,
        /// Which.
        chunks: ChunkSet,
        /// Digest of its state before the round.
        digest: Digest,
        /// The sums, in the shell's keeping.
        payload: PayloadId,
    },
    /// The shell has added all contributions of the round.
    Summed {
        /// Which.
        round: RoundId,
        /// What came out.
        verdict: Verdict,
    },
    /// It holds the round's sum. That is said each time the sum arrives.
    Ready {
        /// Who.
        member: MemberId,
        /// Of which round.
        round: RoundId,
        /// Digest of the sum as it arrived.
        digest: Digest,
    },
    /// It holds the sum of a round that its group has summed.
    Reduced {
        /// Who.
        member: MemberId,
        /// Which group.
        group: GroupId,
        /// Of which round.
        round: RoundId,
        /// What came out.
        verdict: Verdict,
        /// Time that it needed for its own share.
        took: Duration,
    },
    /// It has made an id by which others can join the group; the shell has it.
    GroupId {
        /// Who.
        member: MemberId,
        /// Of which group.
        group: GroupId,
    },
    /// It has joined the group, as have all others.
    GroupReady {
        /// Who.
        member: MemberId,
        /// Which group.
        group: GroupId,
    },
    /// It could not make or join the group, or sum with it.
    GroupFailed {
        /// Who.
        member: MemberId,
        /// Which group.
        group: GroupId,
        /// Why, for people.
        why: String,
    },
    /// Its state before the first attempt at `step` has arrived for those who wait for one. It comes
    /// before it is ready in that round; later it is of no use any more.
    Snapshot {
        /// Who sent it.
        member: MemberId,
        /// The next step of that state.
        step: u64,
    },
    /// A checkpoint is on disk.
    CheckpointStored {
        /// Its step.
        step: u64,
    },
    /// Its connection is gone.
    Lost {
        /// Who.
        member: MemberId,
    },
    /// It is to go.
    Leaving {
        /// Who.
        member: MemberId,
        /// Out of the cluster, not only out of the run.
        cluster: bool,
    },
    /// Its training loop has ended. If it was asked to end it, a checkpoint is stored. Else it says
    /// so at once, and again on a new connection, and the run ends when a checkpoint of that step
    /// is on disk: the leader of the membership stores it, and all else that is to be kept before.
    Finished {
        /// Who.
        member: MemberId,
        /// Steps done.
        step: u64,
        /// How.
        outcome: Outcome,
    },
    /// It cannot go on.
    Failed {
        /// Who.
        member: MemberId,
        /// Nobody else could.
        fatal: bool,
        /// Why.
        why: String,
    },
    /// Hold the run at the next boundary.
    Pause,
    /// Go on.
    Resume,
    /// End the run after a checkpoint.
    Stop,
    /// Time has passed.
    Tick,
}

/// What adding up a round gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The sums are whole: apply them, or skip the step if they say so (`refused`).
    Step {
        /// Digest of the sum.
        digest: Digest,
        /// The step changes no parameter.
        refused: bool,
    },
    /// The scale was too fine: repeat.
    Redo {
        /// Digest of the sum.
        digest: Digest,
    },
    /// They do not fit together.
    Unsound {
        /// Whose contribution does not.
        member: MemberId,
    },
}

/// What the shell has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send the assignment.
    Prepare {
        /// To whom.
        member: MemberId,
        /// A state that it may have is of no use.
        restart: bool,
    },
    /// Send the newest checkpoint on disk, which is of `step`; at step 0 there is none.
    StartFromDisk {
        /// To whom.
        members: Vec<MemberId>,
        /// Where that is.
        step: u64,
    },
    /// Send the snapshot that arrived last.
    StartFromSnapshot(Vec<MemberId>),
    /// Ask for a snapshot at the next boundary between steps.
    WantSnapshot(MemberId),
    /// Ask for sums, besides what was asked for before. Also of one that holds the round's sum: the
    /// round may begin anew when all workers were lost.
    Compute {
        /// Whom.
        member: MemberId,
        /// Of which round.
        round: RoundId,
        /// Which chunks.
        chunks: ChunkSet,
    },
    /// Ask for an id by which others can join the group, and report [`Event::GroupId`].
    WantGroupId {
        /// Which group.
        group: GroupId,
        /// Whom.
        member: MemberId,
    },
    /// Ask to join the group by the id that came for it.
    JoinGroup {
        /// Which group.
        group: GroupId,
        /// Whom, in the order of ranks.
        members: Vec<MemberId>,
    },
    /// Ask the members of the group to sum their shares and then among themselves.
    Reduce {
        /// Which group.
        group: GroupId,
        /// Of which round.
        round: RoundId,
        /// Which chunks, in the order of ranks; together they are all. A share may be empty.
        shares: Vec<(MemberId, ChunkSet)>,
    },
    /// Say that the group is not to be used any more: whoever waits in it is to stop waiting.
    GroupOver {
        /// Which.
        group: GroupId,
        /// To whom.
        members: Vec<MemberId>,
    },
    /// Forget the payloads of contributions that do not count.
    Forget(Vec<PayloadId>),
    /// Add up these payloads and report [`Event::Summed`].
    Sum {
        /// Of which round.
        round: RoundId,
        /// Which.
        payloads: Vec<PayloadId>,
    },
    /// Send the sum of the round. One that holds it already says again that it does.
    SendSum {
        /// Which.
        round: RoundId,
        /// To whom.
        members: Vec<MemberId>,
    },
    /// Append to the durable record.
    Record(Entry),
    /// Say that the round is decided; all of them were sent its sum, or hold it by their group. Payloads of the round may be
    /// forgotten.
    Commit {
        /// Which.
        round: RoundId,
        /// Repeat it instead of applying it.
        redo: bool,
        /// To whom.
        members: Vec<MemberId>,
    },
    /// Tell the members of a new epoch; the first is the leader, who sends what is to be stored.
    Membership(Vec<MemberId>),
    /// Ask to save a checkpoint and end.
    Stop(Vec<MemberId>),
    /// Send away.
    Release {
        /// Whom.
        member: MemberId,
        /// Why, for people.
        reason: String,
        /// What is to become of it.
        fate: Fate,
    },
    /// The run has ended; nothing of it need be kept in memory.
    End {
        /// How.
        outcome: Result<Outcome, String>,
        /// Steps committed.
        step: u64,
    },
    /// From the loss of a worker to the next commit.
    Recovered(Duration),
    /// Tell the user.
    Note(String),
}

/// What becomes of a worker that is sent away from a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is free for this and other runs.
    Free,
    /// It starts over in this run: its state is too old, or of another history. The connection
    /// stays, and [`Action::Prepare`] follows.
    Again,
    /// It leaves the cluster, as it wished.
    Leaves,
    /// It may not come back to this run.
    Excluded,
    /// Its arithmetic is wrong, or its word; no run takes it.
    Quarantined,
    /// Its connection is to be cut; it may dial again.
    Cut,
}

/// Numbers that decide when to give up on a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Workers that the run waits for before it starts, if they come in time.
    pub wanted: usize,
    /// `cluster.failure_budget_ms`: a worker that is silent for so long is lost.
    pub budget: Duration,
    /// Time that a worker may compute without progress before any step was timed.
    pub patience: Duration,
}

/// Whether the run is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// As fast as it can.
    Running,
    /// Held at a boundary.
    Paused,
    /// Ending after a checkpoint.
    Stopping,
    /// Over.
    Ended,
}

/// Where the durable record left the run.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The last epoch.
    pub epoch: u64,
    /// Steps committed.
    pub next_step: u64,
    /// Names of the workers of the last epoch.
    pub members: Vec<String>,
    /// Step of the newest checkpoint on disk.
    pub disk_step: u64,
    /// The round whose commit led to `next_step`, if that was a commit, and its sum.
    pub last_committed: Option<(RoundId, Digest)>,
    /// What the workers of the run have in common, if one was ever prepared.
    pub shape: Option<Shape>,
}

/// The state of one run.
#[derive(Debug, Clone)]
pub struct Machine {
    settings: Settings,
    phase: Phase,
    epoch: u64,
    /// The round that is not decided yet.
    next: RoundId,
    /// What led to it, if this coordinator or the record knows.
    led_here: Option<Decision>,
    shape: Option<Shape>,
    members: BTreeMap<MemberId, Member>,
    /// Those who take part in the present epoch.
    membership: Vec<MemberId>,
    round: Option<Round>,
    /// Who was asked for a snapshot.
    snapshot_from: Option<MemberId>,
    disk_step: u64,
    /// Nobody has the state of the run. Until then those who had may come back.
    hold: Option<Instant>,
    /// Names of workers that were lost since the last commit, and may come back with their state.
    expected: BTreeSet<String>,
    gather_until: Option<Instant>,
    /// How the training loop ended: what is left to do is to store the result.
    result: Option<Outcome>,
    /// When a worker was lost that the current round needed.
    lost_at: Option<Instant>,
    mismatches: u64,
    groups: Groups,
}

/// How the round before was decided.
#[derive(Debug, Clone, Copy)]
struct Decision {
    round: RoundId,
    redo: bool,
    digest: Digest,
}

impl Machine {
    /// A run at rest, as its record left it.
    pub fn new(settings: Settings, past: Past, now: Instant) -> Self {
        let hold = (!past.members.is_empty()).then(|| now + settings.budget * 2);
        Self {
            settings,
            phase: Phase::Running,
            epoch: past.epoch,
            next: RoundId { step: past.next_step, attempt: 0 },
            led_here: past.last_committed.map(|(round, digest)| Decision {
                round,
                redo: false,
                digest,
            }),
            shape: past.shape,
            members: BTreeMap::new(),
            membership: Vec::new(),
            round: None,
            snapshot_from: None,
            disk_step: past.disk_step,
            hold,
            expected: past.members.into_iter().collect(),
            gather_until: None,
            result: None,
            lost_at: None,
            mismatches: 0,
            groups: Groups::default(),
        }
    }

    /// Takes an event and says what to do about it.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let out = &mut actions;
        if self.phase == Phase::Ended {
            if let Event::Joined { member, .. } = event {
                release(out, member, "the run has ended", Fate::Free);
            }
            return actions;
        }
        match event {
            Event::Joined { member, name } => self.joined(member, name, false, now, out),
            Event::Prepared { member, shape, has_state, nccl } => {
                self.prepared(member, shape, (has_state, nccl), now, out);
            }
            Event::Arrived { member, position } => self.arrived(member, position, now),
            Event::Beat { member, progress } => self.beat(member, progress, now),
            Event::Contributed { member, round, chunks, digest, payload } => {
                let sums = Sums { chunks, digest, payload };
                self.contributed(member, round, sums, now, out);
            }
            Event::Summed { round, verdict } => self.summed(round, verdict, now, out),
            Event::Ready { member, round, digest } => self.ready(member, round, digest, now, out),
            Event::Reduced { member, group, round, verdict, took } => {
                self.reduced(member, group, (round, verdict), took, now, out);
            }
            Event::GroupId { member, group } => self.group_id(member, group, now, out),
            Event::GroupReady { member, group } => self.group_ready(member, group),
            Event::GroupFailed { member, group, why } => {
                self.group_failed(member, group, &why, now, out);
            }
            Event::Snapshot { member, step } => self.snapshot(member, step, now, out),
            Event::CheckpointStored { step } => self.disk_step = self.disk_step.max(step),
            Event::Lost { member } => self.remove(member, true, now, out),
            Event::Leaving { member, cluster } => self.leaving(member, cluster),
            Event::Finished { member, step, outcome } => {
                self.finished(member, step, outcome, now, out);
            }
            Event::Failed { member, fatal, why } => self.failed(member, fatal, &why, now, out),
            Event::Pause if self.phase == Phase::Running => self.phase = Phase::Paused,
            Event::Resume if self.phase == Phase::Paused => self.phase = Phase::Running,
            Event::Stop => self.phase = Phase::Stopping,
            Event::Pause | Event::Resume => {}
            Event::Tick => self.look_for_the_stuck(now, out),
        }
        self.conclude(out);
        self.announce(now, out);
        self.tend_group(now, out);
        self.advance(now, out);
        self.place(now, out);
        self.announce(now, out);
        self.tend_group(now, out);
        self.start_round(now, out);
        actions
    }

    /// Whether it is going.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The current membership's number.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Steps committed.
    pub fn committed(&self) -> u64 {
        self.next.step
    }

    /// Steps about whose state workers disagreed.
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }

    /// Each member's connection, name, stage and chunks a second.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &str, Stage, f64)> {
        self.members.iter().map(|(id, m)| (*id, m.name.as_str(), m.stage, m.speed.unwrap_or(0.0)))
    }
}

fn release(out: &mut Vec<Action>, member: MemberId, reason: &str, fate: Fate) {
    out.push(Action::Release { member, reason: reason.to_owned(), fate });
}
