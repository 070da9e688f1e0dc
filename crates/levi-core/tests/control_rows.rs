//! Rows of repositories, sessions and secrets in the queue: parents first, at no cost to their children.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod harness;

use std::sync::atomic::Ordering;
use std::time::Duration;

use harness::{Harness, accepted, failed};
use levi_core::batcher::{Input, PauseReason};
use levi_core::engine::{Event, Tried};
use levi_core::{LeviConfig, Step, SyncError};
use levi_outbox::{LaneKey, NewRow};
use levi_transport::{ApiError, Verdict};
use levi_types::{Clock, CodingSession, SessionId};
use tokio::sync::oneshot::Receiver;

fn repository() -> LaneKey {
    LaneKey::Repository("r".into())
}

fn session() -> LaneKey {
    LaneKey::Session("s".into())
}

fn secret() -> LaneKey {
    LaneKey::Secret("s".into())
}

fn ready() -> Harness {
    let mut harness = Harness::new(LeviConfig::default());
    harness.input(Input::ControlSenderReady(None));
    harness
}

/// The session is in the daemon's store, its repository is not.
fn known_to_daemon(harness: &Harness, id: &SessionId) {
    let session = CodingSession::new(id.clone(), "r");
    harness.store.sessions.lock().unwrap().insert(id.clone(), session);
}

fn step(tried: &mut Receiver<Tried>) -> Step {
    tried.try_recv().unwrap().unwrap()
}

#[test]
fn parents_are_sent_first_and_at_once_and_messages_wait_for_their_session() {
    let mut harness = ready();
    let id = harness.session("s");
    let mut tried = [
        harness.enqueue_control(repository(), None),
        harness.enqueue_control(session(), Some(repository())),
        harness.enqueue_control(secret(), None),
    ];
    harness.enqueue_all(&id, 1..=50);
    assert_eq!((harness.control.len(), harness.open.len()), (1, 0), "everything waits for the repository");
    assert_eq!(harness.end_control(accepted()), repository());
    assert_eq!(harness.end_control(accepted()), session());
    assert_eq!(harness.open.len(), 1, "messages do not wait for the secret");
    assert_eq!(harness.end_control(accepted()), secret());
    assert!(tried.iter_mut().all(|tried| step(tried).is_done()));
    harness.answer(|_| accepted());
    assert_eq!(harness.status().totals, Default::default());
}

#[test]
fn control_rows_that_take_long_leave_a_request_for_messages() {
    let mut harness = ready();
    for number in 0..9 {
        harness.enqueue_control(LaneKey::Repository(format!("r{number}").into()), None);
    }
    let max_in_flight = LeviConfig::default().max_in_flight;
    assert_eq!(harness.control.len(), max_in_flight - 1);
    let id = harness.session("s");
    harness.enqueue_all(&id, 1..=50);
    assert_eq!(harness.open.len(), 1, "messages do not wait for them");
}

#[test]
fn a_control_row_waits_uncounted_until_this_process_can_send_it() {
    let mut harness = Harness::new(LeviConfig::default());
    let mut tried = harness.enqueue_control(repository(), None);
    harness.settle(Duration::from_secs(30), |_| accepted());
    assert!(harness.control.is_empty() && tried.try_recv().is_err());
    harness.input(Input::ControlSenderReady(None));
    harness.end_control(accepted());
    assert!(step(&mut tried).is_done());
}

#[test]
fn a_caller_is_not_kept_waiting_for_longer_than_it_asked() {
    let mut harness = Harness::new(LeviConfig::default());
    let mut tried = harness.enqueue_control(repository(), None);
    harness.settle(Duration::from_secs(61), |_| accepted());
    assert!(matches!(step(&mut tried), Step::WillRetry(SyncError::Waiting(_))));
    assert_eq!(harness.engine.timeout(), None);
}

#[test]
fn a_failed_parent_is_the_reason_that_its_children_are_told() {
    let mut harness = ready();
    let mut first = harness.enqueue_control(repository(), None);
    let mut child = harness.enqueue_control(session(), Some(repository()));
    harness.end_control(failed(Verdict::Busy, "503"));
    assert!(matches!(step(&mut first), Step::WillRetry(SyncError::Supabase(error)) if error.code == "503"));
    let reason = |step| match step {
        Step::WillRetry(SyncError::Waiting(reason)) => reason.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(step(&mut child)), "503");
    // One that comes later is told at once.
    let mut late = harness.enqueue_control(secret(), None);
    assert_eq!(reason(step(&mut late)), "503");
}

