//! The wake-up socket of the default outbox, bound while this Levi owns the file.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use levi_outbox::sqlite::notify::Listener;

/// The outbox that the socket is next to, and the socket while it is bound.
pub(crate) struct WakeUp {
    /// The outbox file; `None` for an outbox that the caller opened.
    outbox: Option<PathBuf>,
    listener: Mutex<Option<Listener>>,
}

/// A locked [`WakeUp`]: no other thread can bind or close the socket.
pub(crate) struct Listening<'a> {
    outbox: Option<&'a PathBuf>,
    listener: MutexGuard<'a, Option<Listener>>,
}

impl WakeUp {
    pub(crate) fn new(outbox: Option<PathBuf>) -> Self {
        Self { outbox, listener: Mutex::default() }
    }

    /// Taken before the worker starts, so that a concurrent shutdown finds the listener and drops it.
    pub(crate) fn lock(&self) -> Listening<'_> {
        // A panic cannot leave it half changed, because every change is one assignment.
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        Listening { outbox: self.outbox.as_ref(), listener }
    }

    pub(crate) fn close(&self) {
        drop(self.lock().listener.take());
    }
}

impl Listening<'_> {
    /// Calls `notified` for every datagram. Without a socket, a change by another process is
    /// noticed at the next wake-up.
    pub(crate) fn bind(mut self, notified: impl Fn() + Send + 'static) {
        let Some(outbox) = self.outbox else { return };
        match Listener::bind(outbox, notified) {
            Ok(bound) => *self.listener = Some(bound),
            Err(error) => tracing::info!("no wake-up socket next to the outbox: {error}"),
        }
    }
}
