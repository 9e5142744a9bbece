//! Single promises of the machine, by name.

use snel_core::chunks::ChunkSet;

use super::play::{
    BUDGET, CHUNKS, PATIENCE, Play, STATE, SUM, at, chunks, end, given, past, released, shape,
    summed,
};
use crate::machine::{Action, Event, Fate, MemberId, Outcome, Past, PayloadId, Phase, Verdict};
use crate::record::Entry;

#[test]
fn a_lost_workers_contribution_counts() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let [(a, first), (b, second)] = &parts[..] else { panic!("{parts:?}") };
    play.contribute(*b, at(1, 0), second.clone(), STATE);
    let actions = play.tell(Event::Lost { member: *b });
    assert_eq!(given(&actions), []);
    let actions = play.contribute(*a, at(1, 0), first.clone(), STATE);
    assert_eq!(summed(&actions), Some(vec![PayloadId(2), PayloadId(3)]));
    let actions = play.finish(at(1, 0), &[*a]);
    assert!(
        actions.iter().any(|action| matches!(
            action,
            Action::Record(Entry::Commit { step: 1, attempt: 0, .. })
        ))
    );
}

#[test]
fn survivors_get_only_the_lost_chunks() {
    let (mut play, parts) = Play::with(&["a", "b", "c"]);
    let lost = parts[2].clone();
    play.contribute(parts[0].0, at(1, 0), parts[0].1.clone(), STATE);
    let again = given(&play.tell(Event::Lost { member: lost.0 }));
    let mut all = ChunkSet::default();
    for (member, part) in &again {
        assert_ne!(*member, lost.0);
        all.merge(part).unwrap();
    }
    assert_eq!(all, lost.1);
    assert_eq!(again.len(), 2, "both who are left get a part");
}

#[test]
fn a_returning_worker_keeps_its_sums() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    // All connections break; both come back, and each has summed its part.
    play.contribute(a, at(1, 0), parts[0].1.clone(), STATE);
    play.tell(Event::Lost { member: a });
    let actions = play.tell(Event::Lost { member: b });
    assert!(actions.contains(&Action::Forget(vec![PayloadId(2)])));
    play.join(3, "a", true);
    play.join(4, "b", true);
    let actions = play.arrive_with(MemberId(3), at(1, 0), parts[0].1.clone(), false);
    assert_eq!(actions, [], "the other may come back, too");
    let actions = play.arrive_with(MemberId(4), at(1, 0), parts[1].1.clone(), false);
    let same = vec![(MemberId(3), parts[0].1.clone()), (MemberId(4), parts[1].1.clone())];
    assert_eq!(given(&actions), same);
}

#[test]
fn kept_sums_say_nothing_about_speed() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    play.tell(Event::Lost { member: a });
    play.tell(Event::Lost { member: b });
    play.join(3, "a", true);
    play.join(4, "b", true);
    play.arrive_with(MemberId(3), at(1, 0), parts[0].1.clone(), false);
    play.arrive(MemberId(4), at(1, 0));
    play.contribute(MemberId(3), at(1, 0), parts[0].1.clone(), STATE);
    play.wait(1.0);
    play.contribute(MemberId(4), at(1, 0), parts[1].1.clone(), STATE);
    let actions = play.finish(at(1, 0), &[MemberId(3), MemberId(4)]);
    let sizes: Vec<u32> = given(&actions).iter().map(|(_, part)| part.len()).collect();
    assert_eq!(sizes, [6, 6]);
}

#[test]
fn work_follows_speed() {
    let (mut play, mut parts) = Play::with(&["a", "b"]);
    for step in 1..30 {
        // The second needs three times as long for a chunk.
        let ((a, first), (b, second)) = (parts[0].clone(), parts[1].clone());
        let (quick, slow) = (f64::from(first.len()), 3.0 * f64::from(second.len()));
        let round = at(step, 0);
        play.arrive(a, round);
        play.arrive(b, round);
        let (sooner, later) = ((a, first, quick), (b, second, slow));
        let (sooner, later) = if quick < slow { (sooner, later) } else { (later, sooner) };
        play.wait(sooner.2);
        play.contribute(sooner.0, round, sooner.1, STATE);
        play.wait(later.2 - sooner.2);
        play.contribute(later.0, round, later.1, STATE);
        parts = given(&play.finish(round, &[a, b]));
    }
    assert_eq!([parts[0].1.len(), parts[1].1.len()], [9, 3]);
}

