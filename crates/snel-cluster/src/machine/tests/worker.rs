//! A worker that keeps the protocol, but for the faults that it is told to have.
//!
//! It takes one message after another, and none while it is busy; chunks are summed beside that. It
//! keeps what it has summed in a round until the round is decided, across connections. It knows
//! nothing of time: it asks to be woken.

use std::collections::VecDeque;
use std::time::Duration;

use snel_core::chunks::ChunkSet;

use super::dice::Dice;
use super::fabric::Gift;
use super::network::{Down, Up};
use super::problem::{Problem, State, Sum};
use super::workload::{Done, Workload};
use crate::machine::{Fate, GroupId, MemberId, Outcome, Position, RoundId};

/// What a worker does wrong, at the next occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guilt {
    /// Its memory fails.
    Corrupt,
    /// It contributes chunks that it was not given.
    Overreach,
    /// Its contribution does not fit the others'.
    Unsound,
    /// The sum arrives in another form than it was sent.
    BadEcho,
}

/// Work that takes time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    Prepare,
    Load(State),
    /// The update of a step, and validation if it is due.
    Apply,
    Save,
    /// The task of this number.
    Compute(u64),
}

/// What a worker wants of the world.
#[derive(Debug)]
pub(super) enum Effect {
    Send(Up),
    /// Wake me with this job done.
    After(Duration, Job),
    /// An id for a group.
    MakeId(GroupId),
    /// To join those of this id.
    Join {
        id: u64,
        world: usize,
    },
    /// To sum with those of this id.
    Give {
        id: u64,
        gift: Gift,
    },
    /// To have nothing more to do with them.
    Abort(u64),
    Released(Fate),
    /// The connection is gone; dial again.
    Redial,
    /// The protocol was broken towards it.
    Broken(&'static str),
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) chunk: Duration,
    pub(super) prepare: Duration,
    pub(super) load: Duration,
    pub(super) apply: Duration,
    pub(super) validate: Duration,
    pub(super) save: Duration,
}

#[allow(clippy::struct_excessive_bools)] // each a fault or a duty, independent of the others
pub(super) struct Worker {
    pub(super) name: String,
    /// Of the process: what an earlier process was to be woken for is void.
    pub(super) life: u64,
    pub(super) alive: bool,
    pub(super) line: Option<MemberId>,
    pub(super) state: Option<State>,
    /// It was told to go; out of the cluster if true.
    pub(super) leaving: Option<bool>,
    pub(super) frozen: bool,
    /// It computes for ever.
    pub(super) stuck: bool,
    /// Its arithmetic is another.
    pub(super) alien: bool,
    pub(super) plan: Option<Guilt>,
    /// It has done something wrong.
    pub(super) guilty: Option<Guilt>,
    pub(super) had_a_guilty_life: bool,
    pub(super) progress: u64,
    /// Version of its NCCL, or 0.
    pub(super) nccl: u32,
    pub(super) pace: Pace,
    pub(super) inbox: VecDeque<(MemberId, Down)>,
    pub(super) busy: bool,
    prepared: bool,
    attempt: u32,
    work: Workload,
    pub(super) sum: Option<Sum>,
    /// The group that it has joined or joins, and by which id.
    pub(super) group: Option<(GroupId, u64)>,
    /// It waits for the sum of its group, for which it needed so long.
    pub(super) reducing: Option<Duration>,
    leader: bool,
    snapshot_wanted: bool,
    stopping: bool,
    told_the_end: bool,
    /// The newest checkpoint that it knows to be on disk.
    stored: u64,
    last_step: Option<u64>,
}

