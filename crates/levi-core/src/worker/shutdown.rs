//! The end of a shutdown, measured from outside.

use std::time::Duration;

use levi_outbox::Totals;

use super::Shared;
use crate::delay::within;

/// How long after the deadline the engine thread's last calls of the disk and the session store may take.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// What remained at a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Messages still in the outbox; the next start sends them.
    pub pending: u64,
    /// Parked messages.
    pub parked: u64,
    /// Messages accepted by `enqueue` (not `enqueue_durable`) that never reached the disk. They are lost.
    pub not_stored: usize,
}

/// Waits for the end of the engine thread, which was told to stop.
pub(super) async fn ended(shared: &Shared, deadline: Duration) -> ShutdownReport {
    let mut ended = shared.ended.subscribe();
    // The sender lives in `shared`, so the wait ends with the thread.
    let report = async { ended.wait_for(Option::is_some).await.ok().and_then(|report| *report) };
    let Some(report) = within(deadline.saturating_add(LAST_CALLS), report).await else {
        tracing::warn!("the disk or the session store does not answer; the outbox stays locked until then");
        let status = shared.status.borrow();
        let Totals { pending_rows: pending, parked_rows: parked, .. } = status.totals;
        return ShutdownReport { pending, parked, not_stored: status.held_in_memory };
    };
    report.unwrap_or_default()
}