#[test]
fn a_parked_parent_holds_its_children_until_it_is_replaced() {
    let mut harness = ready();
    let id = harness.session("s");
    let mut tried = harness.enqueue_control(session(), Some(repository()));
    harness.end_control(failed(Verdict::Rejected, "23514"));
    assert!(matches!(step(&mut tried), Step::Failed(SyncError::Supabase(_))));
    harness.enqueue_all(&id, 1..=50);
    harness.settle(Duration::from_secs(3600), |_| accepted());
    let totals = harness.status().totals;
    assert_eq!((totals.parked_control_rows, totals.pending_rows), (1, 50));
    let mut again = harness.enqueue_control(session(), Some(repository()));
    harness.end_control(accepted());
    assert!(step(&mut again).is_done());
    harness.settle(Duration::from_secs(1), |_| accepted());
    assert_eq!(harness.arrived["s"].len(), 50);
}

#[test]
fn signed_out_every_caller_is_told_so_and_the_rows_are_kept() {
    let mut harness = ready();
    harness.input(Input::SignedOut);
    let mut tried = harness.enqueue_control(repository(), None);
    assert!(matches!(step(&mut tried), Step::WillRetry(SyncError::NotAuthenticated)));
    assert_eq!(harness.status().totals.control_rows, 1);
}

/// Another version may be in flight: each caller is completed with the attempt at its own, or at a later one.
#[test]
fn a_row_that_is_replaced_in_flight_is_sent_again_for_its_caller() {
    let mut harness = ready();
    let mut active = harness.enqueue_control(session(), Some(repository()));
    let mut paused = harness.enqueue_control(session(), Some(repository()));
    let mut ended = harness.enqueue_control(session(), Some(repository()));
    harness.end_control(accepted());
    assert!(step(&mut active).is_done());
    assert!(paused.try_recv().is_err(), "its own row is still to be sent");
    harness.end_control(accepted());
    assert!(step(&mut paused).is_done() && step(&mut ended).is_done());
}

#[test]
fn a_missing_session_that_the_daemon_knows_is_sent_first_and_costs_the_message_nothing() {
    let mut harness = ready();
    let id = harness.session("s");
    known_to_daemon(&harness, &id);
    harness.enqueue_all(&id, 1..=50);
    harness.answer(|_| failed(Verdict::MissingParent, "23503"));
    assert_eq!(harness.open.len(), 0, "the messages wait for their session");
    assert_eq!(harness.end_control(accepted()), session());
    assert_eq!(harness.open.len(), 1, "and go at once");
    harness.answer(|_| accepted());
    assert_eq!(harness.arrived["s"].len(), 50);
}

/// With the session there, the server's refusals count, up to `max_attempts_rejected`.
#[test]
fn a_message_refused_although_its_session_was_sent_is_parked_in_the_end() {
    let mut harness = ready();
    let id = harness.session("s");
    known_to_daemon(&harness, &id);
    harness.enqueue(&id, 1).unwrap();
    let mut refusals = 0;
    for _ in 0..40 {
        harness.settle(Duration::from_secs(400), |_| {
            refusals += 1;
            failed(Verdict::Forbidden, "42501")
        });
        while !harness.control.is_empty() {
            harness.end_control(accepted());
        }
    }
    assert_eq!((refusals, harness.status().totals.parked_rows), (9, 1), "one free, then eight");
}

/// A message that was in flight when its session's row was written waits for it, uncounted, if it fails.
#[test]
fn a_failure_in_flight_says_nothing_about_a_message_whose_session_waits() {
    let mut harness = ready();
    let id = harness.session("s");
    harness.enqueue_all(&id, 1..=50);
    harness.enqueue_control(session(), Some(repository()));
    harness.answer(|_| failed(Verdict::Unreachable, "reset"));
    assert!(harness.open.is_empty());
    harness.end_control(accepted());
    assert_eq!(harness.open.len(), 1, "no backoff of its own");
    harness.tell(Event::WrittenElsewhere);
    harness.answer(|_| accepted());
    assert_eq!(harness.status().totals.pending_rows, 0);
}

