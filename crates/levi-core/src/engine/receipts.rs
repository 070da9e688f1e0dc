//! The callers that wait until the server has a row.

use std::collections::HashMap;

use levi_outbox::{OutboxError, OutboxStore, RowId, RowState};
use tokio::sync::oneshot;

use crate::error::SyncedError;
use crate::sync_error::SESSION_GONE;

type Waiter = oneshot::Sender<Result<(), SyncedError>>;

#[derive(Debug, Default)]
pub(super) struct Receipts {
    waiting: HashMap<RowId, Vec<Waiter>>,
    /// Completed after the status was published, so that a caller finds the outcome there.
    ready: Vec<(Waiter, Result<(), SyncedError>)>,
    /// Why a row could not be looked at. All must be looked at again, or a caller waits for ever.
    failure: Option<OutboxError>,
}

impl Receipts {
    pub(super) fn watch(&mut self, store: &dyn OutboxStore, row: RowId, waiter: Waiter) {
        let waiting = self.waiting.entry(row).or_default();
        // A caller that cancels and asks again must not add an entry each time.
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(waiter);
        self.check(store, row);
    }

    /// The server has what the caller waits for.
    pub(super) fn done(&mut self, waiter: Waiter) {
        self.ready.push((waiter, Ok(())));
    }

    /// Whether a caller waits for one of these rows.
    pub(super) fn wait_for_any(&self, rows: &[RowId]) -> bool {
        !self.waiting.is_empty() && rows.iter().any(|row| self.waiting.contains_key(row))
    }

    /// Looks at every row that a caller waits for: another process may have changed any of them.
    pub(super) fn check_all(&mut self, store: &dyn OutboxStore) {
        let rows: Vec<RowId> = self.waiting.keys().copied().collect();
        for row in rows {
            self.check(store, row);
        }
    }

    /// Why a row could not be looked at since the last call.
    pub(super) fn take_failure(&mut self) -> Option<OutboxError> {
        self.failure.take()
    }

    /// Completes the callers whose outcome is known.
    pub(super) fn announce(&mut self) {
        for (waiter, outcome) in self.ready.drain(..) {
            // The caller may be gone.
            let _ = waiter.send(outcome);
        }
    }

    /// Looks at the row: its callers' outcome is known if it left the outbox, or if it or a
    /// parent of it was parked.
    pub(super) fn check(&mut self, store: &dyn OutboxStore, row: RowId) {
        if !self.waiting.contains_key(&row) {
            return;
        }
        let outcome = match store.row_state(row) {
            Ok(RowState::Gone) => Ok(()),
            Ok(RowState::Discarded) => Err(SyncedError::Discarded),
            Ok(RowState::Parked(reason)) => Err(SyncedError::Parked(reason)),
            Ok(RowState::ParentParked(reason)) if reason.code == SESSION_GONE => {
                Err(SyncedError::SessionGone(reason))
            }
            Ok(RowState::ParentParked(reason)) => Err(SyncedError::ParentParked(reason)),
            Ok(RowState::Pending(_)) => return,
            Err(error) => {
                self.failure = Some(error);
                return;
            }
        };
        let waiters = self.waiting.remove(&row).unwrap_or_default();
        self.ready.extend(waiters.into_iter().map(|waiter| (waiter, outcome.clone())));
    }
}
