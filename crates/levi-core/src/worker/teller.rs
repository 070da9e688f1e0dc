//! Tells callers that their messages are on disk: a few of them at once, a crowd beside the thread that stores the next
//! messages meanwhile.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::inbox::MESSAGES_AT_ONCE;
use crate::engine::OnDisk;

/// As many as one transaction takes: the next one is probably full already. Fewer are told before the queue is looked at
/// again, so that the messages they hand in next are in the next transaction, and not in the one after it.
const CROWD: usize = MESSAGES_AT_ONCE;

/// Ends when it is dropped, after the last was told.
pub(super) struct Teller {
    /// What waits here holds its share of the queue, so there is never more than the queue's bound.
    crowds: Sender<OnDisk>,
}

impl Teller {
    /// A thread of its own and not a task of the daemon's runtime: callers may keep that one's threads busy by waiting.
    pub(super) fn spawn() -> io::Result<Self> {
        let (crowds, waiting) = channel();
        std::thread::Builder::new().name("levi-teller".into()).spawn(move || tell_all(&waiting))?;
        Ok(Self { crowds })
    }

    pub(super) fn tell(&self, on_disk: OnDisk) {
        if on_disk.len() < CROWD {
            return drop(on_disk);
        }
        // Where a caller's waker took that thread down, what comes back is told here.
        drop(self.crowds.send(on_disk));
    }
}

fn tell_all(waiting: &Receiver<OnDisk>) {
    waiting.iter().for_each(drop);
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

    fn told_by(messages: usize) -> Option<String> {
        let teller = Teller::spawn().unwrap();
        let (on_disk, mut replies) = stored(messages);
        let (woken, by) = channel();
        let waker = Waker::from(Arc::new(Woken(woken)));
        let first = pin!(&mut replies[0]).poll(&mut Context::from_waker(&waker));
        assert!(matches!(first, Poll::Pending));
        teller.tell(on_disk);
        // What is under way is told all the same.
        drop(teller);
        let by = by.recv().unwrap();
        for (place, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply.blocking_recv().unwrap().unwrap().sequence_number(), place as i64);
        }
        by
    }

    #[test]
    fn a_crowd_is_told_by_another_thread_and_a_few_by_this_one() {
        let here = thread::current().name().map(str::to_owned);
        assert_eq!(told_by(CROWD).as_deref(), Some("levi-teller"));
        assert_eq!(told_by(CROWD - 1), here);
    }
}
