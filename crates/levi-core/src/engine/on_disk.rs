//! Who handed in a message, and how they hear that it is on disk.

use levi_outbox::{Enqueued, NewRow};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::event::Receipt;
use crate::error::EnqueueError;

/// Who handed in a row; by default nobody.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    /// Its share of the queue, held until the row is on disk or refused.
    _permit: Option<OwnedSemaphorePermit>,
    /// Who waits, if anyone.
    reply: Option<oneshot::Sender<Result<Receipt, EnqueueError>>>,
}

impl Owner {
    pub(crate) fn new(
        permit: Option<OwnedSemaphorePermit>,
        reply: Option<oneshot::Sender<Result<Receipt, EnqueueError>>>,
    ) -> Self {
        Self { _permit: permit, reply }
    }

    pub(super) fn waits(&self) -> bool {
        self.reply.is_some()
    }

    /// Tells whoever waits, once.
    pub(super) fn tell(&mut self, result: Result<Receipt, EnqueueError>) {
        if let Some(reply) = self.reply.take() {
            // The caller went away: the message is stored (or refused) all the same.
            let _ = reply.send(result);
        }
    }
}

/// The messages of one commit that went through. Dropping this tells their callers and gives back their share of the
/// queue, wherever it is dropped: waking a crowd takes a fair part of the time that storing its messages took, and the
/// thread that waits for the disk has better things to do.
#[derive(Debug)]
pub struct OnDisk {
    owners: Vec<Owner>,
    /// In the same order.
    rows: Vec<NewRow>,
    /// What the outbox said of each; those that it refused have no owner any more.
    outcomes: Vec<Enqueued>,
}

impl OnDisk {
    pub(crate) fn new(owners: Vec<Owner>, rows: Vec<NewRow>, outcomes: Vec<Enqueued>) -> Self {
        Self { owners, rows, outcomes }
    }

    /// Messages in all.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let rows = self.rows.drain(..).zip(self.outcomes.drain(..));
        for (mut owner, (row, outcome)) in self.owners.drain(..).zip(rows) {
            if let Enqueued::Stored { key, replaced } = outcome {
                let NewRow { session_id, sequence_number, .. } = row;
                owner.tell(Ok(Receipt { session_id, sequence_number, key, replaced }));
            }
        }
    }
}