/// What another process wrote may be anything: it does not make a failure cost nothing.
#[test]
fn a_row_that_fails_while_another_process_writes_still_waits_for_its_backoff() {
    let mut harness = ready();
    harness.enqueue_control(repository(), None);
    for _ in 0..3 {
        harness.tell(Event::WrittenElsewhere);
        harness.end_control(failed(Verdict::Unreachable, "reset"));
        assert!(harness.control.is_empty(), "it was sent again at once");
        let due = harness.engine.timeout().unwrap();
        harness.clock.advance_to(due);
        harness.tell(Event::WrittenElsewhere);
    }
}

/// The server's message quotes the row, whether or not it was replaced in flight.
#[test]
fn the_message_about_a_row_that_was_replaced_in_flight_stays_out_of_the_status() {
    let mut harness = ready();
    harness.enqueue_control(repository(), None);
    harness.enqueue_control(repository(), None);
    harness.end_control(Err(ApiError::new(Verdict::SchemaMismatch, "PGRST204", "path /home/jo")));
    let paused = format!("{:?}", harness.status().paused);
    assert!(paused.contains("PGRST204") && !paused.contains("/home/jo"), "{paused}");
}

/// Rows of one kind that are all bad say nothing about a project that takes the others.
#[test]
fn bad_repositories_do_not_pause_a_project_that_takes_messages() {
    let mut harness = ready();
    let id = harness.session("s");
    for name in ["a", "b", "c"] {
        harness.enqueue_control(LaneKey::Repository(name.into()), None);
    }
    let mut pauses = 0;
    for number in 1..=40 {
        harness.enqueue(&id, number).unwrap();
        for _ in 0..5 {
            while !harness.control.is_empty() {
                harness.end_control(failed(Verdict::Rejected, "23514"));
                pauses += usize::from(harness.status().paused.is_some());
            }
            harness.settle(Duration::from_secs(10), |_| accepted());
        }
    }
    let totals = harness.status().totals;
    assert_eq!((totals.pending_rows, totals.parked_control_rows), (0, 3));
    assert!(pauses <= 1, "{pauses} pauses");
}

/// A project that was blamed for its repositories is not blamed for a few bad messages.
#[test]
fn bad_messages_are_parked_although_the_project_was_blamed_for_other_rows() {
    let mut harness = ready();
    let id = harness.session("s");
    for name in ["a", "b", "c"] {
        harness.enqueue_control(LaneKey::Repository(name.into()), None);
    }
    while !harness.control.is_empty() {
        harness.end_control(failed(Verdict::Rejected, "23514"));
    }
    assert!(harness.status().paused.is_some());
    harness.enqueue_all(&id, 1..=2);
    let mut refusals = 0;
    for _ in 0..10 {
        harness.settle(Duration::from_secs(400), |_| {
            refusals += 1;
            failed(Verdict::Rejected, "22P02")
        });
        while !harness.control.is_empty() {
            harness.end_control(failed(Verdict::Rejected, "23514"));
        }
    }
    assert_eq!((refusals, harness.status().totals.parked_rows), (3, 2), "both at once, then each alone");
}

/// A column is missing in one table: its rows wait by themselves, and a project that takes messages is not paused.
#[test]
fn a_table_of_control_rows_that_lacks_a_column_keeps_no_message_waiting() {
    let mut harness = ready();
    let id = harness.session("s");
    harness.enqueue_control(repository(), None);
    for number in 1..=40 {
        harness.enqueue_all(&id, number..=number);
        harness.settle(Duration::from_secs(1), |_| accepted());
        while !harness.control.is_empty() {
            harness.end_control(failed(Verdict::SchemaMismatch, "PGRST204"));
        }
    }
    harness.settle(Duration::from_secs(1), |_| accepted());
    assert_eq!(harness.arrived["s"].len(), 40);
    assert_eq!(harness.status().paused, None);
    let waiting = &harness.status().waiting[0];
    assert_eq!((waiting.reason.code.as_str(), waiting.lanes), ("PGRST204", 1));
}

