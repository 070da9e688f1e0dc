//! How the rest of the daemon reaches the worker's thread: a queue that wakes it, and nothing else does.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::Event;

/// Messages taken out at once: one transaction's worth.
const MESSAGES_AT_ONCE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Event>,
    /// Answers and commands: few, and never behind a crowd of messages.
    others: VecDeque<Event>,
    closed: bool,
    /// Whether the thread sleeps. Waking one that does not would be a system call for nothing.
    asleep: bool,
}

/// The worker has ended.
#[derive(Debug)]
pub(super) struct Closed;

/// What the thread found.
pub(super) struct Delivery {
    pub(super) events: Vec<Event>,
    /// Nobody will send anything any more, and nothing is left.
    pub(super) closed: bool,
}

impl Inbox {
    /// Puts an event in. After [`close`](Self::close) it is dropped, its reply channel with it, and the answer
    /// is `Closed`.
    pub(super) fn push(&self, event: Event) -> Result<(), Closed> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Closed);
        }
        match event {
            Event::Enqueue(_) => queue.messages.push_back(event),
            // Asked for already: whoever rings again and again asks for the same look.
            Event::WrittenElsewhere if queue.others.iter().any(is_written_elsewhere) => {}
            other => queue.others.push_back(other),
        }
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether the next transaction is full already.
    pub(super) fn is_crowded(&self) -> bool {
        self.queue().messages.len() >= MESSAGES_AT_ONCE
    }

    /// Closes unless something is still to be taken out; says whether it is closed now.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut queue = self.queue();
        queue.closed |= queue.messages.is_empty() && queue.others.is_empty();
        queue.closed
    }

    pub(super) fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        queue.asleep = false;
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits for events, at most for `timeout` (without end, for `None`).
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Delivery {
        let queue = self.queue();
        let idle = |queue: &mut Queue| {
            queue.asleep = queue.messages.is_empty() && queue.others.is_empty() && !queue.closed;
            queue.asleep
        };
        let mut queue = match timeout {
            None => self.wake.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = self.wake.wait_timeout_while(queue, timeout, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        queue.asleep = false;
        let mut events: Vec<Event> = queue.others.drain(..).collect();
        let messages = queue.messages.len().min(MESSAGES_AT_ONCE);
        events.extend(queue.messages.drain(..messages));
        Delivery { closed: queue.closed && queue.messages.is_empty(), events }
    }

    /// For when the thread has ended, however: whoever waits for an answer hears that there is none.
    pub(super) fn abandon(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        let left = (std::mem::take(&mut queue.messages), std::mem::take(&mut queue.others));
        drop(queue);
        drop(left);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A thread that panicked left the queue whole: every change to it is one call.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn is_written_elsewhere(event: &Event) -> bool {
    matches!(event, Event::WrittenElsewhere)
}
