//! Single promises about groups, by name.

use std::time::Duration;

use snel_core::chunks::ChunkSet;

use super::play::{BUDGET, CHUNKS, PATIENCE, Play, STATE, SUM, at, chunks, given, released};
use crate::machine::{Action, Digest, Event, Fate, GroupId, MemberId, PayloadId, RoundId, Verdict};
use crate::record::Entry;

/// Another sum than [`SUM`].
const OTHER: Digest = 71;

type Shares = Vec<(MemberId, ChunkSet)>;

/// What a round by a group asks of whom.
fn reduced_by(actions: &[Action]) -> Option<(GroupId, RoundId, Shares)> {
    actions.iter().find_map(|action| match action {
        Action::Reduce { group, round, shares } => Some((*group, *round, shares.clone())),
        _ => None,
    })
}

fn wanted(actions: &[Action]) -> Option<GroupId> {
    actions.iter().find_map(|action| match action {
        Action::WantGroupId { group, .. } => Some(*group),
        _ => None,
    })
}

fn is_over(actions: &[Action], group: GroupId) -> bool {
    actions
        .iter()
        .any(|action| matches!(action, Action::GroupOver { group: of, .. } if *of == group))
}

fn is_committed(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Commit { .. }))
}

impl Play {
    /// A run whose workers have a group, which sums round 2: the group and the shares.
    fn grouped(names: &[&str]) -> (Self, GroupId, Shares) {
        let (mut play, parts) = Self::with_nccl(names, 1);
        let group = GroupId(1);
        let first = MemberId(1);
        let members: Vec<MemberId> = parts.iter().map(|(id, _)| *id).collect();
        let actions = play.tell(Event::GroupId { member: first, group });
        assert_eq!(actions, [Action::JoinGroup { group, members: members.clone() }]);
        for member in &members {
            play.tell(Event::GroupReady { member: *member, group });
        }
        play.wait(1.0);
        for (member, part) in &parts {
            play.contribute(*member, at(1, 0), part.clone(), STATE);
        }
        let actions = play.finish(at(1, 0), &members);
        let (by, round, shares) = reduced_by(&actions).unwrap();
        assert_eq!((by, round), (group, at(2, 0)));
        assert_eq!(given(&actions), [], "nobody is asked to send sums");
        for member in members {
            play.arrive(member, at(2, 0));
        }
        (play, group, shares)
    }

    fn reduce(&mut self, member: MemberId, group: GroupId, digest: Digest) -> Vec<Action> {
        let verdict = Verdict::Step { digest, refused: false };
        let (round, took) = (at(2, 0), Duration::from_secs(1));
        self.tell(Event::Reduced { member, group, round, verdict, took })
    }
}

#[test]
fn a_step_of_a_group_is_committed_when_all_hold_the_sum() {
    let (mut play, group, shares) = Play::grouped(&["a", "b"]);
    let mut all = ChunkSet::default();
    shares.iter().for_each(|(_, share)| all.merge(share).unwrap());
    assert_eq!(all, chunks(0, CHUNKS));
    assert_eq!(play.reduce(MemberId(1), group, SUM), []);
    assert_eq!(play.reduce(MemberId(1), group, SUM), [], "twice is once");
    let actions = play.reduce(MemberId(2), group, SUM);
    let commit =
        Action::Commit { round: at(2, 0), redo: false, members: vec![MemberId(1), MemberId(2)] };
    assert!(actions.contains(&commit), "{actions:?}");
    let (by, round, _) = reduced_by(&actions).unwrap();
    assert_eq!((by, round), (group, at(3, 0)), "the next one is the group's, too");
}

#[test]
fn only_who_has_the_same_nccl_sums_together() {
    let mut mixed = Play::after(super::play::past(5, 5), 2);
    mixed.nccl = 1;
    mixed.join(1, "a", true);
    mixed.nccl = 2;
    mixed.join(2, "b", true);
    let mut actions = mixed.arrive(MemberId(1), at(5, 0));
    actions.extend(mixed.arrive(MemberId(2), at(5, 0)));
    assert_eq!(given(&actions).len(), 1, "{actions:?}");
    assert_eq!(wanted(&actions), None);
    let (mut none, _) = Play::with_nccl(&["a", "b"], 0);
    assert_eq!(wanted(&none.tell(Event::Tick)), None);
}

