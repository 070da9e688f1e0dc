//! Lines that were read ahead. They change hands many at a time, because to wake a thread costs more than to send a
//! line does.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ndjson::Line;

/// Lines that wait to be taken. The task that takes them has at most as many more.
const MOST: usize = 32;

type Read = io::Result<Line>;

/// The thread that reads has the one end, and the task that enqueues the other.
pub(super) fn channel() -> (Reader, Ahead) {
    let shared = Arc::new(Shared::default());
    (Reader(Arc::clone(&shared)), Ahead { shared, taken: VecDeque::new() })
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is room again.
    room: Condvar,
    /// There are lines, or there will be none any more.
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Read>,
    /// Nothing more is read.
    has_ended: bool,
    /// Nobody takes lines any more.
    is_abandoned: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A thread that panicked left the queue whole: every change to it is one call.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the thread that reads puts lines.
pub(super) struct Reader(Arc<Shared>);

impl Reader {
    /// Waits for room. `false`: nobody takes lines any more.
    pub(super) fn put(&self, line: Read) -> bool {
        let full = |queue: &mut Queue| queue.lines.len() >= MOST && !queue.is_abandoned;
        let waited = self.0.room.wait_while(self.0.queue(), full);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.is_abandoned {
            return false;
        }
        queue.lines.push_back(line);
        let is_first = queue.lines.len() == 1;
        drop(queue);
        if is_first {
            self.0.arrived.notify_one();
        }
        true
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.queue().has_ended = true;
        self.0.arrived.notify_one();
    }
}

/// Where the task takes lines from.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    taken: VecDeque<Read>,
}

impl Ahead {
    /// The next line, if it was taken already.
    pub(super) fn taken(&mut self) -> Option<Read> {
        self.taken.pop_front()
    }

    /// The next line; `None` at the end. If the future is dropped, no line is lost.
    pub(super) async fn next(&mut self) -> Option<Read> {
        loop {
            if let Some(line) = self.taken() {
                return Some(line);
            }
            let has_ended = self.take_all();
            if !self.taken.is_empty() {
                self.shared.room.notify_one();
            } else if has_ended {
                return None;
            } else {
                self.shared.arrived.notified().await;
            }
        }
    }

    /// Takes what was read by now. Returns whether nothing more will be.
    fn take_all(&mut self) -> bool {
        let mut queue = self.shared.queue();
        std::mem::swap(&mut queue.lines, &mut self.taken);
        queue.has_ended
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.queue().is_abandoned = true;
        self.shared.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::ndjson::LineError;

    fn line(number: u64) -> Read {
        Ok(Line { number, message: Err(LineError::CutOff) })
    }

    #[tokio::test]
    async fn every_line_comes_once_and_in_order_and_then_the_end() {
        let (reader, mut ahead) = channel();
        let read = thread::spawn(move || (0..1_000).all(|number| reader.put(line(number))));
        for number in 0..1_000 {
            assert_eq!(ahead.next().await.unwrap().unwrap().number, number);
        }
        assert!(ahead.next().await.is_none());
        assert!(read.join().unwrap());
    }

    /// The thread would wait for ever.
    #[tokio::test]
    async fn a_thread_that_waits_for_room_ends_when_nobody_takes_lines_any_more() {
        let (reader, mut ahead) = channel();
        let read = thread::spawn(move || (0..1_000).take_while(|number| reader.put(line(*number))).count());
        ahead.next().await.unwrap().unwrap();
        drop(ahead);
        assert!(read.join().unwrap() <= 2 * MOST + 1, "no more than there was room for");
    }
}
