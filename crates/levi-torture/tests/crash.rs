//! Processes that are killed. `cargo xtask crash` runs longer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on stops")]

use std::path::Path;

use levi::{DatabaseKey, HttpOptions, Levi, LeviConfig, SqliteSessionStore};
use levi_torture::content::{message, secret_of};
use levi_torture::crash::{self, Options};
use levi_torture::environment::session_id;

/// After SIGKILL at random instants over the same files, while the server has faults: what was
/// acknowledged arrives, once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_on_the_server_once_and_in_order() {
    let program = Path::new(env!("CARGO_BIN_EXE_levi-torture"));
    let figures = crash::run(program, Options { kills: 20, seed: 20 }).await.unwrap();
    assert!(figures.violations.is_empty(), "{figures}");
    assert!(figures.acknowledged > 0 && figures.delivered >= figures.acknowledged, "{figures}");
}

#[tokio::test]
async fn what_was_pending_at_the_last_exit_is_in_the_status_when_start_returns() {
    let folder = tempfile::tempdir().unwrap();
    let session = session_id("waiting");
    let levi = || {
        let key = DatabaseKey::from_bytes([7; 32]);
        let store = SqliteSessionStore::open(folder.path().join("store.sqlite"), key.clone()).unwrap();
        store.save_secret(&session, &secret_of(&session).unwrap()).unwrap();
        let config = LeviConfig { data_dir: Some(folder.path().into()), ..LeviConfig::default() };
        let http = HttpOptions::new("http://127.0.0.1:9", "sb_publishable_nobody");
        Levi::builder(http, std::sync::Arc::new(store)).config(config).database_key(key).build().unwrap()
    };
    let first = levi();
    first.start().unwrap();
    first.enqueue_durable(message(&session, 1, 100)).await.unwrap();
    first.shutdown(std::time::Duration::ZERO).await;

    let second = levi();
    second.start().unwrap();
    assert_eq!(second.status().totals.pending_rows, 1);
}