#[test]
fn a_worker_that_was_slow_once_is_tried_again() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    play.contribute(a, at(1, 0), parts[0].1.clone(), STATE);
    // It lives and works all the time.
    for progress in 1..2000 {
        play.wait(1.0);
        play.tell(Event::Beat { member: a, progress });
        play.tell(Event::Beat { member: b, progress });
    }
    play.contribute(b, at(1, 0), parts[1].1.clone(), STATE);
    let mut parts = given(&play.finish(at(1, 0), &[a, b]));
    let mut idle = 0;
    while parts.len() == 1 {
        assert_eq!(parts, [(a, chunks(0, CHUNKS))]);
        idle += 1;
        assert!(idle < 50, "it was never tried again");
        play.arrive(a, at(1 + idle, 0));
        play.arrive(b, at(1 + idle, 0));
        play.wait(f64::from(CHUNKS));
        play.contribute(a, at(1 + idle, 0), chunks(0, CHUNKS), STATE);
        parts = given(&play.finish(at(1 + idle, 0), &[a, b]));
    }
    assert!(idle > 5, "{idle}");
    assert_eq!(parts[1].1.len(), 1, "it is tried with little");
}

/// What lies between two steps nobody has timed, but the other one has just done the same.
#[test]
fn who_never_comes_to_the_next_step_is_found_by_who_did() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    play.wait(1.0);
    for (member, part) in parts {
        play.contribute(member, at(1, 0), part, STATE);
    }
    let parts = given(&play.finish(at(1, 0), &[a, b]));
    // Both validate for a second; then one computes, and the other does not appear.
    play.wait(1.0);
    play.arrive(a, at(2, 0));
    play.wait(1.0);
    let first = parts.iter().find(|(member, _)| *member == a).unwrap();
    play.contribute(a, at(2, 0), first.1.clone(), STATE);
    let beats = |play: &mut Play, seconds: u32| {
        let mut actions = Vec::new();
        for _ in 0..seconds {
            play.wait(1.0);
            actions.extend(play.tell(Event::Beat { member: a, progress: 0 }));
            actions.extend(play.tell(Event::Beat { member: b, progress: 0 }));
            actions.extend(play.tell(Event::Tick));
        }
        actions
    };
    // Eight times as long as the first one took, and not the minute of who cannot be compared.
    assert_eq!(released(&beats(&mut play, 12)), []);
    let actions = beats(&mut play, 30);
    assert_eq!(released(&actions)[0].0, b, "{actions:?}");
    assert_eq!(given(&actions).len(), 1, "the first one gets the rest");
}

#[test]
fn the_last_worker_to_drain_leaves_a_checkpoint() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    play.tell(Event::Leaving { member: b, cluster: true });
    play.tell(Event::Leaving { member: a, cluster: false });
    // They finish the step; then one would do, but both want to go.
    for (member, part) in &parts {
        play.contribute(*member, at(1, 0), part.clone(), STATE);
    }
    let actions = play.finish(at(1, 0), &[a, b]);
    let stopped = |id| actions.contains(&Action::Stop(vec![id]));
    assert!(stopped(a) && stopped(b), "{actions:?}");
    assert_eq!(given(&actions), []);
    play.tell(Event::CheckpointStored { step: 2 });
    let finished = |member| Event::Finished { member, step: 2, outcome: Outcome::Interrupted };
    let fate = |actions: &[Action]| released(actions)[0].1;
    assert_eq!(fate(&play.tell(finished(a))), Fate::Free);
    assert_eq!(fate(&play.tell(finished(b))), Fate::Leaves);
    // Whoever comes next goes on from there at once.
    play.join(9, "c", false);
    play.wait(BUDGET.as_secs_f64() * 2.0);
    let actions = play.tell(Event::Beat { member: MemberId(9), progress: 1 });
    assert_eq!(actions, [Action::StartFromDisk { members: vec![MemberId(9)], step: 2 }]);
}

