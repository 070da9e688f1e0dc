//! Tells callers that their messages are on disk, beside the thread that stores the next ones meanwhile.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::engine::OnDisk;

/// A thread of its own and not a task of the daemon's runtime, whose threads may all be busy waiting for what it says.
pub(super) struct Teller {
    /// What waits here holds its share of the queue, so there is never more than the queue's bound.
    crowds: Option<Sender<OnDisk>>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    pub(super) fn spawn() -> io::Result<Self> {
        let (crowds, waiting) = channel();
        let thread = Builder::new().name("levi-teller".into()).spawn(move || tell_all(&waiting))?;
        Ok(Self { crowds: Some(crowds), thread: Some(thread) })
    }

    pub(super) fn tell(&self, on_disk: OnDisk) {
        // Where a caller's waker took that thread down, what comes back is told here.
        drop(self.crowds.as_ref().map(|crowds| crowds.send(on_disk)));
    }
}

fn tell_all(waiting: &Receiver<OnDisk>) {
    waiting.iter().for_each(drop);
}

/// Ends once everybody was told.
impl Drop for Teller {
    fn drop(&mut self) {
        self.crowds = None;
        if let Some(thread) = self.thread.take() {
            // It panicked only where a caller's waker did.
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

    use levi_outbox::{Enqueued, NewRow, Protection, RowId, RowKey};
    use levi_types::Wall;
    use tokio::sync::oneshot;

    use super::*;
    use crate::engine::{Owner, Receipt};
    use crate::error::EnqueueError;

    type Reply = oneshot::Receiver<Result<Receipt, EnqueueError>>;

    fn stored(messages: usize) -> (OnDisk, Vec<Reply>) {
        let (mut owners, mut replies, mut rows, mut outcomes) = (vec![], vec![], vec![], vec![]);
        for place in 0..messages as i64 {
            let (reply, waits) = oneshot::channel();
            owners.push(Owner::new(None, Some(reply)));
            replies.push(waits);
            rows.push(NewRow {
                session_id: "s".into(),
                sequence_number: place,
                message_id: "m".into(),
                payload: Vec::new(),
                protection: Protection::Sealed,
                enqueued_at: Wall::from_millis(0),
            });
            outcomes.push(Enqueued::Stored { key: RowKey { id: RowId(place), version: 1 }, replaced: false });
        }
        (OnDisk::new(owners, rows, outcomes), replies)
    }

    /// Says which thread woke it.
    struct Woken(Sender<Option<String>>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.send(thread::current().name().map(str::to_owned)).unwrap();
        }
    }

    #[test]
    fn a_crowd_is_told_by_another_thread_and_everybody_before_it_ends() {
        let teller = Teller::spawn().unwrap();
        let (on_disk, mut replies) = stored(300);
        let (woken, by) = channel();
        let waker = Waker::from(Arc::new(Woken(woken)));
        let first = pin!(&mut replies[0]).poll(&mut Context::from_waker(&waker));
        assert!(matches!(first, Poll::Pending));
        teller.tell(on_disk);
        drop(teller);
        assert_eq!(by.recv().unwrap().as_deref(), Some("levi-teller"));
        for (place, mut reply) in replies.into_iter().enumerate() {
            assert_eq!(reply.try_recv().unwrap().unwrap().sequence_number(), place as i64);
        }
    }
}