impl Worker {
    pub(super) fn new(name: String, life: u64, pace: Pace) -> Self {
        Self {
            name,
            life,
            alive: true,
            line: None,
            state: None,
            leaving: None,
            frozen: false,
            stuck: false,
            alien: false,
            plan: None,
            guilty: None,
            had_a_guilty_life: false,
            progress: 0,
            nccl: 0,
            pace,
            inbox: VecDeque::new(),
            busy: false,
            prepared: false,
            attempt: 0,
            work: Workload::default(),
            sum: None,
            group: None,
            reducing: None,
            leader: false,
            snapshot_wanted: false,
            stopping: false,
            told_the_end: false,
            stored: 0,
            last_step: None,
        }
    }

    /// The process is gone.
    pub(super) fn end(&mut self) {
        let (name, guilty) = (std::mem::take(&mut self.name), self.guilty);
        let before = self.had_a_guilty_life;
        *self = Self::new(name, self.life + 1, self.pace);
        self.alive = false;
        self.guilty = guilty;
        self.had_a_guilty_life = before;
    }

    /// Nothing is wrong with it.
    pub(super) fn sane(&self) -> bool {
        !self.stuck && !self.alien && self.guilty.is_none() && self.plan.is_none()
    }

    /// The step that it stood before when it last had a state.
    pub(super) fn last_step(&self) -> Option<u64> {
        self.last_step
    }

    /// A message has arrived.
    pub(super) fn deliver(&mut self, line: MemberId, message: Down) {
        self.inbox.push_back((line, message));
    }

    /// Forgets what arrived before the connection broke.
    pub(super) fn reset(&mut self) {
        self.inbox.retain(|(_, message)| matches!(message, Down::Closed));
    }

    /// Takes messages until there are none, or it is busy.
    pub(super) fn read(&mut self, problem: &Problem, dice: &mut Dice) -> Vec<Effect> {
        let mut out = Vec::new();
        self.look_ahead(&mut out);
        while !self.busy && !self.frozen && self.alive {
            let Some((line, message)) = self.inbox.pop_front() else { break };
            if self.line == Some(line) {
                self.handle(message, problem, dice, &mut out);
            }
        }
        out
    }

    /// A job is done.
    pub(super) fn wake(&mut self, job: Job, problem: &Problem, dice: &mut Dice) -> Vec<Effect> {
        let mut out = Vec::new();
        self.progress += 1;
        if let Job::Compute(number) = job {
            self.computed(number, problem, dice, &mut out);
        } else {
            self.busy = false;
        }
        match job {
            Job::Compute(_) => {}
            Job::Prepare => {
                self.prepared = true;
                out.push(Effect::Send(Up::Prepared {
                    has_state: self.state.is_some(),
                    nccl: self.nccl,
                }));
                self.stand(problem, &mut out);
            }
            Job::Load(state) => {
                self.state = Some(state);
                self.stand(problem, &mut out);
            }
            Job::Apply => self.stand(problem, &mut out),
            Job::Save => out.extend(self.state.map(|state| Effect::Send(Up::Checkpoint(state)))),
        }
        out.extend(self.read(problem, dice));
        out
    }

    /// At a boundary: hands out the state to those who want it, and asks for work.
    fn stand(&mut self, problem: &Problem, out: &mut Vec<Effect>) {
        let Some(state) = self.state else { return };
        let at_end = state.step == problem.end;
        if std::mem::take(&mut self.snapshot_wanted) {
            if self.attempt == 0 && !at_end {
                out.push(Effect::Send(Up::Snapshot(state)));
            } else {
                self.snapshot_wanted = true;
            }
        }
        if !at_end || problem.arrive_at_end {
            out.push(Effect::Send(Up::Arrived(self.position(state))));
        }
        if at_end {
            self.tell_the_end(problem, out);
            self.save_the_result(problem, out);
        } else if self.leader
            && self.attempt == 0
            && state.step > self.stored
            && state.step.is_multiple_of(problem.checkpoint_every)
        {
            out.push(Effect::Send(Up::Checkpoint(state)));
        }
    }

