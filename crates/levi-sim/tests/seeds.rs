//! Seeds: a few hundred here, very many by `cargo xtask sim`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on stops")]

use levi_sim::{Campaign, Plan, StoreKind, Worlds, replay, run, shrink};

#[test]
fn the_first_seeds_break_no_promise() {
    let summary = Campaign { first: 0, seeds: 400, threads: 2, worlds: Worlds::All }.run();
    assert!(summary.failing.is_none(), "{:?}", summary.failing);
    assert_eq!(summary.seeds, 400);
    assert!(summary.counts.restarts > 0 && summary.counts.parked > 0, "too calm: {:?}", summary.counts);
}

#[test]
fn the_same_seed_gives_the_same_trace_on_every_store() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite, StoreKind::SqliteFile] {
        for seed in [3, 7, 11] {
            let mut plan = Plan::generate(seed);
            plan.setup.store = kind;
            let (first, second) = (replay(&plan), replay(&plan));
            assert_eq!(first.violation, None, "{kind:?}, seed {seed}");
            assert!(first.trace.len() > 10, "{kind:?}, seed {seed}: nothing happened");
            assert_eq!(first.trace, second.trace, "{kind:?}, seed {seed}");
        }
    }
}

#[test]
fn the_stores_cannot_be_told_apart() {
    for seed in 0..40 {
        let mut plan = Plan::generate(seed);
        plan.setup.store = StoreKind::Memory;
        let in_memory = replay(&plan).trace;
        plan.setup.store = StoreKind::Sqlite;
        assert_eq!(in_memory, replay(&plan).trace, "seed {seed}");
    }
}

#[test]
fn a_plan_that_breaks_nothing_is_not_shrunk() {
    let plan = Plan::generate(1);
    assert_eq!(run(&plan).violation, None);
    assert_eq!(shrink(&plan).events.len(), plan.events.len());
}
