//! A sign-in that lasts, with the real keeper, credentials in files, and a server whose tokens expire.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use levi::{
    CredentialName, Credentials, FileCredentials, HttpSignIn, Levi, LeviConfig, PauseReason, SessionId,
    SyncContext, TokenKeeper,
};
use levi_transport::Table;
use world::{EMAIL, PASSWORD, World, database_key, request, secret};

const MESSAGES: i64 = 10_000;

/// A Levi whose token comes from files, with a session on the server.
async fn signed_in(world: &World, config: LeviConfig) -> (Levi, SessionId, Arc<FileCredentials>) {
    let credentials = Arc::new(FileCredentials::open(world.path("credentials")).unwrap());
    let sign_in = Arc::new(HttpSignIn::new(&world.http()).unwrap());
    let keeper = TokenKeeper::new(sign_in, credentials.clone());
    keeper.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    let levi = Levi::builder(world.http(), store)
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
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(report.is_done(), "{report:?}");
    (levi, session.id, credentials)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_in_the_middle_of_ten_thousand_messages_is_refreshed_once() {
    let world = World::new(1).await;
    let config = LeviConfig {
        backoff_base: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        ..world.config()
    };
    let (levi, session, credentials) = signed_in(&world, config).await;
    let before = credentials.load(&CredentialName::SignIn).unwrap();
    let rows = || world.server.stats().table(Table::Messages).rows_inserted;
    for number in 0..MESSAGES {
        while levi.enqueue(request(&session, number, "one of many")).is_err() {
            tokio::task::yield_now().await;
        }
        if number == MESSAGES / 2 {
            world
                .server
                .wait_for(Duration::from_secs(60), |stats| stats.table(Table::Messages).rows_inserted > 100)
                .unwrap();
            world.server.expire_tokens(&world.user_id);
        }
    }
    let mut status = levi.watch_status();
    status.wait_for(|status| status.totals.pending_rows == 0 && status.rows_accepted > 0).await.unwrap();
    // A single used attempt would have cost an hour.
    levi.shutdown(Duration::from_secs(60)).await;
    assert_eq!(rows(), MESSAGES as u64);
    assert_eq!(world.server.stats().refreshes, 1);
    assert!(world.server.order_violations().is_empty());
    assert_ne!(credentials.load(&CredentialName::SignIn).unwrap(), before, "the new tokens are on disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_pauses_and_says_so_and_set_context_resumes_without_a_restart() {
    let world = World::new(1).await;
    let (levi, session, _credentials) = signed_in(&world, world.config()).await;
    world.server.revoke(&world.user_id);
    let receipt = levi.enqueue_durable(request(&session, 1, "while revoked")).await.unwrap();
    let mut status = levi.watch_status();
    status.wait_for(|status| status.paused == Some(PauseReason::SignedOut)).await.unwrap();
    assert_eq!(world.server.row_count(Table::Messages).unwrap(), 0);

    let access_token = world.server.sign_in(&world.user_id).unwrap().access_token;
    levi.set_context(SyncContext { access_token }).await;
    levi.synced(&receipt).await.unwrap();
    levi.shutdown(Duration::from_secs(5)).await;
}