    fn position(&self, state: State) -> Position {
        let kept = self.work.kept();
        let round = RoundId { step: state.step, attempt: self.attempt };
        Position { round, kept, sum: self.sum.map(|sum| sum.digest()) }
    }

    fn round(&self) -> Option<RoundId> {
        self.state.map(|state| RoundId { step: state.step, attempt: self.attempt })
    }

    fn job(&mut self, time: Duration, job: Job, out: &mut Vec<Effect>) {
        self.busy = true;
        if !self.stuck {
            out.push(Effect::After(time, job));
        }
    }

    fn handle(&mut self, message: Down, problem: &Problem, dice: &mut Dice, out: &mut Vec<Effect>) {
        let at_end = self.state.is_some_and(|state| state.step == problem.end);
        match message {
            Down::Prepare { restart } => {
                if restart {
                    self.forget();
                }
                let time = if self.prepared { Duration::ZERO } else { self.pace.prepare };
                self.job(time, Job::Prepare, out);
            }
            Down::Start { state, stored } => {
                self.forget();
                if stored {
                    self.stored = self.stored.max(state.step);
                }
                self.job(self.pace.load, Job::Load(state), out);
            }
            Down::WantSnapshot => {
                self.snapshot_wanted = true;
                // Nothing of the round was done yet: this is a boundary as well.
                let untouched = self.attempt == 0 && self.work.is_untouched() && self.sum.is_none();
                if let Some(state) = self.state
                    && untouched
                    && !at_end
                    && dice.chance(50)
                {
                    self.snapshot_wanted = false;
                    out.push(Effect::Send(Up::Snapshot(state)));
                }
            }
            Down::Compute { round, chunks } => {
                if self.round() == Some(round) && !at_end {
                    self.compute(None, chunks, problem, dice, out);
                }
            }
            Down::Reduce { group, round, chunks } => {
                let joined = self.group.is_some_and(|(mine, _)| mine == group);
                if self.round() == Some(round) && !at_end && joined {
                    self.compute(Some(group), chunks, problem, dice, out);
                }
            }
            Down::WantGroupId(group) => out.push(Effect::MakeId(group)),
            Down::JoinGroup { group, id, world } => {
                self.drop_group(out);
                self.group = Some((group, id));
                out.push(Effect::Join { id, world });
            }
            Down::GroupOver(group) => {
                if self.group.is_some_and(|(mine, _)| mine == group) {
                    self.drop_group(out);
                }
            }
            Down::Sum(sum) => {
                if self.round() == Some(sum.round) && !at_end {
                    let mut digest = sum.digest();
                    if self.plan == Some(Guilt::BadEcho) {
                        digest ^= 1;
                        self.guilty = self.plan.take();
                    }
                    self.sum = Some(sum);
                    out.push(Effect::Send(Up::Ready { round: sum.round, digest }));
                }
            }
            Down::Commit { round, redo } => {
                if self.round() == Some(round) && !at_end {
                    self.commit(redo, problem, out);
                }
            }
            Down::Membership { leader } => {
                self.leader = leader;
                self.save_the_result(problem, out);
            }
            Down::Stored(step) => {
                self.stored = self.stored.max(step);
                self.tell_the_end(problem, out);
            }
            Down::Stop => {
                self.stopping = true;
                self.tell_the_end(problem, out);
                if self.state.is_some_and(|state| self.stored < state.step) {
                    self.job(self.pace.save, Job::Save, out);
                }
            }
            Down::Release(fate) => {
                self.drop_group(out);
                self.forget();
                out.push(Effect::Released(fate));
            }
            Down::Closed => {
                self.line = None;
                self.drop_group(out);
                self.leave_connection();
                out.push(Effect::Redial);
            }
        }
    }

    /// The leader's last duty.
    fn save_the_result(&mut self, problem: &Problem, out: &mut Vec<Effect>) {
        let at_end = self.state.is_some_and(|state| state.step == problem.end);
        if self.leader && at_end && self.stored < problem.end {
            self.job(self.pace.save, Job::Save, out);
        }
    }

