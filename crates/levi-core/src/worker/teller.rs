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
