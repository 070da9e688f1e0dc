//! The narrowest view of a worker.

use levi_types::MessageSyncRequest;

use super::Worker;
use crate::error::EnqueueError;

/// Takes messages. A daemon that depends on this trait does not depend on the worker.
pub trait MessageSyncer: Send + Sync {
    /// Enqueues a message. It is encrypted, stored and sent in the background.
    ///
    /// # Errors
    /// [`EnqueueError`]; the message was not enqueued.
    fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError>;
}

impl MessageSyncer for Worker {
    fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError> {
        Self::enqueue(self, request)
    }
}
