//! Clock, workers, network and coordinator of one seed, and what must hold when it is over.

use std::time::{Duration, Instant};

use super::coordinator::Coordinator;
use super::dice::Dice;
use super::fabric::{Fabric, Mood, News};
use super::faults::Fault;
use super::ledger::{Check, Ledger};
use super::network::{Down, Network, Time, Up, What};
use super::problem::{Problem, State, Sum};
use super::tally::Tally;
use super::worker::{Effect, Job, Worker};
use crate::machine::{Event, Fate, MemberId, Settings};

/// What happens but for messages.
#[derive(Debug, Clone)]
pub(super) enum Own {
    Wake {
        worker: usize,
        life: u64,
        job: Job,
    },
    Beat {
        worker: usize,
        line: MemberId,
    },
    Dial {
        worker: usize,
        life: u64,
    },
    Thaw {
        worker: usize,
        life: u64,
    },
    Respawn {
        worker: usize,
        life: u64,
    },
    Tick {
        incarnation: u64,
    },
    Summed {
        incarnation: u64,
        sum: Sum,
        culprit: Option<MemberId>,
    },
    News {
        worker: usize,
        life: u64,
        /// Of the communicator.
        id: u64,
        news: News,
    },
    Fault,
    Resume,
    Restart,
    /// No more faults from here on.
    Heal,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Finished,
    Interrupted,
    /// Workers disagreed, and there was no majority.
    Tie,
    /// A worker's memory failed and nobody else was there to tell.
    Undetectable,
}

pub(super) struct World {
    pub(super) verbose: bool,
    pub(super) dice: Dice,
    pub(super) now: Time,
    start: Instant,
    pub(super) problem: Problem,
    pub(super) settings: Settings,
    pub(super) net: Network<Own>,
    pub(super) mood: Mood,
    pub(super) fabric: Fabric,
    pub(super) workers: Vec<Worker>,
    pub(super) shell: Option<Coordinator>,
    pub(super) incarnations: u64,
    pub(super) ledger: Ledger,
    /// The newest checkpoint on disk.
    pub(super) disk: State,
    /// Faults that this seed may have, and the time between them.
    pub(super) menu: Vec<Fault>,
    pub(super) pause_between: Duration,
    /// Only faults that may not cost a step.
    pub(super) gentle: bool,
    /// Nothing goes wrong any more, and the run is to end by then.
    pub(super) deadline: Option<Time>,
    /// Actions until the coordinator dies.
    pub(super) fuse: Option<u32>,
    pub(super) stop_asked: bool,
    /// Names of workers that gave up.
    pub(super) failed: Vec<String>,
    pub(super) ending: Option<Ending>,
    /// Those who took part in the last step.
    pub(super) finishers: Vec<MemberId>,
    pub(super) tally: Tally,
}

impl World {
    fn roll(seed: u64, verbose: bool) -> Self {
        let mut dice = Dice::new(seed);
        let problem = Problem::roll(&mut dice);
        let budget = Duration::from_millis(dice.within(200, 800));
        let workers = dice.within(1, 5);
        let settings = Settings {
            wanted: dice.within(1, workers) as usize,
            budget,
            patience: budget * dice.within(2, 5) as u32,
        };
        let gentle = dice.chance(25);
        let mut world = Self {
            verbose,
            now: Duration::ZERO,
            start: Instant::now(),
            net: Network::new(),
            mood: Mood::roll(&mut dice),
            fabric: Fabric::default(),
            workers: Vec::new(),
            shell: None,
            incarnations: 0,
            ledger: Ledger::default(),
            disk: problem.states[0],
            menu: Fault::menu(gentle, &mut dice),
            pause_between: dice.between(Duration::from_millis(10), Duration::from_millis(600)),
            gentle,
            deadline: None,
            fuse: None,
            stop_asked: false,
            failed: Vec::new(),
            ending: None,
            finishers: Vec::new(),
            tally: Tally::default(),
            problem,
            settings,
            dice,
        };
        world.restart();
        for _ in 0..workers {
            world.spawn();
        }
        let horizon = Duration::from_millis(300) * world.problem.end as u32;
        let heal = world.dice.up_to(horizon);
        world.at(heal, Own::Heal);
        world.schedule_fault();
        world
    }

    /// Plays a seed.
    pub(super) fn run(seed: u64, verbose: bool) -> Result<Tally, String> {
        let mut world = Self::roll(seed, verbose);
        while world.ending.is_none() {
            let Some((now, what)) = world.net.next() else { return Err("nothing happens".into()) };
            world.now = now;
            if world.deadline.is_some_and(|deadline| now > deadline) {
                return Err(world.stalled());
            }
            world.happen(what)?;
        }
        world.epilogue()?;
        let ending = world.ending.ok_or("it has no end")?;
        world.tally.seed(ending, &world.ledger);
        if let Some(deadline) = world.deadline {
            let bound = world.bound();
            let took = (world.now + bound).saturating_sub(deadline);
            world.tally.longest = (100 * took.as_micros() / bound.as_micros()) as u64;
        }
        if world.gentle && world.ledger.rewinds > 0 {
            return Err("steps were lost though nobody's state was".into());
        }
        Ok(world.tally)
    }

