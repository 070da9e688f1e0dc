//! The small ones arrive beside the large, the broken and the waiting.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on stops")]

mod common;

use std::time::Duration;

use common::{calm, message, planned};
use levi_sim::{Arrival, MessageKind, Outcome, Plan, ServerFault, SimEvent, replay};

/// One way takes a millisecond in these plans.
const ROUND_TRIP: Duration = Duration::from_millis(2);

fn arrival(outcome: &Outcome, session: usize, place: i64) -> Duration {
    let Arrival { stored, shown } = outcome.arrivals[&(session, place)];
    shown.unwrap_or_else(|| panic!("s{session}/{place} never arrived")) - stored
}

fn run(plan: &Plan) -> Outcome {
    let outcome = replay(plan);
    assert_eq!(outcome.violation, None, "{plan}");
    outcome
}

#[test]
fn a_message_does_not_wait_for_200_sessions_in_backoff() {
    let mut plan = calm(201);
    for session in 0..200 {
        plan.events.push(message(0, session, 0, MessageKind::Good));
    }
    let outage = SimEvent::Server(ServerFault::Outage, Duration::from_secs(100));
    plan.events.insert(0, planned(0, outage));
    // The others wait for up to 64 s more.
    plan.events.push(message(101_000, 200, 0, MessageKind::Good));
    assert!(arrival(&run(&plan), 200, 0) <= 2 * ROUND_TRIP);
}

#[test]
fn forty_nine_good_rows_arrive_beside_a_poison_one() {
    for kind in [MessageKind::Poison, MessageKind::NamedPoison] {
        let mut plan = calm(50);
        // So that all fifty are one batch.
        plan.setup.config.flush_interval = Duration::from_millis(50);
        for session in 0..50 {
            let kind = if session == 20 { kind } else { MessageKind::Good };
            plan.events.push(message(0, session, 0, kind));
        }
        let outcome = run(&plan);
        assert_eq!(outcome.counts.parked, 1);
        // Named, it is sent apart from the others at once; else it is halved down to.
        let most = if kind == MessageKind::NamedPoison { 3 } else { 1 + 2 * 6 };
        assert!(outcome.counts.requests <= most, "{kind:?}: {} requests", outcome.counts.requests);
    }
}

#[test]
fn good_rows_do_not_wait_for_a_named_poison_row() {
    let mut plan = calm(50);
    for session in 0..50 {
        let kind = if session == 20 { MessageKind::NamedPoison } else { MessageKind::Good };
        plan.events.push(message(0, session, 0, kind));
    }
    let outcome = run(&plan);
    for session in (0..50).filter(|session| *session != 20) {
        assert!(arrival(&outcome, session, 0) <= 2 * ROUND_TRIP, "s{session}");
    }
}

#[test]
fn ten_single_messages_do_not_wait_for_a_long_session() {
    let mut plan = calm(11);
    for place in 0..20_000 {
        plan.events.push(message(0, 0, place, MessageKind::Good));
    }
    for session in 1..11 {
        plan.events.push(message(20, session, 0, MessageKind::Good));
    }
    let outcome = run(&plan);
    let whole = outcome.arrivals.values().filter_map(|arrival| arrival.shown).max().unwrap();
    for session in 1..11 {
        let took = arrival(&outcome, session, 0);
        assert!(took <= 2 * ROUND_TRIP, "s{session} took {took:?}, the long one {whole:?}");
    }
}
