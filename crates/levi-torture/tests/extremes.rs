//! Settings at the ends of their types: nothing overflows, and messages arrive.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod daemon;

use std::time::Duration;

use daemon::{Daemon, synced, until};
use levi::LeviConfig;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};

#[tokio::test(flavor = "multi_thread")]
async fn the_greatest_settings_overflow_nothing() {
    let daemon = Daemon::new().await;
    let config = LeviConfig {
        batch_size: usize::MAX,
        catch_up_batch_size: usize::MAX,
        max_batch_bytes: usize::MAX,
        max_in_flight: usize::MAX,
        max_message_bytes: usize::MAX,
        max_queued_bytes: usize::MAX,
        max_pending_bytes: u64::MAX,
        max_attempts_rejected: u32::MAX,
        backoff_max: Duration::MAX,
        flush_interval: Duration::MAX,
        backoff_jitter: 1.0,
        ..daemon.config()
    };
    let mut http = daemon.environment.http();
    http.timeouts.connect = Duration::MAX;
    http.timeouts.response = Duration::MAX;
    http.timeouts.stall = Duration::MAX;
    http.max_response_bytes = u64::MAX;
    http.max_idle_connections = usize::MAX;
    let levi = daemon.start(daemon.builder_for(http).config(config));
    for canned in [Canned::new(503), Canned::new(503).header("Retry-After", "1")] {
        daemon.environment.server.faults().plan(Scope::any(), Times::Next(1), Fault::Answer(canned));
    }
    for number in 1..=3 {
        daemon.enqueue(&levi, number, 300).await.unwrap();
    }
    // Nothing is flushed before the end of time: only the shutdown sends.
    let left = levi.shutdown(Duration::MAX).await;
    assert_eq!((left.parked, left.not_stored), (0, 0));
    let levi = daemon.start(daemon.builder());
    until(&levi, |status| status.totals.pending_rows == 0).await;
    assert_eq!(daemon.delivered(), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_delay_is_a_delay() {
    let daemon = Daemon::new().await;
    let config = LeviConfig { backoff_base: Duration::MAX, backoff_max: Duration::MAX, ..daemon.config() };
    let levi = daemon.start(daemon.builder().config(config));
    let busy = Fault::Answer(Canned::new(503));
    daemon.environment.server.faults().plan(Scope::any(), Times::Next(1), busy);
    let receipt = daemon.enqueue(&levi, 1, 300).await.unwrap();
    until(&levi, |status| status.batches_failed == 1 && status.rows_in_flight == 0).await;
    levi.network_changed();
    synced(&levi, &receipt).await;
    assert_eq!(daemon.delivered(), [1]);
}
