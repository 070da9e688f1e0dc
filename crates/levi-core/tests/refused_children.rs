//! Rows that the server refuses although their session is there: a policy or a foreign key of the project.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod harness;

use std::time::Duration;

use harness::{Harness, accepted, failed};
use levi_core::batcher::Input;
use levi_core::{LeviConfig, SendError, SyncError};
use levi_outbox::LaneKey;
use levi_transport::{ApiError, Verdict};
use levi_types::{Clock as _, CodingSession, SessionId};

const REFUSALS: [(Verdict, &str); 2] = [(Verdict::MissingParent, "23503"), (Verdict::Forbidden, "42501")];

fn session() -> LaneKey {
    LaneKey::Session("s".into())
}

/// A daemon whose store knows the session, which has a secret.
fn ready() -> (Harness, SessionId) {
    let mut harness = Harness::new(LeviConfig::default());
    harness.input(Input::ControlSenderReady(None));
    let id = harness.session("s");
    harness.store.sessions.lock().unwrap().insert(id.clone(), CodingSession::new(id.clone(), "r"));
    (harness, id)
}

/// Answers until nothing happens by itself, and says when each attempt at the child was made. Its parents are accepted.
fn attempts(
    harness: &mut Harness,
    child: &LaneKey,
    mut refusal: impl FnMut() -> Result<(), ApiError>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let now = harness.clock.now().monotonic.since_start();
        if !harness.open.is_empty() {
            times.push(now);
            harness.answer(|_| refusal());
        } else if let Some((_, lane)) = harness.control.first() {
            let is_child = lane == child;
            times.extend(is_child.then_some(now));
            harness.end_control(if is_child { refusal() } else { accepted() });
        } else if let Some(at) = harness.engine.timeout() {
            harness.clock.advance_to(at);
            harness.tell_nothing();
        } else {
            return times;
        }
    }
    panic!("it never ends: {times:?}");
}

#[test]
fn a_child_that_is_refused_though_its_session_is_there_waits_for_its_backoff_and_is_parked_in_the_end() {
    for (verdict, code) in REFUSALS {
        for child in [LaneKey::Messages("s".into()), LaneKey::Secret("s".into())] {
            let (mut harness, id) = ready();
            match child {
                LaneKey::Messages(_) => drop(harness.enqueue(&id, 1).unwrap()),
                _ => drop(harness.enqueue_control(child.clone(), None)),
            }
            let times = attempts(&mut harness, &child, || failed(verdict, code));
            let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
            // The first refusal costs nothing, and the session's row is sent. From then on the schedule holds.
            let least = [0, 2, 4, 8, 16, 32, 64, 128];
            assert_eq!(gaps.len(), least.len(), "{code} {child}: {gaps:?}");
            let follows = gaps.iter().zip(least).all(|(gap, least)| (least..=least * 11 / 10).contains(gap));
            assert!(follows, "{code} {child}: {gaps:?}");
            let totals = harness.status().totals;
            assert_eq!(totals.parked_rows + totals.parked_control_rows, 1, "{code} {child}");
        }
    }
}

#[test]
fn of_many_messages_only_the_one_at_fault_is_parked() {
    for (verdict, code) in REFUSALS {
        let (mut harness, id) = ready();
        harness.enqueue_all(&id, 1..=50);
        for _ in 0..200 {
            harness.settle(Duration::from_secs(400), |rows| match rows {
                rows if rows.iter().any(|row| row.sequence_number == 30) => failed(verdict, code),
                _ => accepted(),
            });
            while !harness.control.is_empty() {
                harness.end_control(accepted());
            }
        }
        let arrived: Vec<i64> = (1..=50).filter(|number| *number != 30).collect();
        assert_eq!((&harness.arrived["s"], harness.status().totals.parked_rows), (&arrived, 1), "{code}");
    }
}

/// A session that is deleted during the backoff explains the refusals from then on.
#[test]
fn a_child_is_not_parked_for_a_session_that_was_deleted_while_it_waited() {
    for (verdict, code) in REFUSALS {
        let (mut harness, id) = ready();
        harness.enqueue(&id, 1).unwrap();
        let mut refusals = 0;
        let mut is_gone = false;
        while !is_gone {
            if !harness.open.is_empty() {
                refusals += 1;
                assert!(refusals <= 8, "{code}: nobody asks for the session");
                harness.answer(|_| failed(verdict, code));
            } else if harness.control.is_empty() {
                let at = harness.engine.timeout().unwrap();
                harness.clock.advance_to(at);
                harness.tell_nothing();
            } else if refusals < 8 {
                assert_eq!(harness.end_control(accepted()), session());
            } else {
                is_gone = true;
                let (batch, _) = harness.control.remove(0);
                let gone = SendError::Never(SyncError::SessionGone(id.clone()));
                harness.input(Input::Outcome { batch, result: Err(gone) });
            }
        }
        let totals = harness.status().totals;
        assert_eq!(
            (totals.parked_control_rows, totals.parked_rows, totals.pending_rows),
            (1, 0, 1),
            "{code}"
        );
        // Somebody restores it.
        harness.enqueue_control(session(), None);
        harness.end_control(accepted());
        assert_eq!(harness.open.len(), 1, "{code}: it goes at once");
        harness.answer(|_| accepted());
        assert_eq!(harness.arrived["s"], [1]);
    }
}
