//! Rows whose session has got another secret since they were sealed, while the daemon's store fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod harness;

use std::sync::atomic::Ordering;
use std::time::Duration;

use harness::{Harness, accepted, failed};
use levi_core::batcher::Input;
use levi_core::{LeviConfig, SendError};
use levi_crypto::SessionSecret;
use levi_transport::Verdict;
use levi_types::{PortErrorKind, SessionId, StoreError, UserId};
use rand::SeedableRng;
use rand::rngs::StdRng;

const HOUR: Duration = Duration::from_secs(3600);

/// Message 1 waits on disk, sealed under the first secret of its session, and the store can say nothing.
fn sealed_before_the_store_fails() -> (Harness, SessionId, String) {
    let mut harness = Harness::new(LeviConfig::default());
    let (user, session) = (UserId::from("ada"), harness.session("s"));
    harness.cache.signed_in(&user);
    harness.input(Input::User(user));
    harness.input(Input::SignedIn);
    harness.enqueue(&session, 1).unwrap();
    let first = harness.open[0].1[0].content_nonce.clone();
    harness.answer(|_| failed(Verdict::Unreachable, "connect"));
    harness.store.is_locked.store(true, Ordering::Relaxed);
    (harness, session, first)
}

/// Whether it is under the present secret is not known, and the others may never have been given the one before.
#[test]
fn a_row_waits_while_the_store_cannot_say_whether_its_session_had_another_secret() {
    let (mut harness, session, first) = sealed_before_the_store_fails();
    let other = SessionSecret::generate(&mut StdRng::seed_from_u64(9));
    let before = harness.store.secrets.lock().unwrap().insert(session.clone(), other.expose().into());
    harness.store.earlier.lock().unwrap().insert(session.clone(), before.unwrap());
    harness.cache.clear();

    let mut asked = 0;
    harness.settle(HOUR, |_| {
        asked += 1;
        accepted()
    });
    let status = harness.status();
    assert_eq!((asked, status.totals.pending_rows, status.totals.parked_rows), (0, 1, 0));
    let waiting = &status.waiting[0];
    assert!(waiting.reason.code == "session_store" && waiting.attempts > 2, "{waiting:?}");

    harness.store.is_locked.store(false, Ordering::Relaxed);
    let mut sent = Vec::new();
    harness.settle(HOUR, |rows| {
        sent.extend(rows.iter().map(|row| row.content_nonce.clone()));
        accepted()
    });
    assert!(matches!(sent.as_slice(), [again] if *again != first), "{sent:?}");
    assert_eq!(harness.status().totals.pending_rows, 0);
}

#[test]
fn a_row_under_the_present_secret_does_not_wait_for_a_store_that_fails() {
    let (mut harness, session, first) = sealed_before_the_store_fails();
    harness.enqueue(&session, 2).unwrap();
    let mut sent = Vec::new();
    harness.settle(HOUR, |rows| {
        sent.extend(rows.iter().map(|row| row.content_nonce.clone()));
        accepted()
    });
    assert_eq!((sent.len(), &sent[0]), (2, &first));
}

/// The store fails for one of two sessions of a request, after the server has taken the other's row.
#[test]
fn a_store_that_fails_for_one_session_keeps_no_other_session_back() {
    let mut harness = Harness::new(LeviConfig::default());
    let (failing, other) = (harness.session("a"), harness.session("b"));
    harness.enqueue(&failing, 1).unwrap();
    harness.answer(|_| accepted());
    harness.enqueue(&failing, 2).unwrap();
    harness.enqueue(&other, 1).unwrap();
    while harness.open.is_empty() {
        let at = harness.engine.timeout().unwrap();
        harness.clock.advance_to(at);
        harness.tell_nothing();
    }
    assert_eq!(harness.open[0].1.len(), 2, "both in one request");
    for _ in 0..3 {
        let Some((batch, rows)) = (!harness.open.is_empty()).then(|| harness.open.remove(0)) else { break };
        let has_failing = rows.iter().any(|row| row.session_id == failing.as_str());
        let busy = StoreError::new(PortErrorKind::Unavailable, "the disk is busy");
        let result = if has_failing { Err(SendError::Wait(busy.into())) } else { Ok(()) };
        harness.input(Input::Outcome { batch, result });
    }
    let status = harness.status();
    assert_eq!(status.totals.pending_rows, 1, "the other session's message is done with");
    assert!(status.waiting.iter().all(|waiting| waiting.reason.code == "session_store"), "{status:?}");
}