/// Nothing was ever accepted: the project was not set up, and is left alone.
#[test]
fn a_project_without_tables_is_paused() {
    let mut harness = ready();
    for number in 0..20 {
        harness.enqueue_control(LaneKey::Repository(format!("r{number}").into()), None);
    }
    while !harness.control.is_empty() {
        harness.end_control(failed(Verdict::SchemaMismatch, "PGRST205"));
    }
    assert!(matches!(harness.status().paused, Some(PauseReason::Project { .. })));
}

/// That the store cannot say is no answer.
#[test]
fn a_message_waits_uncounted_while_the_store_cannot_say_what_it_refers_to() {
    let mut harness = ready();
    let id = harness.session("s");
    known_to_daemon(&harness, &id);
    harness.store.is_locked.store(true, Ordering::Relaxed);
    harness.enqueue_all(&id, 1..=1);
    harness.settle(Duration::from_secs(3_600), |_| failed(Verdict::Forbidden, "42501"));
    assert!(harness.requests > 9, "{} requests", harness.requests);
    assert_eq!(harness.status().totals.parked_rows, 0);
    assert_eq!(harness.status().waiting[0].reason.code, "session_store");
    harness.store.is_locked.store(false, Ordering::Relaxed);
    harness.settle(Duration::from_secs(400), |_| failed(Verdict::Forbidden, "42501"));
    assert_eq!(harness.end_control(accepted()), session());
    harness.settle(Duration::from_secs(1), |_| accepted());
    assert_eq!(harness.arrived["s"], [1]);
}

/// The secret's row as session sync writes it.
fn enqueue_secret(harness: &mut Harness, replaces: &str) -> Receiver<Tried> {
    let payload = format!(r#"{{"task":"secret","session_id":"s","replaces":"{replaces}"}}"#);
    let row = NewRow::control(secret(), None, payload.into_bytes(), harness.clock.now().wall);
    harness.enqueue_control_row(row)
}

fn another_secret() -> SyncError {
    SyncError::OtherSecret("s".into())
}

#[test]
fn a_secret_of_which_the_server_has_another_is_parked_together_with_its_sessions_answer() {
    let mut harness = ready();
    let id = harness.session("s");
    let mut written = harness.enqueue_control(session(), None);
    let mut given = enqueue_secret(&mut harness, "known");
    harness.enqueue_all(&id, 1..=3);
    assert_eq!(harness.end_control_here(another_secret()), session());
    assert!(step(&mut written).is_done(), "the server has the row");
    assert!(matches!(step(&mut given), Step::Failed(SyncError::OtherSecret(_))));
    assert!(harness.control.is_empty() && harness.open.is_empty());
    assert_eq!(harness.status().totals.parked_control_rows, 1);
    harness.settle(Duration::from_secs(3600), |_| accepted());
    assert_eq!(harness.requests, 0, "nobody else could read them");

    // Somebody has decided.
    enqueue_secret(&mut harness, "any");
    harness.end_control(accepted());
    assert_eq!(harness.open.len(), 1);
}

#[test]
fn a_session_with_another_secret_is_not_acknowledged_before_that_is_stored() {
    let mut harness = ready();
    let id = harness.session("s");
    let mut written = harness.enqueue_control(session(), None);
    harness.enqueue_all(&id, 1..=3);
    harness.end_control_here(another_secret());
    assert!(matches!(step(&mut written), Step::WillRetry(SyncError::OtherSecret(_))));
    assert!(harness.control.is_empty() && harness.open.is_empty());
    harness.settle(Duration::from_secs(3), |_| accepted());
    assert_eq!(harness.end_control_here(another_secret()), session());
    harness.settle(Duration::from_secs(3600), |_| accepted());
    assert_eq!((harness.requests, harness.status().totals.parked_control_rows), (0, 1));
}

#[test]
fn a_secret_that_is_to_replace_the_servers_is_not_parked() {
    let mut harness = ready();
    harness.enqueue_control(session(), None);
    let mut given = enqueue_secret(&mut harness, "any");
    harness.end_control_here(another_secret());
    assert_eq!(harness.end_control(accepted()), secret());
    assert!(step(&mut given).is_done());
}