#[test]
fn a_drained_worker_goes_after_the_step() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    assert_eq!(play.tell(Event::Leaving { member: b, cluster: true }), []);
    for (member, part) in &parts {
        play.contribute(*member, at(1, 0), part.clone(), STATE);
    }
    let actions = play.finish(at(1, 0), &[a, b]);
    assert_eq!(released(&actions), [(b, Fate::Leaves, "drained".to_owned())]);
    assert_eq!(given(&actions), [(a, chunks(0, CHUNKS))]);
}

#[test]
fn an_odd_worker_is_sent_away_and_its_chunks_are_summed_again() {
    let (mut play, parts) = Play::with(&["a", "b", "c"]);
    let round = at(1, 0);
    play.contribute(parts[0].0, round, parts[0].1.clone(), STATE);
    play.contribute(parts[1].0, round, parts[1].1.clone(), STATE + 1);
    let actions = play.contribute(parts[2].0, round, parts[2].1.clone(), STATE);
    assert_eq!(summed(&actions), None);
    let gone = released(&actions);
    assert_eq!((gone[0].0, gone[0].1), (parts[1].0, Fate::Quarantined));
    assert!(actions.contains(&Action::Forget(vec![PayloadId(3)])));
    let again = given(&actions);
    let count: u32 = again.iter().map(|(_, part)| part.len()).sum();
    assert_eq!(count, parts[1].1.len());
    assert_eq!(play.machine.mismatches(), 1);
    let mut sums = None;
    for (member, part) in again {
        sums = summed(&play.contribute(member, round, part, STATE));
    }
    assert_eq!(sums.map(|payloads| payloads.len()), Some(4));
}

#[test]
fn a_tie_of_digests_ends_the_run_by_name() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    play.contribute(parts[0].0, at(1, 0), parts[0].1.clone(), STATE);
    let actions = play.contribute(parts[1].0, at(1, 0), parts[1].1.clone(), 5 << 96);
    let (outcome, step) = end(&actions).unwrap();
    let why = outcome.unwrap_err();
    assert_eq!(step, 1);
    assert!(why.contains("a has 00000000") && why.contains("b has 00000005"), "{why}");
    assert_eq!(play.machine.phase(), Phase::Ended);
}

#[test]
fn who_holds_the_sum_is_told_of_the_commit_that_it_missed() {
    // The record says that step 4 was committed in its second attempt.
    let mut play = Play::after(past(5, 0), 1);
    play.join(1, "a", true);
    let commit = |member| Action::Commit { round: at(4, 1), redo: false, members: vec![member] };
    let actions = play.arrive_with(MemberId(1), at(4, 1), ChunkSet::default(), true);
    assert_eq!(actions, [commit(MemberId(1))]);
    // The sum of the first attempt is not what was committed.
    play.join(2, "b", true);
    let actions = play.arrive_with(MemberId(2), at(4, 0), ChunkSet::default(), true);
    assert_eq!(released(&actions)[0].1, Fate::Again);
    // The first one goes on.
    let actions = play.arrive(MemberId(1), at(5, 0));
    assert_eq!(given(&actions), [(MemberId(1), chunks(0, CHUNKS))]);
    // When step 5 is to be repeated, there is more to miss than a commit.
    play.contribute(MemberId(1), at(5, 0), chunks(0, CHUNKS), STATE);
    play.tell(Event::Summed { round: at(5, 0), verdict: Verdict::Redo { digest: SUM } });
    let ready = Event::Ready { member: MemberId(1), round: at(5, 0), digest: SUM };
    let actions = play.tell(ready);
    assert_eq!(given(&actions).len(), 1);
    play.join(3, "c", true);
    let actions = play.arrive_with(MemberId(3), at(4, 1), ChunkSet::default(), true);
    assert_eq!(released(&actions)[0].1, Fate::Again);
    // But the word to repeat may be all that was missed.
    play.join(4, "d", true);
    let actions = play.arrive_with(MemberId(4), at(5, 0), ChunkSet::default(), true);
    let repeat = Action::Commit { round: at(5, 0), redo: true, members: vec![MemberId(4)] };
    assert_eq!(actions, [repeat]);
}

