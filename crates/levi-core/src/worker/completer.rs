//! Completes callers beside the engine thread, which stores the next rows meanwhile.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::engine::CommittedBatch;

/// A thread of its own and not a task of the daemon's runtime, whose threads may all be busy waiting for
/// these completions.
pub(super) struct Completer {
    /// What is queued here holds its share of the intake queue, so it is bounded as that is.
    batches: Option<Sender<CommittedBatch>>,
    thread: Option<JoinHandle<()>>,
}

impl Completer {
    pub(super) fn spawn() -> io::Result<Self> {
        let (batches, queue) = channel();
        let thread = Builder::new().name("levi-completer".into()).spawn(move || complete_all(queue))?;
        Ok(Self { batches: Some(batches), thread: Some(thread) })
    }

    pub(super) fn complete(&self, batch: CommittedBatch) {
        let Some(batches) = &self.batches else { return };
        if let Err(returned) = batches.send(batch) {
            // A caller's waker panicked and ended that thread.
            returned.0.complete();
        }
    }
}

fn complete_all(queue: Receiver<CommittedBatch>) {
    queue.into_iter().for_each(CommittedBatch::complete);
}

/// Waits until every caller is completed.
impl Drop for Completer {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // It panicked only if a caller's waker did.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread;

    use levi_outbox::{Encryption, Enqueued, NewRow, RowId, RowKey};
    use levi_types::Wall;
    use tokio::sync::oneshot;

    use super::*;
    use crate::engine::{Stored, Waiter};

    fn committed(messages: usize) -> (CommittedBatch, Vec<oneshot::Receiver<Stored>>) {
        let (mut waiters, mut replies, mut rows, mut outcomes) = (vec![], vec![], vec![], vec![]);
        for number in 0..messages as i64 {
            let (reply, stored) = oneshot::channel();
            waiters.push(Waiter::for_message(None, Some(reply)));
            replies.push(stored);
            let (key, at) = (Encryption::SessionKey, Wall::from_millis(0));
            rows.push(NewRow::message("s".into(), number, "m".into(), Vec::new(), key, at));
            outcomes
                .push(Enqueued::Stored { key: RowKey { id: RowId(number), version: 1 }, replaced: false });
        }
        (CommittedBatch::new(waiters, rows, outcomes), replies)
    }

    /// Sends the name of the thread that woke it.
    struct Woken(Sender<Option<String>>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.send(thread::current().name().map(str::to_owned)).unwrap();
        }
    }

    #[test]
    fn callers_are_completed_by_another_thread_and_all_of_them_before_it_ends() {
        let completer = Completer::spawn().unwrap();
        let (batch, mut replies) = committed(300);
        let (woken, by) = channel();
        let waker = Waker::from(Arc::new(Woken(woken)));
        let first = pin!(&mut replies[0]).poll(&mut Context::from_waker(&waker));
        assert!(matches!(first, Poll::Pending));
        completer.complete(batch);
        drop(completer);
        assert_eq!(by.recv().unwrap().as_deref(), Some("levi-completer"));
        for (number, mut reply) in replies.into_iter().enumerate() {
            assert_eq!(reply.try_recv().unwrap().unwrap().sequence_number(), number as i64);
        }
    }
}
