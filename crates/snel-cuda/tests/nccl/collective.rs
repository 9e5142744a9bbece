//! Steps of a whole group: the bits of one worker alone, or an error that says why not.

use std::sync::Arc;

use snel_core::chunks::ChunkSet;
use snel_core::collective::{Alone, Collective, CollectiveError};
use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_core::partial::{Partial, PartialError};
use snel_core::plan::StepPlan;
use snel_cuda::nccl::{Shares, even_shares};

use crate::host::{Fake, PATIENCE};
use crate::problem::{
    bytes, collective, engine, first_step, lopsided_shares, problem, scattered_shares, train,
};

const STEPS: u32 = 8;

#[test]
fn a_group_ends_in_the_bits_of_one_worker() {
    type Deal = fn(u32) -> Shares;
    let deals: [(&str, Deal); 3] =
        [("even", even_shares), ("scattered", scattered_shares), ("lopsided", lopsided_shares)];
    for objective in Objective::ALL {
        let problem = problem(objective);
        let alone = train(&mut engine(&problem), &problem, &mut Alone, STEPS).unwrap();
        assert!(alone.updates > 0, "the steps were applied");
        for world in [1, 2, 3] {
            for (name, shares) in deals {
                let fake = Fake::new();
                let states = fake.ranks(world, PATIENCE, |_, communicator| {
                    let mut group = collective(communicator.unwrap(), shares(world));
                    let state = train(&mut engine(&problem), &problem, &mut group, STEPS);
                    group.leave().unwrap();
                    state.unwrap()
                });
                for state in states {
                    assert_eq!(state.digest(), alone.digest(), "{objective:?} {world} {name}");
                }
                fake.assert_clean();
            }
        }
    }
}

/// Even the sums' bytes, of which the digest sees only the gradient.
#[test]
fn the_sums_are_the_bytes_of_one_worker() {
    for objective in Objective::ALL {
        let problem = problem(objective);
        let (plan, mut alone) = first_step(&problem);
        Alone.sum(&plan, &mut engine(&problem), &mut alone).unwrap();
        let sums = Fake::new().ranks(3, PATIENCE, |_, communicator| {
            let (plan, mut partial) = first_step(&problem);
            let mut group = collective(communicator.unwrap(), scattered_shares(3));
            group.sum(&plan, &mut engine(&problem), &mut partial).unwrap();
            group.leave().unwrap();
            bytes(&partial)
        });
        assert!(sums.iter().all(|sum| *sum == bytes(&alone)), "{objective:?}");
    }
}

/// What two ranks say of a step in which the second one is different.
fn disagreement(
    spoil: impl Fn(&mut StepPlan, &mut dyn Engine, &mut Partial) + Sync,
    shares: impl Fn(u32) -> Shares + Sync,
    objective: impl Fn(u32) -> Objective + Sync,
) -> Vec<String> {
    let fake = Fake::new();
    let said = fake.ranks(2, PATIENCE, |rank, communicator| {
        let problem = problem(objective(rank));
        let (mut plan, mut partial) = first_step(&problem);
        let mut engine = engine(&problem);
        if rank == 1 {
            spoil(&mut plan, &mut engine, &mut partial);
        }
        let mut group = collective(communicator.unwrap(), shares(rank));
        match group.sum(&plan, &mut engine, &mut partial) {
            Err(CollectiveError::Transport(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    });
    fake.assert_clean();
    said
}

#[test]
fn ranks_that_disagree_are_named() {
    type Spoil = fn(&mut StepPlan, &mut dyn Engine, &mut Partial);
    let snl = |_| Objective::Snl;
    let nothing: Spoil = |_, _, _| {};
    let others: [(&str, Spoil); 3] = [
        ("step", |plan, _, _| plan.step = 1),
        ("scale", |plan, _, partial| {
            plan.scale -= 1;
            partial.restart(plan.scale, plan.n_chunks());
        }),
        ("state", |_, engine, _| engine.set_b(0.5)),
    ];
    let expected = |what: &str| {
        [(1, 0), (0, 1)].map(|(other, mine)| {
            format!(
                "rank {other} has another {what} than rank {mine}: its sums do not belong to this step"
            )
        })
    };
    for (what, spoil) in others {
        assert_eq!(disagreement(spoil, |_| even_shares(2), snl), expected(what));
    }
    let shares = |rank| if rank == 0 { even_shares(2) } else { lopsided_shares(2) };
    assert_eq!(disagreement(nothing, shares, snl), expected("assignment of chunks"));
    // Separated samples are words more: NCCL would wait for them.
    let objectives = |rank| if rank == 0 { Objective::Snl } else { Objective::IsMle };
    let said = disagreement(nothing, |_| even_shares(2), objectives);
    assert_eq!(said, expected("number of parameters"));
}

#[test]
fn shares_that_are_no_partition_are_refused() {
    let problem = problem(Objective::Snl);
    let fake = Fake::new();
    let refusal = |shares: Vec<ChunkSet>| {
        let shares: Shares = Box::new(move |_| shares.clone());
        let communicator = fake.group(1, PATIENCE).remove(0);
        let (plan, mut partial) = first_step(&problem);
        assert_eq!(plan.n_chunks(), 10);
        let mut group = collective(communicator, shares);
        group.sum(&plan, &mut engine(&problem), &mut partial).unwrap_err()
    };
    let cases = [
        (vec![], "0 shares for 1 ranks"),
        (vec![ChunkSet::of(0..10); 2], "2 shares for 1 ranks"),
        (
            vec![ChunkSet::of(0..9)],
            "the shares are not all of the step's 10 chunks and nothing else",
        ),
        (
            vec![ChunkSet::of(0..11)],
            "the shares are not all of the step's 10 chunks and nothing else",
        ),
    ];
    for (shares, message) in cases {
        let CollectiveError::Transport(error) = refusal(shares) else { panic!("{message}") };
        assert_eq!(error.to_string(), message);
    }
    let problem = Arc::new(problem);
    let errors = fake.ranks(2, PATIENCE, |_, communicator| {
        let (plan, mut partial) = first_step(&problem);
        let twice: Shares = Box::new(|_| vec![ChunkSet::of(0..6), ChunkSet::of(5..10)]);
        let mut group = collective(communicator.unwrap(), twice);
        group.sum(&plan, &mut engine(&problem), &mut partial).unwrap_err()
    });
    for error in errors {
        assert!(matches!(error, CollectiveError::Partial(PartialError::DuplicateChunk(5))));
    }
    fake.assert_clean();
}
