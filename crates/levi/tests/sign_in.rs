//! A sign-in that lasts, with the real auth, credentials in files, and a server whose tokens expire.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use levi::transport::HttpSignIn;
use levi::types::CredentialName;
use levi::{
    Credentials, FileCredentials, Levi, LeviConfig, PauseReason, RefreshingAuth, SessionId, Status,
    SyncContext,
};
use levi_testkit::supabase::{Fault, Scope, Stats, Times};
use levi_transport::Table;
use world::{EMAIL, PASSWORD, World, database_key, request, secret};

const MESSAGES: i64 = 10_000;
/// Far more than requests at once: a batch takes rows of few of them, and a session has one batch under way at most.
const SESSIONS: usize = 20;
const IN_FLIGHT: u64 = 4;

/// A Levi whose token comes from files, with sessions on the server.
async fn signed_in(
    world: &World,
    config: LeviConfig,
    sessions: usize,
) -> (Levi, Vec<SessionId>, Arc<FileCredentials>) {
    let credentials = Arc::new(FileCredentials::open(world.path("credentials")).unwrap());
    let sign_in = Arc::new(HttpSignIn::new(&world.http()).unwrap());
    let auth = RefreshingAuth::new(sign_in, credentials.clone());
    auth.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    let key = database_key();
    let store = world.store(&key);
    let levi = Levi::builder(world.http(), store.clone())
        .config(config)
        .database_key(key)
        .credentials(credentials.clone())
        .build()
        .unwrap();
    levi.start().unwrap();
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    let mut status = levi.watch_status();
    status.wait_for(|status| status.paused.is_none()).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..sessions {
        let session = world.session(&format!("number {number}"));
        store.save_session(&session).unwrap();
        let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
        assert!(report.is_done(), "{report:?}");
        ids.push(session.id);
    }
    (levi, ids, credentials)
}

/// Holds up the next `requests` with messages, and returns once they are there.
async fn hold(world: &World, requests: u64) {
    let faults = world.server.faults();
    faults.plan(Scope::table(Table::Messages), Times::Next(requests), Fault::StallBeforeWrite);
    while faults.fired() < requests {
        tokio::task::yield_now().await;
    }
}

/// Lets go of what is held up until so many requests were answered. More than once, since one may have arrived that
/// does not wait yet.
fn let_go(world: &World, answered: impl Fn(&Stats) -> bool) {
    while world.server.wait_for(Duration::from_millis(20), &answered).is_err() {
        world.server.faults().release();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_in_the_middle_of_ten_thousand_messages_is_refreshed_once() {
    let world = World::new(1).await;
    let config = LeviConfig {
        backoff_base: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        max_in_flight: IN_FLIGHT as usize,
        catch_up_batch_size: 50,
        ..world.config()
    };
    let (levi, sessions, credentials) = signed_in(&world, config, SESSIONS).await;
    let before = credentials.load(&CredentialName::SignIn).unwrap();
    let rows = || world.server.stats().table(Table::Messages).rows_inserted;
    let each = MESSAGES / SESSIONS as i64;
    write(&levi, &sessions, 0..each / 2).await;
    while rows() == 0 {
        tokio::task::yield_now().await;
    }
    // As many requests as there may be are under way with the old token as it expires.
    let held = hold(&world, IN_FLIGHT);
    tokio::join!(held, write(&levi, &sessions, each / 2..each));
    world.server.expire_tokens(&world.user_id);
    let_go(&world, |stats| stats.refused >= IN_FLIGHT);

    let mut status = levi.watch_status();
    status.wait_for(|status| status.rows_accepted == MESSAGES as u64).await.unwrap();
    // A single used attempt would have cost an hour.
    levi.shutdown(Duration::from_secs(60)).await;
    assert_eq!(rows(), MESSAGES as u64);
    assert_eq!(world.server.stats().refused, IN_FLIGHT, "each request failed once");
    assert_eq!(world.server.stats().refreshes, 1, "for all of them");
    assert!(world.server.order_violations().is_empty());
    assert_ne!(credentials.load(&CredentialName::SignIn).unwrap(), before, "the new tokens are on disk");
}

async fn write(levi: &Levi, sessions: &[SessionId], numbers: std::ops::Range<i64>) {
    for session in sessions {
        for number in numbers.clone() {
            while levi.enqueue(request(session, number, "one of many")).is_err() {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Only what was under way still goes through, however much waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_context_stops_sending_within_the_request_under_way() {
    let world = World::new(1).await;
    let config = LeviConfig { batch_size: 10, catch_up_batch_size: 10, ..world.config() };
    let (levi, sessions, _credentials) = signed_in(&world, config, 1).await;
    let held = hold(&world, 1);
    tokio::join!(held, write(&levi, &sessions, 0..1000));
    levi.clear_context().await;
    let posts = || world.server.stats().table(Table::Messages).posts;
    assert_eq!(posts(), 1);

    let_go(&world, |stats| stats.table(Table::Messages).rows_inserted > 0);
    let mut status = levi.watch_status();
    let settled = |status: &Status| status.rows_accepted > 0 && status.paused == Some(PauseReason::SignedOut);
    let rows = status.wait_for(settled).await.unwrap().rows_accepted;
    levi.network_changed();
    levi.enqueue_durable(request(&sessions[0], 1000, "one more reason to send")).await.unwrap();
    let left = levi.shutdown(Duration::from_secs(5)).await;
    assert_eq!(posts(), 1, "nothing was sent any more");
    assert_eq!((left.pending, left.parked), (1001 - rows, 0), "and nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_pauses_and_says_so_and_set_context_resumes_without_a_restart() {
    let world = World::new(1).await;
    let (levi, sessions, _credentials) = signed_in(&world, world.config(), 1).await;
    world.server.revoke(&world.user_id);
    let receipt = levi.enqueue_durable(request(&sessions[0], 1, "while revoked")).await.unwrap();
    let mut status = levi.watch_status();
    status.wait_for(|status| status.paused == Some(PauseReason::SignedOut)).await.unwrap();
    assert_eq!(world.server.row_count(Table::Messages).unwrap(), 0);

    let access_token = world.server.sign_in(&world.user_id).unwrap().access_token;
    levi.set_context(SyncContext { access_token }).await;
    levi.synced(&receipt).await.unwrap();
    levi.shutdown(Duration::from_secs(5)).await;
}
