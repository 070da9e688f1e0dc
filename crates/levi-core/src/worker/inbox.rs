//! The queue through which other threads reach the engine thread. Nothing else wakes it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::Event;

/// The greatest number of messages in one transaction.
const MESSAGES_AT_ONCE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Event>,
    /// Responses and commands: they are few, and are never queued behind messages.
    others: VecDeque<Event>,
    closed: bool,
    /// Whether the engine thread sleeps: waking it otherwise would be a useless system call.
    asleep: bool,
}

/// The engine thread has ended.
#[derive(Debug)]
pub(super) struct Closed;

/// What the engine thread takes out at once.
pub(super) struct Delivery {
    pub(super) events: Vec<Event>,
    /// The inbox is closed, and nothing is left in it.
    pub(super) closed: bool,
}

impl Inbox {
    /// Queues an event. After [`close`](Self::close) the event is dropped, with its reply channel.
    pub(super) fn push(&self, event: Event) -> Result<(), Closed> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Closed);
        }
        match event {
            Event::Enqueue(_) => queue.messages.push_back(event),
            // Queued already: one look at the outbox serves all notifications so far.
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

    /// Whether there are enough messages for another full transaction.
    pub(super) fn next_batch_is_full(&self) -> bool {
        self.queue().messages.len() >= MESSAGES_AT_ONCE
    }

    /// Closes unless something is still queued; returns whether it is closed now.
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

    /// The engine thread has ended: drops what is queued, so that callers see their reply channels closed.
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