    /// Says that the training loop has ended; if that is because it was asked to, then not before
    /// its state is on disk.
    fn tell_the_end(&mut self, problem: &Problem, out: &mut Vec<Effect>) {
        let Some(state) = self.state else { return };
        let at_end = state.step == problem.end;
        let stopped = self.stopping && self.stored >= state.step;
        if (at_end || stopped) && !self.told_the_end {
            self.told_the_end = true;
            let outcome = if at_end { problem.outcome } else { Outcome::Interrupted };
            out.push(Effect::Send(Up::Finished { step: state.step, outcome }));
        }
    }

    /// What belongs to a connection only.
    fn leave_connection(&mut self) {
        self.leader = false;
        self.snapshot_wanted = false;
        self.stopping = false;
        self.told_the_end = false;
        self.work.stop_asking();
    }

    fn forget(&mut self) {
        self.leave_connection();
        self.last_step = self.state.take().map(|state| state.step).or(self.last_step);
        self.next_round(0);
    }

    fn next_round(&mut self, attempt: u32) {
        self.attempt = attempt;
        self.work.clear();
        self.sum = None;
    }

    fn commit(&mut self, redo: bool, problem: &Problem, out: &mut Vec<Effect>) {
        let (Some(state), Some(sum)) = (self.state, self.sum) else {
            out.push(Effect::Broken("was told to apply a sum that it does not have"));
            return;
        };
        if redo {
            self.next_round(self.attempt + 1);
            self.stand(problem, out);
            return;
        }
        self.next_round(0);
        let state = Problem::apply(state, &sum);
        self.state = Some(state);
        let validates = state.step.is_multiple_of(problem.validate_every);
        let time = self.pace.apply + if validates { self.pace.validate } else { Duration::ZERO };
        self.job(time, Job::Apply, out);
    }

    fn compute(
        &mut self,
        group: Option<GroupId>,
        chunks: ChunkSet,
        problem: &Problem,
        dice: &mut Dice,
        out: &mut Vec<Effect>,
    ) {
        if let Some(state) = &mut self.state
            && self.plan == Some(Guilt::Corrupt)
            && chunks.len() < problem.chunks
        {
            state.corrupt();
            self.guilty = self.plan.take();
        }
        self.work.add(self.line, group, chunks);
        self.begin(dice, out);
    }

    fn begin(&mut self, dice: &mut Dice, out: &mut Vec<Effect>) {
        if let Some((number, chunks)) = self.work.begin() {
            let time = self.pace.chunk * chunks;
            let time = dice.between(time * 7 / 10, time * 3 / 2);
            if !self.stuck {
                out.push(Effect::After(time, Job::Compute(number)));
            }
        }
    }

    fn computed(&mut self, number: u64, problem: &Problem, dice: &mut Dice, out: &mut Vec<Effect>) {
        let (Some(state), Some(round)) = (self.state, self.round()) else { return };
        let sum = |chunks: &ChunkSet| Problem::partial(state, round.attempt, chunks);
        let Some(Done { line, group, mut chunks, mut partial }) = self.work.done(number, sum)
        else {
            return;
        };
        if let Some(group) = group {
            self.reduce(group, (round, state), &chunks, partial, out);
            self.begin(dice, out);
            return;
        }
        if line.is_some() && line == self.line {
            let mut sound = true;
            match self.plan {
                Some(Guilt::Overreach) if chunks.len() < problem.chunks => {
                    self.guilty = self.plan.take();
                    chunks = problem.all();
                    partial = sum(&chunks);
                }
                Some(Guilt::Unsound) => {
                    self.guilty = self.plan.take();
                    sound = false;
                }
                _ => {}
            }
            let digest = state.digest();
            out.push(Effect::Send(Up::Contributed { round, chunks, digest, partial, sound }));
        }
        self.begin(dice, out);
    }
}