#[test]
fn a_sum_is_not_committed_before_a_late_comer_holds_it() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    play.tell(Event::Lost { member: b });
    for (member, part) in [(a, parts[0].1.clone()), (a, parts[1].1.clone())] {
        play.contribute(member, at(1, 0), part, STATE);
    }
    let verdict = Verdict::Step { digest: SUM, refused: false };
    play.tell(Event::Summed { round: at(1, 0), verdict });
    play.join(3, "b", true);
    let actions = play.arrive(MemberId(3), at(1, 0));
    let late = Action::SendSum { round: at(1, 0), members: vec![MemberId(3)] };
    assert!(actions.contains(&late), "{actions:?}");
    let ready = |member| Event::Ready { member, round: at(1, 0), digest: SUM };
    assert_eq!(play.tell(ready(a)), []);
    let actions = play.tell(ready(MemberId(3)));
    let members = vec![a, MemberId(3)];
    assert!(actions.contains(&Action::Commit { round: at(1, 0), redo: false, members }));
}

#[test]
fn after_the_loss_of_all_workers_the_run_waits_and_then_goes_back() {
    let (mut play, parts) = Play::with(&["a"]);
    play.tell(Event::Lost { member: parts[0].0 });
    assert_eq!(play.machine.waiting_for(), ["a (to come back)"]);
    // A new worker has nothing to go on from.
    assert_eq!(given(&play.join(2, "b", false)), []);
    play.wait(BUDGET.as_secs_f64() * 2.0);
    let actions = play.tell(Event::Beat { member: MemberId(2), progress: 1 });
    assert!(actions.contains(&Action::Record(Entry::Rewound { step: 0 })), "{actions:?}");
    let start = Action::StartFromDisk { members: vec![MemberId(2)], step: 0 };
    assert!(actions.contains(&start), "{actions:?}");
}

#[test]
fn a_silent_worker_is_cut_by_name() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    play.wait(BUDGET.as_secs_f64() + 0.1);
    play.tell(Event::Beat { member: parts[0].0, progress: 1 });
    let gone = released(&play.tell(Event::Tick));
    assert_eq!((gone[0].0, gone[0].1), (parts[1].0, Fate::Cut));
    assert_eq!(gone[0].2, "b was silent for 22.1s");
}

#[test]
fn a_worker_that_lives_and_gets_nowhere_is_cut_by_name() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let round = at(1, 0);
    play.contribute(parts[0].0, round, parts[0].1.clone(), STATE);
    // It was never timed: it may take as long as `patience`.
    let mut gone = Vec::new();
    let mut waited = 0.0;
    while gone.is_empty() {
        assert_eq!(play.machine.waiting_for(), ["b (computing its chunks)"]);
        play.wait(1.0);
        waited += 1.0;
        for (member, _) in &parts {
            play.tell(Event::Beat { member: *member, progress: 1 });
        }
        gone = released(&play.tell(Event::Tick));
    }
    // The first beat was progress.
    assert_eq!(waited, PATIENCE.as_secs_f64() + 2.0);
    assert_eq!((gone[0].0, gone[0].1), (parts[1].0, Fate::Cut));
    let why = "b lives, but made no progress for 61.0s (computing its chunks)";
    assert_eq!(gone[0].2, why);
}

#[test]
fn the_run_ends_when_the_result_is_on_disk() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    let finished = |member| Event::Finished { member, step: 1, outcome: Outcome::Finished };
    assert_eq!(end(&play.tell(finished(b))), None);
    assert_eq!(play.machine.waiting_for(), ["a (storing the result)"]);
    // It dies over that; the other one has the result as well.
    let actions = play.tell(Event::Lost { member: a });
    assert!(actions.contains(&Action::Membership(vec![b])), "{actions:?}");
    assert_eq!(play.machine.waiting_for(), ["b (storing the result)"]);
    let actions = play.tell(Event::CheckpointStored { step: 1 });
    assert_eq!(end(&actions), Some((Ok(Outcome::Finished), 1)));
}

