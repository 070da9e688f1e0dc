//! Each verdict's effect through the whole stack: what stays, what waits, what is parked, how many attempts
//! were used. Real sockets, a real outbox file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::time::Duration;

use levi::outbox::sqlite::Inspector;
use levi::transport::Verdict;
use levi::{Levi, LeviConfig, PauseReason, Status};
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use levi_transport::Table;
use world::{World, database_key, request, secret};

/// What one answer to one message must lead to.
struct Row {
    fault: Fault,
    verdict: Verdict,
    /// Failed attempts written down, while the row waits.
    attempts: u32,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The row's session waits in the outbox.
    Waits,
    /// The row is parked.
    Parked,
    /// Everything waits for the project; the row is due as ever.
    Paused,
    /// It is sent again at once.
    Sent,
    /// Its session's row is sent once more, and then the message, which is charged for nothing.
    SentAfterItsSession,
}

fn answer(status: u16, code: &str) -> Fault {
    Fault::Answer(Canned::error(status, code, "as recorded"))
}

fn page(status: u16) -> Canned {
    Canned::new(status)
        .header("Content-Type", "text/html")
        .body("<!DOCTYPE html><p>Sign in to this network</p>")
}

fn table() -> Vec<Row> {
    let row = |fault, verdict, attempts, then| Row { fault, verdict, attempts, then };
    vec![
        row(answer(503, "PGRST001"), Verdict::Busy, 1, Then::Waits),
        row(answer(500, "57014"), Verdict::Busy, 1, Then::Waits),
        row(Fault::Answer(Canned::bad_gateway_page()), Verdict::Busy, 1, Then::Waits),
        // Lies: a success that is somebody else's page, and one that is cut off.
        row(Fault::Answer(page(200)), Verdict::Busy, 1, Then::Waits),
        row(Fault::Answer(Canned::new(201).body("[{")), Verdict::Unreachable, 1, Then::Waits),
        row(Fault::Truncated { after_bytes: 20 }, Verdict::Unreachable, 1, Then::Waits),
        row(Fault::ResetBeforeWrite, Verdict::Unreachable, 1, Then::Waits),
        row(Fault::ResetAfterWrite, Verdict::Unreachable, 1, Then::Waits),
        row(answer(401, "PGRST303"), Verdict::SignedOut, 0, Then::Sent),
        row(answer(403, "42501"), Verdict::Forbidden, 0, Then::SentAfterItsSession),
        row(answer(409, "23503"), Verdict::MissingParent, 0, Then::SentAfterItsSession),
        row(answer(400, "22P02"), Verdict::Rejected, 0, Then::Parked),
        row(answer(400, "23514"), Verdict::Rejected, 0, Then::Parked),
        row(answer(500, "21000"), Verdict::DuplicateInBatch, 0, Then::Parked),
        row(Fault::Answer(Canned::new(413)), Verdict::TooLarge, 0, Then::Parked),
        row(answer(404, "PGRST205"), Verdict::SchemaMismatch, 0, Then::Paused),
        row(answer(405, "25006"), Verdict::ProjectUnavailable, 0, Then::Paused),
        row(Fault::Answer(Canned::new(540)), Verdict::ProjectUnavailable, 0, Then::Paused),
        row(Fault::Answer(Canned::new(418)), Verdict::Unexpected, 1, Then::Waits),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_does_what_the_protocol_says_and_nothing_is_lost() {
    for row in table() {
        check(row).await;
    }
}

async fn check(row: Row) {
    let Row { fault, verdict, attempts, then } = row;
    let world = World::new(1).await;
    // A wait long enough to be looked at.
    let config = LeviConfig {
        backoff_base: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        ..world.config()
    };
    let (levi, session) = levi_with_session(&world, config.clone()).await;
    world.server.faults().plan(Scope::table(Table::Messages), Times::Next(1), fault.clone());
    let receipt = levi.enqueue_durable(request(&session, 1, "one message")).await.unwrap();
    let answered = |status: &Status| match &status.last_error {
        Some(last) => last.verdict == verdict,
        // It was sent again, with success.
        None => matches!(then, Then::Sent | Then::SentAfterItsSession) && status.batches_failed > 0,
    };
    let mut status = levi.watch_status();
    let seen = status.wait_for(answered).await.unwrap().clone();

    let listed = Inspector::open(world.outbox_path()).unwrap().list(None, 10).unwrap();
    match then {
        Then::Sent => {
            levi.synced(&receipt).await.unwrap();
            assert_eq!(*world.auth.refreshes.lock().unwrap(), 1, "{fault:?}");
        }
        Then::SentAfterItsSession => levi.synced(&receipt).await.unwrap(),
        Then::Parked => {
            assert!(listed[0].parked, "{fault:?}: {listed:?}");
            assert_eq!((seen.totals.parked_rows, seen.totals.pending_rows), (1, 0), "{fault:?}");
        }
        Then::Waits | Then::Paused => {
            assert_eq!((listed[0].parked, listed[0].attempts), (false, attempts), "{fault:?}: {listed:?}");
            let paused = matches!(seen.paused, Some(PauseReason::Project { .. }));
            assert_eq!(paused, then == Then::Paused, "{fault:?}: {:?}", seen.paused);
            // The trouble is over: it arrives, without anybody waiting an hour.
            levi.network_changed();
            levi.synced(&receipt).await.unwrap();
        }
    }
    let stored = world.server.messages(&session).unwrap();
    assert_eq!(stored.len(), usize::from(then != Then::Parked), "{fault:?}");
    levi.shutdown(Duration::from_secs(5)).await;
}

async fn levi_with_session(world: &World, config: LeviConfig) -> (Levi, levi::SessionId) {
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    let secret = secret();
    store.save_secret(&session.id, &secret).unwrap();
    let levi = world.levi(config, store, &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret).await.unwrap();
    assert!(report.is_done(), "{report:?}");
    (levi, session.id)
}

/// A missing sign-in pauses and uses up nothing; `set_context` resumes without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_sign_in_pauses_with_a_status_that_says_so_and_resumes_with_a_new_token() {
    let world = World::new(1).await;
    let (levi, session) = levi_with_session(&world, world.config()).await;
    levi.clear_context().await;
    let mut status = levi.watch_status();
    status.wait_for(|status| status.paused == Some(PauseReason::SignedOut)).await.unwrap();
    let posts = world.server.stats().requests;

    let receipt = levi.enqueue_durable(request(&session, 1, "while signed out")).await.unwrap();
    assert_eq!(world.server.stats().requests, posts, "nothing is sent while signed out");
    let listed = Inspector::open(world.outbox_path()).unwrap().list(None, 10).unwrap();
    assert_eq!((listed.len(), listed[0].attempts), (1, 0));

    let access_token = world.server.sign_in(&world.user_id).unwrap().access_token;
    levi.set_context(levi::SyncContext { access_token }).await;
    levi.synced(&receipt).await.unwrap();
    levi.shutdown(Duration::from_secs(5)).await;
}
