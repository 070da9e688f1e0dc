//! The end of a shutdown, measured from outside.

use std::time::Duration;

use super::{Shared, Worker};
use crate::delay::within;
use crate::status::Status;

/// How long after the deadline the engine thread's last calls of the disk and the session store may take.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// What remained at a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Messages of the signed-in user still in the outbox; the next start sends them.
    pub pending: u64,
    /// Messages in the outbox that wait until another user signs in again.
    pub held: u64,
    /// Parked messages.
    pub parked: u64,
    /// Messages accepted by `enqueue` (not `enqueue_durable`) that never reached the disk. They are lost.
    pub not_stored: usize,
}

impl ShutdownReport {
    pub(super) fn of(status: &Status, not_stored: usize) -> Self {
        let held = status.held.iter().map(|held| held.messages).fold(0, u64::saturating_add);
        let totals = status.totals;
        Self {
            pending: totals.pending_rows.saturating_sub(held),
            held,
            parked: totals.parked_rows,
            not_stored,
        }
    }
}

/// Waits for the end of the engine thread, which was told to stop.
pub(super) async fn ended(shared: &Shared, deadline: Duration) -> ShutdownReport {
    let mut ended = shared.ended.subscribe();
    // The sender lives in `shared`, so the wait ends with the thread.
    let report = async { ended.wait_for(Option::is_some).await.ok().and_then(|report| *report) };
    let Some(report) = within(deadline.saturating_add(LAST_CALLS), report).await else {
        tracing::warn!("the disk or the session store does not answer; the outbox stays locked until then");
        let status = shared.status.borrow();
        return ShutdownReport::of(&status, status.held_in_memory);
    };
    report.unwrap_or_default()
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.inbox.close();
    }
}
