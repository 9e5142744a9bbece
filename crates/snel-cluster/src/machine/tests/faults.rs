//! What goes wrong, and when it may.

use super::dice::Dice;
use super::ledger::Check;
use super::network::Up;
use super::worker::Guilt;
use super::world::{Own, World};
use crate::machine::{Event, Stage};

/// Something that goes wrong, or that a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    // These may not cost a step.
    Cut,
    CutAll,
    Nap,
    Crash,
    Drain,
    Join,
    Alien,
    Pause,
    Stop,
    /// Kills a worker if another one takes part.
    KillOne,
    // These may.
    Kill,
    KillAll,
    Freeze,
    Stick,
    Fail,
    Corrupt,
    Overreach,
    Unsound,
    BadEcho,
}

const GENTLE: [Fault; 10] = [
    Fault::Cut,
    Fault::CutAll,
    Fault::Nap,
    Fault::Crash,
    Fault::Drain,
    Fault::Join,
    Fault::Alien,
    Fault::Pause,
    Fault::Stop,
    Fault::KillOne,
];

const ROUGH: [Fault; 9] = [
    Fault::Kill,
    Fault::KillAll,
    Fault::Freeze,
    Fault::Stick,
    Fault::Fail,
    Fault::Corrupt,
    Fault::Overreach,
    Fault::Unsound,
    Fault::BadEcho,
];

/// Workers that a seed may have in all.
const WORKERS: usize = 10;

impl Fault {
    /// The faults of one seed: a few of all, so that rare combinations come up.
    pub(super) fn menu(gentle: bool, dice: &mut Dice) -> Vec<Self> {
        let mut menu: Vec<Self> = GENTLE.to_vec();
        if !gentle {
            menu.extend(ROUGH);
        }
        menu.retain(|_| dice.chance(40));
        if gentle && menu.contains(&Self::KillOne) {
            // The others must be there: if they leave, or are cut off at that moment, then that is
            // more than one fault at a time.
            let takes_away =
                |fault: &Self| matches!(fault, Self::Drain | Self::Cut | Self::CutAll | Self::Nap);
            menu.retain(|fault| !takes_away(fault));
        }
        menu
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        GENTLE.into_iter().chain(ROUGH)
    }
}

impl World {
    /// Lets one thing go wrong.
    pub(super) fn strike(&mut self) -> Check {
        // While a worker's memory is bad, the others must be there to tell.
        let corrupt = |w: &super::worker::Worker| w.alive && w.guilty == Some(Guilt::Corrupt);
        if self.deadline.is_some() || self.workers.iter().any(corrupt) {
            return Ok(());
        }
        let Some(fault) = self.dice.pick(&self.menu) else { return Ok(()) };
        let alive: Vec<usize> =
            (0..self.workers.len()).filter(|&i| self.workers[i].alive).collect();
        let victim = self.dice.pick(&alive);
        if self.verbose {
            let name = victim.map(|i| self.workers[i].name.clone());
            println!("{:>10.3?} FAULT {fault:?} {name:?}", self.now);
        }
        *self.tally.faults.entry(fault).or_default() += 1;
        match (fault, victim) {
            (Fault::CutAll, _) => self.net.open_lines().into_iter().for_each(|line| self.cut(line)),
            (Fault::KillAll, _) => alive.into_iter().for_each(|worker| self.kill(worker)),
            (Fault::Crash, _) => self.fuse = Some(self.dice.below(30) as u32),
            (Fault::Join, _) if self.workers.len() < WORKERS => {
                self.spawn();
            }
            // The first one decides what is alien.
            (Fault::Alien, _) if self.workers.len() < WORKERS && self.ledger.shape.is_some() => {
                let worker = self.spawn();
                self.workers[worker].alien = true;
            }
            (Fault::Pause, _) => {
                let after = self.dice.up_to(self.settings.budget * 3);
                self.at(self.now + after, Own::Resume);
                return self.tell(Event::Pause);
            }
            (Fault::Stop, _) if self.dice.chance(20) && self.shell.is_some() => {
                self.stop_asked = true;
                return self.tell(Event::Stop);
            }
            (fault, Some(victim)) => self.strike_one(fault, victim),
            _ => {}
        }
        Ok(())
    }

    fn strike_one(&mut self, fault: Fault, victim: usize) {
        let spare = self.is_spare(victim);
        let planned = self.workers.iter().any(|w| w.plan == Some(Guilt::Corrupt));
        let worker = &mut self.workers[victim];
        let line = worker.line;
        match fault {
            Fault::Cut => {
                if let Some(line) = line {
                    self.cut(line);
                }
            }
            Fault::Nap => self.freeze(victim, self.settings.budget / 2),
            Fault::Freeze => self.freeze(victim, self.settings.budget * 4),
            Fault::KillOne if !spare => {}
            Fault::Kill | Fault::KillOne => self.kill(victim),
            Fault::Drain => {
                let cluster = self.dice.chance(50);
                self.workers[victim].leaving = Some(cluster);
                if let Some(line) = line {
                    let at = self.now + self.delay();
                    self.net.up(line, Up::Leave { cluster }, at);
                }
            }
            Fault::Stick => {
                worker.stuck = true;
                self.disturb(victim);
            }
            Fault::Fail => {
                if let Some(line) = line {
                    let name = worker.name.clone();
                    self.failed.push(name);
                    let at = self.now + self.delay();
                    self.net.up(line, Up::Failed, at);
                }
            }
            // One at a time.
            Fault::Corrupt if planned => {}
            Fault::Corrupt => worker.plan = Some(Guilt::Corrupt),
            Fault::Overreach => worker.plan = Some(Guilt::Overreach),
            Fault::Unsound => worker.plan = Some(Guilt::Unsound),
            Fault::BadEcho => worker.plan = Some(Guilt::BadEcho),
            _ => {}
        }
    }

    /// Whether the run can go on without this worker.
    fn is_spare(&self, victim: usize) -> bool {
        let Some(shell) = &self.shell else { return false };
        let mut active = shell.machine.members().filter(|(_, _, stage, _)| *stage == Stage::Active);
        active.any(|(id, ..)| {
            let line = &self.net.lines[&id];
            line.broken.is_none() && line.worker != victim && self.workers[line.worker].sane()
        })
    }

    fn freeze(&mut self, worker: usize, longest: std::time::Duration) {
        self.workers[worker].frozen = true;
        self.disturb(worker);
        let after = self.dice.up_to(longest);
        let life = self.workers[worker].life;
        self.at(self.now + after, Own::Thaw { worker, life });
    }

    fn disturb(&mut self, worker: usize) {
        let line = self.workers[worker].line;
        if let Some(line) = line.and_then(|line| self.net.lines.get_mut(&line)) {
            line.disturbed = true;
        }
    }
}