#[test]
fn a_member_that_dies_costs_its_chunks_only() {
    let (mut play, group, shares) = Play::grouped(&["a", "b", "c"]);
    // One has the sum already; the others never will.
    play.reduce(MemberId(1), group, SUM);
    let actions = play.tell(Event::Lost { member: MemberId(3) });
    let over = Action::GroupOver { group, members: vec![MemberId(1), MemberId(2)] };
    assert!(actions.contains(&over), "{actions:?}");
    let again = given(&actions);
    for (member, chunks) in &again {
        let own = shares.iter().find(|(id, _)| id == member).unwrap();
        assert!(own.1.is_subset(chunks), "what {member:?} has summed counts");
    }
    assert_eq!(again.iter().map(|(_, chunks)| chunks.len()).sum::<u32>(), CHUNKS);
    // Word of the group's sum comes too late, and the round ends as any.
    assert_eq!(play.reduce(MemberId(2), group, SUM), []);
    for (member, chunks) in again {
        play.contribute(member, at(2, 0), chunks, STATE);
    }
    assert!(is_committed(&play.finish(at(2, 0), &[MemberId(1), MemberId(2)])));
}

#[test]
fn sums_that_differ_are_not_committed() {
    let (mut play, group, shares) = Play::grouped(&["a", "b"]);
    play.reduce(MemberId(1), group, SUM);
    let actions = play.reduce(MemberId(2), group, OTHER);
    assert!(is_over(&actions, group) && !is_committed(&actions), "{actions:?}");
    assert_eq!(given(&actions), shares);
    assert_eq!(released(&actions), [], "it does not tell whose fault it was");
    assert_eq!(play.machine.mismatches(), 1);
}

/// Else it would apply what nobody committed.
#[test]
fn who_comes_back_with_another_sum_than_the_one_committed_starts_over() {
    for (digest, again) in [(SUM, false), (OTHER, true)] {
        let (mut play, group, shares) = Play::grouped(&["a", "b"]);
        play.reduce(MemberId(2), group, digest);
        let asked = given(&play.tell(Event::Lost { member: MemberId(2) }));
        assert_eq!(asked, [(MemberId(1), chunks(0, CHUNKS))]);
        play.contribute(MemberId(1), at(2, 0), chunks(0, CHUNKS), STATE);
        assert!(is_committed(&play.finish(at(2, 0), &[MemberId(1)])));
        play.join(3, "b", true);
        let position = crate::machine::Position {
            round: at(2, 0),
            kept: shares[1].1.clone(),
            sum: Some(digest),
        };
        let actions = play.tell(Event::Arrived { member: MemberId(3), position });
        let sent_away = released(&actions).iter().any(|(_, fate, _)| *fate == Fate::Again);
        assert_eq!((sent_away, is_committed(&actions)), (again, !again), "{actions:?}");
    }
}

/// All wait for one of them, and nobody can tell for whom.
#[test]
fn a_sum_that_does_not_come_costs_nobody_its_place() {
    let (mut play, group, shares) = Play::grouped(&["a", "b"]);
    let mut beats = 0;
    let mut tick = |play: &mut Play| {
        play.wait(1.0);
        beats += 1;
        for member in [MemberId(1), MemberId(2)] {
            play.tell(Event::Beat { member, progress: 1 });
        }
        let actions = play.tell(Event::Tick);
        assert_eq!(released(&actions), []);
        (beats, actions)
    };
    let (waited, actions) = loop {
        let (waited, actions) = tick(&mut play);
        if is_over(&actions, group) {
            break (waited, actions);
        }
    };
    assert!(f64::from(waited) < PATIENCE.as_secs_f64(), "they have been timed before: {waited}");
    assert_eq!(given(&actions), shares);
    // What the round waits for now has a name.
    play.contribute(MemberId(1), at(2, 0), shares[0].1.clone(), STATE);
    assert_eq!(play.machine.waiting_for(), ["b (computing its chunks)"]);
}

#[test]
fn a_joiner_waits_for_the_round_of_a_group_to_end() {
    let (mut play, group, _) = Play::grouped(&["a", "b"]);
    assert_eq!(play.join(3, "c", false), [Action::Prepare { member: MemberId(3), restart: false }]);
    play.reduce(MemberId(1), group, SUM);
    let actions = play.reduce(MemberId(2), group, SUM);
    assert!(actions.contains(&Action::WantSnapshot(MemberId(2))), "{actions:?}");
    // The next sums are to reach the joiner.
    assert_eq!(reduced_by(&actions), None);
    assert_eq!(given(&actions).len(), 2);
}

