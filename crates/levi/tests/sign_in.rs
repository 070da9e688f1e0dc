//! A sign-in that lasts, with the real auth, credentials in files, and a server whose tokens expire.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use levi::transport::HttpSignIn;
use levi::types::CredentialName;
use levi::{
    Credentials, DatabaseKey, FileCredentials, Levi, LeviConfig, PauseReason, RefreshingAuth, SessionId,
    Status, SyncContext,
};
use levi_testkit::supabase::{Canned, Fault, Scope, Stats, Times};
use levi_transport::Table;
use world::{EMAIL, LaterClock, PASSWORD, World, database_key, request, secret};

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
    signed_in_with(world, config, sessions, database_key()).await
}

async fn signed_in_with(
    world: &World,
    config: LeviConfig,
    sessions: usize,
    key: DatabaseKey,
) -> (Levi, Vec<SessionId>, Arc<FileCredentials>) {
    let credentials = Arc::new(FileCredentials::open(world.path("credentials")).unwrap());
    let sign_in = Arc::new(HttpSignIn::new(&world.http()).unwrap());
    let auth = RefreshingAuth::new(sign_in, credentials.clone());
    auth.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
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

fn stumble(status: u16, body: &str) -> Fault {
    Fault::Answer(Canned::new(status).header("Content-Type", "application/json").body(body))
}

/// Nothing that the sign-in server says in these answers ends a sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_outlives_a_sign_in_server_that_stumbles() {
    let world = World::new(1).await;
    let (levi, sessions, _credentials) = signed_in(&world, world.config(), 1).await;
    let stumbles = [
        (422, r#"{"code":422,"error_code":"hook_timeout","msg":"m"}"#),
        (400, r#"{"error":"server_error"}"#),
        (400, "{}"),
        (401, r#"{"message":"Invalid API key"}"#),
        (403, "<html></html>"),
        (404, r#"{"message":"no Route matched"}"#),
        (429, ""),
        (503, ""),
    ];
    for (number, (status, body)) in (1..).zip(stumbles) {
        world.server.faults().plan(Scope::auth(), Times::Next(1), stumble(status, body));
        world.server.expire_tokens(&world.user_id);
        let receipt = levi.enqueue_durable(request(&sessions[0], number, "while it stumbles")).await.unwrap();
        levi.synced(&receipt).await.unwrap();
    }
    assert_eq!(world.server.stats().refreshes, 8);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// The project's clock is behind that of the sign-in server: it refuses a token that was just granted.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_that_the_project_refuses_for_a_moment_is_not_refreshed_again() {
    let world = World::new(1).await;
    let (levi, sessions, _credentials) = signed_in(&world, world.config(), 1).await;
    let future = Fault::Answer(Canned::error(401, "PGRST303", "JWT issued at future"));
    world.server.faults().plan(Scope::table(Table::Messages), Times::Next(4), future);
    let receipt = levi.enqueue_durable(request(&sessions[0], 1, "too fresh")).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    assert_eq!(world.server.stats().refreshes, 1);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// Neither calls, nor hints that the network is back, nor a restart make Levi ask before the wait is over.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_to_the_sign_in_server_before_the_wait_that_it_asks_for_is_over() {
    let world = World::new(1).await;
    let config = LeviConfig { data_dir: world.config().data_dir, ..LeviConfig::default() };
    let key = database_key();
    let (levi, sessions, credentials) = signed_in_with(&world, config.clone(), 1, key.clone()).await;
    let faults = world.server.faults();
    let too_many = Fault::Answer(Canned::new(429).header("Retry-After", "60"));
    faults.plan(Scope::auth(), Times::Next(100), too_many);
    world.server.expire_tokens(&world.user_id);
    levi.enqueue_durable(request(&sessions[0], 1, "one")).await.unwrap();
    let unavailable = |status: &Status| status.paused == Some(PauseReason::SignInUnavailable);
    let mut status = levi.watch_status();
    status.wait_for(unavailable).await.unwrap();
    for number in 2..5 {
        levi.network_changed();
        levi.enqueue_durable(request(&sessions[0], number, "one more")).await.unwrap();
    }
    let (device, device_key) = world.device_key(0);
    let reader = levi.reader(device, device_key).unwrap();
    let error = reader.session_secret(&sessions[0]).await.unwrap_err();
    let left = error.retry_after().unwrap_or_default();
    assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(60), "{error}");
    levi.shutdown(Duration::from_secs(5)).await;
    assert_eq!(faults.fired(), 1);

    let levi = Levi::builder(world.http(), world.store(&key))
        .config(config)
        .database_key(key)
        .credentials(credentials)
        .build()
        .unwrap();
    levi.start().unwrap();
    levi.watch_status().wait_for(unavailable).await.unwrap();
    assert!(levi.status().next_attempt.is_some(), "the token that there is is tried again meanwhile");
    let (device, device_key) = world.device_key(0);
    let reader = levi.reader(device, device_key).unwrap();
    let error = reader.session_secret(&sessions[0]).await.unwrap_err();
    assert!(error.retry_after().unwrap_or_default() > Duration::from_secs(20), "{error}");
    levi.shutdown(Duration::from_secs(5)).await;
    assert_eq!(faults.fired(), 1, "the new process knows the wait");
}

/// A daemon that brings tokens itself: its token is used again, because nobody took it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_daemon_brought_is_used_again_after_a_refusal() {
    let world = World::new(1).await;
    let key = database_key();
    let (levi, sessions, _credentials) = signed_in_with(&world, world.config(), 1, key.clone()).await;
    levi.shutdown(Duration::from_secs(5)).await;
    let store = world.store(&key);
    store.save_secret(&sessions[0], &secret()).unwrap();
    let alone = Levi::builder(world.http(), store).config(world.config()).database_key(key).build().unwrap();
    alone.start().unwrap();
    let future = Fault::Answer(Canned::error(401, "PGRST303", "JWT issued at future"));
    world.server.faults().plan(Scope::table(Table::Messages), Times::Next(3), future);
    let access_token = world.server.sign_in(&world.user_id).unwrap().access_token;
    alone.set_context(SyncContext { access_token }).await;
    let receipt = alone.enqueue_durable(request(&sessions[0], 1, "too fresh")).await.unwrap();
    alone.synced(&receipt).await.unwrap();
    alone.shutdown(Duration::from_secs(5)).await;
}

/// The stored sign-in is from before, and its token would be refused for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_daemon_brought_is_not_replaced_by_an_older_stored_one() {
    let world = World::new(1).await;
    let (levi, sessions, _credentials) = signed_in(&world, world.config(), 1).await;
    world.server.expire_tokens(&world.user_id);
    let access_token = world.server.sign_in(&world.user_id).unwrap().access_token;
    levi.set_context(SyncContext { access_token }).await;
    let future = Fault::Answer(Canned::error(401, "PGRST303", "JWT issued at future"));
    world.server.faults().plan(Scope::table(Table::Messages), Times::Next(3), future);
    let before = world.server.stats();
    let receipt = levi.enqueue_durable(request(&sessions[0], 1, "too fresh")).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    let stats = world.server.stats();
    assert_eq!(stats.refreshes, before.refreshes, "the older refresh token is not used");
    assert_eq!(stats.refused, before.refused + 3, "the older token is not used");
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_was_refused_is_asked_for_again_a_minute_later() {
    let world = World::new(1).await;
    let (credentials, clock) = (
        Arc::new(FileCredentials::open(world.path("credentials")).unwrap()),
        Arc::new(LaterClock::default()),
    );
    let sign_in = Arc::new(HttpSignIn::new(&world.http()).unwrap());
    RefreshingAuth::new(sign_in, credentials.clone()).sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    let key = database_key();
    let session = world.session("one");
    let store = world.store(&key);
    store.save_session(&session).unwrap();
    store.save_secret(&session.id, &secret()).unwrap();
    let builder = Levi::builder(world.http(), store).config(world.config()).database_key(key);
    let levi = builder.credentials(credentials).clock(clock.clone()).build().unwrap();
    levi.start().unwrap();
    let banned = r#"{"code":400,"error_code":"user_banned","msg":"User is banned"}"#;
    world.server.faults().plan(Scope::auth(), Times::Next(1), stumble(400, banned));
    world.server.expire_tokens(&world.user_id);
    let (device, private) = world.device_key(0);
    let sync = levi.session_sync(device, private).unwrap();
    let mut status = levi.watch_status();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(!report.is_done(), "{report:?}");
    status.wait_for(|status| status.paused == Some(PauseReason::SignedOut)).await.unwrap();

    // The ban is over.
    clock.pass(Duration::from_secs(60));
    levi.network_changed();
    let sent = status.wait_for(|status| status.paused.is_none() && status.totals.control_rows == 0);
    tokio::time::timeout(Duration::from_secs(10), sent).await.expect("the server is asked again").unwrap();
    levi.shutdown(Duration::from_secs(5)).await;
}