#[test]
fn a_stopped_run_ends_after_a_checkpoint() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let (a, b) = (parts[0].0, parts[1].0);
    assert_eq!(play.tell(Event::Stop), []);
    for (member, part) in &parts {
        play.contribute(*member, at(1, 0), part.clone(), STATE);
    }
    let actions = play.finish(at(1, 0), &[a, b]);
    assert!(actions.contains(&Action::Stop(vec![a, b])));
    let saving = ["a (saving a checkpoint)", "b (saving a checkpoint)"];
    assert_eq!(play.machine.waiting_for(), saving);
    play.tell(Event::CheckpointStored { step: 2 });
    let actions = play.tell(Event::Finished { member: b, step: 2, outcome: Outcome::Interrupted });
    assert_eq!(end(&actions), Some((Ok(Outcome::Interrupted), 2)));
}

#[test]
fn a_paused_run_ends_its_step_and_waits() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    play.tell(Event::Pause);
    for (member, part) in &parts {
        play.contribute(*member, at(1, 0), part.clone(), STATE);
    }
    let actions = play.finish(at(1, 0), &[parts[0].0, parts[1].0]);
    assert!(actions.iter().any(|action| matches!(action, Action::Commit { .. })));
    assert_eq!(given(&actions), []);
    assert_eq!(given(&play.tell(Event::Resume)).len(), 2);
}

#[test]
fn another_shape_is_refused_after_a_restart_as_well() {
    let mut play = Play::after(past(5, 5), 1);
    let member = MemberId(1);
    play.tell(Event::Joined { member, name: "b".to_owned() });
    let actions =
        play.tell(Event::Prepared { member, shape: shape("y"), has_state: false, nccl: 0 });
    let gone = released(&actions);
    assert_eq!(gone[0].1, Fate::Excluded);
    assert!(gone[0].2.contains("it has y, the run x"), "{}", gone[0].2);
}

/// The connection is the same, so old messages may be under way when a worker is told to start over.
#[test]
fn who_starts_over_is_not_heard_before_it_knows() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let member = parts[1].0;
    let actions = play.tell(Event::Finished { member, step: 0, outcome: Outcome::Finished });
    assert_eq!(released(&actions)[0].1, Fate::Again);
    assert!(actions.contains(&Action::Prepare { member, restart: true }));
    assert_eq!(play.arrive(member, at(1, 0)), []);
    let late = play.contribute(member, at(1, 0), parts[1].1.clone(), STATE);
    assert_eq!(late, [Action::Forget(vec![PayloadId(2)])]);
    let actions =
        play.tell(Event::Prepared { member, shape: shape("x"), has_state: false, nccl: 0 });
    assert_eq!(actions, [Action::WantSnapshot(parts[0].0)]);
}

#[test]
fn workers_that_are_further_than_the_record_are_believed() {
    let mut play = Play::after(Past { members: vec!["a".into(), "b".into()], ..past(5, 0) }, 1);
    play.join(1, "a", true);
    play.join(2, "b", true);
    assert_eq!(play.arrive(MemberId(1), at(5, 0)), [], "the other one may be further");
    let actions = play.arrive(MemberId(2), at(6, 0));
    assert!(actions.contains(&Action::Record(Entry::Adopted { step: 6 })), "{actions:?}");
    assert_eq!(released(&actions)[0], {
        let why = "its state is of step 5, the run is at step 6".to_owned();
        (MemberId(1), Fate::Again, why)
    });
    assert_eq!(given(&actions), [(MemberId(2), chunks(0, CHUNKS))]);
}

#[test]
fn a_fault_that_any_worker_would_have_ends_the_run() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let why = "no such file".to_owned();
    let actions = play.tell(Event::Failed { member: parts[0].0, fatal: true, why });
    assert_eq!(end(&actions), Some((Err("a: no such file".to_owned()), 1)));
    assert_eq!(released(&actions).len(), 2);
}