    /// Lets the last messages arrive, then looks at what everybody has.
    fn epilogue(&mut self) -> Check {
        if self.ending != Some(Ending::Finished) {
            return Ok(());
        }
        let until = self.now + self.settings.budget * 4;
        while let Some((now, what)) = self.net.next().filter(|(now, _)| *now < until) {
            self.now = now;
            if !matches!(what, What::Own(Own::Fault | Own::Restart)) {
                self.happen(what)?;
            }
        }
        if self.disk != self.problem.states[self.problem.end as usize] {
            return Err("the last checkpoint is not that of an undisturbed run".into());
        }
        Ok(())
    }

    fn stalled(&self) -> String {
        let Some(shell) = &self.shell else { return "there is no coordinator".into() };
        let members: Vec<_> = shell.machine.members().collect();
        format!(
            "no end in sight at step {}: waiting for {:?}; {members:?}",
            self.ledger.next,
            shell.machine.waiting_for(),
        )
    }

    /// The longest that the rest of a run may take once nothing goes wrong any more.
    ///
    /// To begin, workers of old are waited for (2 budgets), then the first ones gather (2 budgets).
    /// Each worker that is stuck may hold a round until its deadline, which is 8 times what the
    /// slowest took, and that may have been one that itself was late by up to `patience`. An attempt
    /// at a step takes no longer than one worker alone needs for all chunks, validation included.
    fn bound(&self) -> Duration {
        let Settings { budget, patience, .. } = self.settings;
        let stuck = patience * 8 * self.workers.len() as u32;
        let attempt = Duration::from_millis(15) * self.problem.chunks + budget * 2;
        budget * 4 + stuck + attempt * 3 * (self.problem.end + 1) as u32
    }

    fn happen(&mut self, what: What<Own>) -> Check {
        match what {
            What::Up(line, message) => self.up(line, message),
            What::Late(line, message) => {
                self.tally.late += 1;
                self.receive(line, message)
            }
            What::Down(line, message) => self.down(line, message),
            What::Own(own) => self.own(own),
        }
    }

    fn up(&mut self, line: MemberId, message: Up) -> Check {
        let closed = matches!(message, Up::Closed);
        if self.net.loses(line, 0) && !closed {
            if self.dice.chance(30) && !matches!(message, Up::Hello) {
                let after = self.dice.up_to(self.settings.budget * 2);
                self.net.at(self.now + after, What::Late(line, message));
            }
            return Ok(());
        }
        if self.dice.chance(1) && !matches!(message, Up::Hello | Up::Closed) {
            // It comes once more when its connection is gone.
            self.net.remember(line, message.clone());
        }
        if closed {
            for message in self.net.recall(line) {
                let after = self.dice.up_to(self.settings.budget * 2);
                self.net.at(self.now + after, What::Late(line, message));
            }
        }
        self.receive(line, message)
    }

    fn down(&mut self, line: MemberId, message: Down) -> Check {
        let index = self.worker_of(line);
        let closed = matches!(message, Down::Closed);
        if self.net.loses(line, 1) && !closed {
            return Ok(());
        }
        if closed && self.workers[index].line == Some(line) {
            if self.workers[index].stuck {
                // Nothing else can be done about it.
                self.kill(index);
                return Ok(());
            }
            if self.workers[index].frozen && self.dice.chance(50) {
                self.workers[index].reset();
            }
        }
        self.workers[index].deliver(line, message);
        self.read(index)
    }

    fn own(&mut self, own: Own) -> Check {
        match own {
            Own::Wake { worker, life, job } => {
                let w = &mut self.workers[worker];
                if w.life != life {
                    return Ok(());
                }
                if w.frozen {
                    // Its clock stands as well.
                    let again = self.now + self.settings.budget / 8;
                    self.at(again, Own::Wake { worker, life, job });
                    return Ok(());
                }
                let effects = w.wake(job, &self.problem, &mut self.dice);
                self.effects(worker, effects)
            }
            Own::News { worker, life, id, news } => {
                let w = &mut self.workers[worker];
                if w.life != life {
                    return Ok(());
                }
                if w.frozen {
                    let again = self.now + self.settings.budget / 8;
                    self.at(again, Own::News { worker, life, id, news });
                    return Ok(());
                }
                let effects = w.hear(id, news, &self.problem, &mut self.dice);
                self.effects(worker, effects)
            }
            Own::Beat { worker, line } => {
                self.beat(worker, line);
                Ok(())
            }
            Own::Dial { worker, life } => {
                self.dial(worker, life);
                Ok(())
            }
            Own::Thaw { worker, life } => {
                if self.workers[worker].life == life {
                    self.workers[worker].frozen = false;
                }
                self.read(worker)
            }
            Own::Respawn { worker, life } => {
                if self.workers[worker].life == life && !self.workers[worker].alive {
                    self.revive(worker);
                }
                Ok(())
            }
            Own::Tick { incarnation } => {
                if self.shell.as_ref().is_some_and(|shell| shell.incarnation == incarnation) {
                    self.at(self.now + self.settings.budget / 8, Own::Tick { incarnation });
                    return self.tell(Event::Tick);
                }
                Ok(())
            }
            Own::Summed { incarnation, sum, culprit } => {
                if self.shell.as_ref().is_some_and(|shell| shell.incarnation == incarnation) {
                    return self.summed(sum, culprit);
                }
                Ok(())
            }
            Own::Fault => {
                self.schedule_fault();
                self.strike()
            }
            Own::Resume => self.tell(Event::Resume),
            Own::Restart => {
                self.restart();
                Ok(())
            }
            Own::Heal => self.heal(),
        }
    }

