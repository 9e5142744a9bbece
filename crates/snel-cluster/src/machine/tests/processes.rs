//! Processes and connections: how they come, and how they go.

use std::time::Duration;

use super::coordinator::Coordinator;
use super::network::Up;
use super::worker::{Pace, Worker};
use super::world::{Ending, Own, World};
use crate::machine::{Machine, MemberId};

impl World {
    pub(super) fn dial(&mut self, worker: usize, life: u64) {
        let w = &self.workers[worker];
        if w.life != life || w.line.is_some() || self.ending.is_some() {
            return;
        }
        if self.shell.is_none() || w.frozen {
            self.at(self.now + self.settings.budget / 6, Own::Dial { worker, life });
            return;
        }
        let line = self.net.open(worker, self.now);
        self.workers[worker].line = Some(line);
        let at = self.now + self.delay();
        self.net.up(line, Up::Hello, at);
        if let Some(cluster) = self.workers[worker].leaving {
            self.net.up(line, Up::Leave { cluster }, at);
        }
        self.beat(worker, line);
    }

    /// A new worker.
    pub(super) fn spawn(&mut self) -> usize {
        let name = format!("worker-{}", self.workers.len());
        let pace = self.pace();
        self.workers.push(Worker::new(name, 0, pace));
        let worker = self.workers.len() - 1;
        self.workers[worker].nccl = self.mood.version(&mut self.dice);
        let after = self.dice.up_to(self.settings.budget);
        self.at(self.now + after, Own::Dial { worker, life: 0 });
        worker
    }

    /// A new process of a worker that died.
    pub(super) fn revive(&mut self, worker: usize) {
        let old = &self.workers[worker];
        let (name, life) = (old.name.clone(), old.life + 1);
        let guilty = old.guilty.is_some() || old.had_a_guilty_life;
        self.workers[worker] = Worker::new(name, life, self.pace());
        self.workers[worker].had_a_guilty_life = guilty;
        self.workers[worker].nccl = self.mood.version(&mut self.dice);
        self.at(self.now, Own::Dial { worker, life });
    }

    fn pace(&mut self) -> Pace {
        let half = self.settings.budget / 2;
        let dice = &mut self.dice;
        Pace {
            chunk: dice.between(Duration::from_millis(1), Duration::from_millis(10)),
            prepare: dice.up_to(self.settings.budget),
            load: dice.up_to(half),
            apply: dice.up_to(Duration::from_millis(5)),
            validate: dice.up_to(half),
            save: dice.up_to(half),
        }
    }

    /// A worker's process is gone; another may come.
    pub(super) fn kill(&mut self, index: usize) {
        let line = self.workers[index].line;
        if let Some(id) = self.workers[index].communicator() {
            self.break_clique(index, id);
        }
        self.workers[index].end();
        if let Some(line) = line {
            // The computer may have gone with it: then nobody says that the connection is gone, or
            // not soon.
            let silence = match self.dice.below(10) {
                0 => self.settings.budget * 1000,
                1 | 2 => self.settings.budget * 3,
                _ => self.delay(),
            };
            self.net.cut(line, self.now, self.now + silence, self.now);
        }
        if self.dice.chance(70) {
            let after = self.dice.up_to(self.settings.budget * 3);
            let life = self.workers[index].life;
            self.at(self.now + after, Own::Respawn { worker: index, life });
        }
    }

    /// A connection breaks; each end notices in its own time.
    pub(super) fn cut(&mut self, line: MemberId) {
        let late =
            if self.dice.chance(30) && !self.gentle { self.settings.budget } else { self.delay() };
        let (up, down) = (self.now + late, self.now + self.delay());
        self.net.cut(line, self.now, up, down);
        let truncated = [self.dice.chance(50), self.dice.chance(50)];
        if let Some(line) = self.net.lines.get_mut(&line) {
            line.truncated = truncated;
        }
    }

    /// The coordinator closes a connection.
    pub(super) fn hang_up(&mut self, line: MemberId) {
        let down = self.now + self.delay();
        self.net.cut(line, self.now, self.now, down);
    }

    /// The coordinator's process dies.
    pub(super) fn crash(&mut self) {
        self.fuse = None;
        self.shell = None;
        self.tally.crashes += 1;
        let open: Vec<MemberId> = self.net.open_lines();
        for line in open {
            let down = self.now + self.delay();
            self.net.cut(line, self.now, self.now, down);
        }
        self.net.forget_ups();
        let after = self.dice.up_to(self.settings.budget / 2);
        self.at(self.now + after, Own::Restart);
        if self.verbose {
            println!("{:>10.3?} the coordinator dies", self.now);
        }
    }

    pub(super) fn restart(&mut self) {
        self.incarnations += 1;
        let past = self.ledger.past(self.disk.step);
        let ended = self.ledger.ended.is_some();
        if self.verbose {
            println!("{:>10.3?} a coordinator starts: {past:?}", self.now);
        }
        if ended {
            // It died on the last words; the record says how.
            self.ending.get_or_insert(Ending::of(self.ledger.ended.as_deref()));
            return;
        }
        let machine = Machine::new(self.settings.clone(), past, self.instant());
        self.shell = Some(Coordinator::new(machine, self.incarnations));
        self.at(self.now, Own::Tick { incarnation: self.incarnations });
    }
}