/// It missed no more than word of the commit, but now needs a sum that only the group will have.
#[test]
fn who_comes_back_in_the_round_of_a_group_gets_its_sum() {
    let (mut play, _, shares) = Play::grouped(&["a", "b", "c"]);
    let (a, c, second) = (MemberId(1), MemberId(3), GroupId(2));
    let actions = play.tell(Event::Lost { member: MemberId(2) });
    assert_eq!(wanted(&actions), Some(second));
    play.tell(Event::GroupId { member: a, group: second });
    for member in [a, c] {
        play.tell(Event::GroupReady { member, group: second });
    }
    for (member, chunks) in given(&actions) {
        play.contribute(member, at(2, 0), chunks, STATE);
    }
    let (by, round, _) = reduced_by(&play.finish(at(2, 0), &[a, c])).unwrap();
    assert_eq!((by, round), (second, at(3, 0)));
    play.join(4, "b", true);
    let kept = shares[1].1.clone();
    let actions = play.arrive_with(MemberId(4), at(2, 0), kept, true);
    let missed = Action::Commit { round: at(2, 0), redo: false, members: vec![MemberId(4)] };
    assert!(actions.contains(&missed) && is_over(&actions, second), "{actions:?}");
    for (member, chunks) in given(&actions) {
        play.contribute(member, at(3, 0), chunks, STATE);
    }
    let verdict = Verdict::Step { digest: SUM, refused: false };
    let actions = play.tell(Event::Summed { round: at(3, 0), verdict });
    let sent = Action::SendSum { round: at(3, 0), members: vec![a, c, MemberId(4)] };
    assert!(actions.contains(&sent), "{actions:?}");
}

#[test]
fn a_group_that_fails_is_tried_again_later_each_time() {
    let (mut play, mut parts) = Play::with_nccl(&["a", "b"], 1);
    let member = MemberId(1);
    let mut group = GroupId(1);
    let mut step = 1;
    for factor in [1, 2, 4] {
        let failed = Event::GroupFailed { member, group, why: "no network".to_owned() };
        let actions = play.tell(failed.clone());
        let said = |a: &Action| matches!(a, Action::Note(text) if text.contains("a: no network"));
        assert!(actions.iter().any(said), "{actions:?}");
        assert_eq!(play.tell(failed), [], "it is over already");
        let mut waited = Duration::ZERO;
        group = loop {
            // The steps go on.
            for (member, part) in parts {
                play.contribute(member, at(step, 0), part, STATE);
            }
            parts = given(&play.finish(at(step, 0), &[MemberId(1), MemberId(2)]));
            step += 1;
            for member in [MemberId(1), MemberId(2)] {
                play.arrive(member, at(step, 0));
                play.tell(Event::Beat { member, progress: step });
            }
            assert!(step < 100, "it is not tried again");
            play.wait(1.0);
            waited += Duration::from_secs(1);
            if let Some(group) = wanted(&play.tell(Event::Tick)) {
                break group;
            }
        };
        assert_eq!(waited, BUDGET * factor);
    }
}

#[test]
fn a_group_that_does_not_form_is_given_up() {
    let (mut play, _) = Play::with_nccl(&["a", "b"], 1);
    let group = GroupId(1);
    play.tell(Event::GroupId { member: MemberId(1), group });
    play.tell(Event::GroupReady { member: MemberId(1), group });
    let mut notes = Vec::new();
    for progress in 0..100 {
        play.wait(1.0);
        for member in [MemberId(1), MemberId(2)] {
            play.tell(Event::Beat { member, progress });
        }
        let actions = play.tell(Event::Tick);
        if is_over(&actions, group) {
            notes = actions;
            break;
        }
    }
    let named = |a: &Action| matches!(a, Action::Note(text) if text.contains("not joined by b"));
    assert!(notes.iter().any(named), "{notes:?}");
}

#[test]
fn words_about_another_group_change_nothing() {
    let (mut play, group, _) = Play::grouped(&["a", "b"]);
    let (member, other) = (MemberId(1), GroupId(7));
    assert_eq!(play.reduce(member, other, SUM), []);
    let verdict = Verdict::Step { digest: OTHER, refused: false };
    for round in [at(1, 0), at(2, 1), at(3, 0)] {
        let took = Duration::ZERO;
        assert_eq!(play.tell(Event::Reduced { member, group, round, verdict, took }), []);
    }
    assert_eq!(play.tell(Event::GroupId { member, group }), [], "it has one already");
    assert_eq!(play.tell(Event::GroupReady { member, group: other }), []);
    let why = String::new();
    assert_eq!(play.tell(Event::GroupFailed { member, group: other, why }), []);
    assert_eq!(play.reduce(MemberId(2), group, SUM), []);
    let actions = play.reduce(member, group, SUM);
    let recorded = |a: &Action| matches!(a, Action::Record(Entry::Commit { step: 2, .. }));
    assert!(actions.iter().any(recorded), "{actions:?}");
    // Sums that nobody asked for are as suspicious as ever.
    let actions = play.contribute(member, at(3, 0), chunks(0, 1), STATE);
    assert_eq!(released(&actions)[0].1, Fate::Quarantined);
    assert!(actions.contains(&Action::Forget(vec![PayloadId(4)])), "{actions:?}");
}
