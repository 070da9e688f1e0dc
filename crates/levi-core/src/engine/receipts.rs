//! Who waits for which row to reach the server.

use std::collections::HashMap;

use levi_outbox::{OutboxError, OutboxStore, RowId, RowState};
use tokio::sync::oneshot;

use crate::error::SyncedError;

type Waiter = oneshot::Sender<Result<(), SyncedError>>;

#[derive(Debug, Default)]
pub(super) struct Receipts {
    waiting: HashMap<RowId, Vec<Waiter>>,
    /// Answers that are known and not told yet: whoever hears of them should find them in the status.
    ready: Vec<(Waiter, Result<(), SyncedError>)>,
    /// Why some row could not be looked at. All must be looked at again, or somebody waits for ever.
    failure: Option<OutboxError>,
}

impl Receipts {
    pub(super) fn watch(&mut self, store: &dyn OutboxStore, row: RowId, waiter: Waiter) {
        let waiting = self.waiting.entry(row).or_default();
        // Who gave up waiting, and asks again and again, is not remembered each time.
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(waiter);
        self.check(store, row);
    }

    /// Looks at every row that is waited for: somebody else may have changed any of them.
    pub(super) fn check_all(&mut self, store: &dyn OutboxStore) {
        let rows: Vec<RowId> = self.waiting.keys().copied().collect();
        for row in rows {
            self.check(store, row);
        }
    }

    /// Why a look at a row failed since this was last asked.
    pub(super) fn take_failure(&mut self) -> Option<OutboxError> {
        self.failure.take()
    }

    /// Tells everybody whose answer is known.
    pub(super) fn announce(&mut self) {
        for (waiter, answer) in self.ready.drain(..) {
            // Nobody waits any more: fine.
            let _ = waiter.send(answer);
        }
    }

    /// Looks at the row again: those who wait for it have their answer if it left the outbox or was set aside.
    pub(super) fn check(&mut self, store: &dyn OutboxStore, row: RowId) {
        if !self.waiting.contains_key(&row) {
            return;
        }
        let answer = match store.row_state(row) {
            Ok(RowState::Gone) => Ok(()),
            Ok(RowState::Parked(reason)) => Err(SyncedError::Parked(reason)),
            Ok(RowState::Pending(_)) => return,
            Err(error) => {
                self.failure = Some(error);
                return;
            }
        };
        let waiters = self.waiting.remove(&row).unwrap_or_default();
        self.ready.extend(waiters.into_iter().map(|waiter| (waiter, answer.clone())));
    }
}