    fn schedule_fault(&mut self) {
        if self.deadline.is_none() {
            let after = self.dice.up_to(self.pause_between * 2);
            self.at(self.now + after, Own::Fault);
        }
    }

    /// From now on nothing goes wrong, and there is somebody to do the work.
    fn heal(&mut self) -> Check {
        self.fuse = None;
        self.deadline = Some(self.now + self.bound());
        for worker in &mut self.workers {
            worker.plan = None;
        }
        let well = |w: &Worker| w.alive && w.leaving.is_none() && w.sane();
        if !self.workers.iter().any(|w| well(w) && !self.failed.contains(&w.name)) {
            self.spawn();
        }
        self.tell(Event::Resume)
    }

    fn read(&mut self, index: usize) -> Check {
        let effects = self.workers[index].read(&self.problem, &mut self.dice);
        self.effects(index, effects)
    }

    fn effects(&mut self, index: usize, effects: Vec<Effect>) -> Check {
        let life = self.workers[index].life;
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    if let Some(line) = self.workers[index].line {
                        let at = self.now + self.delay();
                        self.net.up(line, message, at);
                    }
                }
                Effect::After(time, job) => {
                    self.at(self.now + time, Own::Wake { worker: index, life, job });
                }
                Effect::MakeId(group) => self.make_id(index, group),
                Effect::Join { id, world } => self.join_clique(index, id, world),
                Effect::Give { id, gift } => self.give(index, id, gift),
                Effect::Abort(id) => self.break_clique(index, id),
                Effect::Released(fate) => self.released(index, fate)?,
                Effect::Redial => {
                    let after = self.dice.up_to(self.settings.budget / 3);
                    self.at(self.now + after, Own::Dial { worker: index, life });
                }
                Effect::Broken(what) => return Err(format!("{} {what}", self.workers[index].name)),
            }
        }
        let worker = &self.workers[index];
        if let Some(state) = worker.state
            && worker.guilty.is_none()
            && self.problem.states.get(state.step as usize) != Some(&state)
        {
            return Err(format!("{} has another state at step {}", worker.name, state.step));
        }
        Ok(())
    }

    /// A worker has read that it is sent away.
    fn released(&mut self, index: usize, fate: Fate) -> Check {
        let worker = &mut self.workers[index];
        let Some(line) = worker.line.filter(|_| fate != Fate::Again) else { return Ok(()) };
        if self.finishers.contains(&line) && worker.last_step() != Some(self.problem.end) {
            return Err(format!("{} took part but does not have the result", worker.name));
        }
        worker.end();
        self.hang_up(line);
        // Who is free may be asked again.
        if fate == Fate::Free && self.dice.chance(50) {
            let after = self.dice.up_to(self.settings.budget * 4);
            let life = self.workers[index].life;
            self.at(self.now + after, Own::Respawn { worker: index, life });
        }
        Ok(())
    }

    pub(super) fn beat(&mut self, worker: usize, line: MemberId) {
        let w = &self.workers[worker];
        if w.line != Some(line) {
            return;
        }
        if !w.frozen {
            let message = Up::Beat(w.progress);
            let at = self.now + self.delay();
            self.net.up(line, message, at);
        }
        self.at(self.now + self.settings.budget / 4, Own::Beat { worker, line });
    }

    pub(super) fn send(&mut self, member: MemberId, message: Down) {
        let at = self.now + self.delay();
        self.net.down(member, message, at);
    }

    pub(super) fn at(&mut self, time: Time, own: Own) {
        self.net.at(time, What::Own(own));
    }

    pub(super) fn delay(&mut self) -> Duration {
        // Mostly quick, now and then not.
        let high =
            if self.dice.chance(20) { self.settings.budget / 10 } else { Duration::from_millis(4) };
        self.dice.up_to(high)
    }

    pub(super) fn instant(&self) -> Instant {
        self.start + self.now
    }

    pub(super) fn worker_of(&self, line: MemberId) -> usize {
        self.net.lines[&line].worker
    }
}

impl Ending {
    pub(super) fn of(recorded: Option<&str>) -> Self {
        match recorded {
            Some("interrupted") => Self::Interrupted,
            Some("failed") => Self::Tie,
            _ => Self::Finished,
        }
    }
}
