use std::sync::Arc;

use super::inbox::Inbox;
use crate::batcher::Input;
use crate::engine::Event;

/// Reports to the engine when a request ends. If it is dropped without an outcome, it reports `lost`, so that
/// the engine does not wait for ever.
pub(super) struct CompletionGuard {
    inbox: Arc<Inbox>,
    lost: Option<Input>,
}

impl CompletionGuard {
    pub(super) fn new(inbox: &Arc<Inbox>, lost: Input) -> Self {
        Self { inbox: Arc::clone(inbox), lost: Some(lost) }
    }

    pub(super) fn complete(mut self, input: Input) {
        self.lost = Some(input);
    }
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        if let Some(input) = self.lost.take() {
            // After the engine thread has ended there is nothing to report to.
            let _ = self.inbox.push(Event::Input(input));
        }
    }
}