#[test]
fn words_about_another_round_change_nothing() {
    let (mut play, parts) = Play::with(&["a"]);
    let (member, all) = parts[0].clone();
    let verdict = Verdict::Step { digest: SUM, refused: false };
    let other = [at(0, 0), at(1, 1), at(2, 0)];
    for round in other {
        let late = play.contribute(member, round, all.clone(), STATE);
        assert!(matches!(late[..], [Action::Forget(_)]), "{late:?}");
    }
    // Nor do words that come too early, of the round as it was begun the first time.
    assert_eq!(play.tell(Event::Summed { round: at(1, 0), verdict }), []);
    assert_eq!(play.tell(Event::Ready { member, round: at(1, 0), digest: SUM }), []);
    assert!(summed(&play.contribute(member, at(1, 0), all, STATE)).is_some());
    for round in other {
        assert_eq!(play.tell(Event::Summed { round, verdict }), []);
    }
    assert_eq!(play.tell(Event::Summed { round: at(1, 0), verdict }).len(), 1);
    for round in other {
        assert_eq!(play.tell(Event::Ready { member, round, digest: SUM }), []);
    }
    let actions = play.tell(Event::Ready { member, round: at(1, 0), digest: SUM });
    assert!(actions.contains(&Action::Commit {
        round: at(1, 0),
        redo: false,
        members: vec![member]
    }));
}

/// Else a worker with a broken memory could outvote a healthy one by coming back.
#[test]
fn who_comes_back_has_no_second_vote() {
    let (mut play, parts) = Play::with(&["a", "b"]);
    let ((a, first), (b, second)) = (parts[0].clone(), parts[1].clone());
    let half = second.clone().take(3);
    let rest = second.minus(&half);
    play.contribute(b, at(1, 0), half, STATE + 1);
    // On another connection it sums more, as the other one dies.
    assert_eq!(given(&play.join(3, "b", true)), [(a, rest.clone())]);
    play.arrive(MemberId(3), at(1, 0));
    play.contribute(a, at(1, 0), first, STATE);
    assert_eq!(given(&play.tell(Event::Lost { member: a })), [(MemberId(3), rest.clone())]);
    let actions = play.contribute(MemberId(3), at(1, 0), rest, STATE + 1);
    assert!(end(&actions).is_some_and(|(outcome, _)| outcome.is_err()), "{actions:?}");
}

#[test]
fn who_holds_the_only_state_does_not_go_before_it_is_on_disk() {
    let mut play = Play::after(past(5, 0), 1);
    let member = MemberId(1);
    play.join(1, "a", true);
    play.arrive_with(member, at(4, 1), ChunkSet::default(), true);
    // It has still to apply step 4.
    assert_eq!(play.tell(Event::Leaving { member, cluster: true }), []);
    let actions = play.arrive(member, at(5, 0));
    assert!(actions.contains(&Action::Stop(vec![member])), "{actions:?}");
}

#[test]
fn who_comes_back_after_the_run_went_back_starts_over() {
    let mut play = Play::after(past(5, 0), 1);
    play.join(1, "b", false);
    play.wait(BUDGET.as_secs_f64() * 2.0);
    let actions = play.tell(Event::Beat { member: MemberId(1), progress: 1 });
    assert!(actions.contains(&Action::StartFromDisk { members: vec![MemberId(1)], step: 0 }));
    play.join(2, "a", true);
    let actions = play.arrive_with(MemberId(2), at(4, 1), ChunkSet::default(), true);
    assert_eq!(released(&actions)[0].1, Fate::Again);
}

#[test]
fn a_snapshot_is_handed_on_only_where_the_run_is() {
    let (mut play, parts) = Play::with(&["a"]);
    let peer = parts[0].0;
    assert_eq!(play.join(2, "b", false).last(), Some(&Action::WantSnapshot(peer)));
    let snapshot = |step| Event::Snapshot { member: peer, step };
    assert_eq!(play.tell(snapshot(0)), [Action::WantSnapshot(peer)]);
    assert_eq!(play.tell(snapshot(1)), [Action::StartFromSnapshot(vec![MemberId(2)])]);
    // A state before the second attempt at a step would have to say so.
    play.contribute(peer, at(1, 0), chunks(0, CHUNKS), STATE);
    let verdict = Verdict::Redo { digest: SUM };
    play.tell(Event::Summed { round: at(1, 0), verdict });
    play.tell(Event::Ready { member: peer, round: at(1, 0), digest: SUM });
    play.join(3, "c", false);
    assert_eq!(play.tell(snapshot(1)), [Action::WantSnapshot(peer)]);
}
