//! Who waits for a recorded task to be tried.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_outbox::{NewTask, Reason};
use tokio::sync::oneshot;

use super::error::SyncError;
use super::record::waits_for_parent;

/// How a task ended, once.
pub(super) struct Ended {
    pub(super) result: Result<(), SyncError>,
    /// Whether the worker tries it again.
    pub(super) retried: bool,
}

/// Callers in the order in which their tasks are recorded.
#[derive(Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    joined: u64,
    by_name: HashMap<String, Vec<Waiter>>,
}

struct Waiter {
    nth: u64,
    payload: Vec<u8>,
    parent: Option<String>,
    reply: oneshot::Sender<Ended>,
}

/// A moment in the order of callers.
#[derive(Clone, Copy)]
pub(super) struct Mark(u64);

impl Waiters {
    /// The caller whose task this is waits from now on.
    pub(super) fn join(&self, task: &NewTask) -> oneshot::Receiver<Ended> {
        let (reply, receiver) = oneshot::channel();
        let mut known = self.known();
        known.joined += 1;
        let waiter =
            Waiter { nth: known.joined, payload: task.payload.clone(), parent: task.parent.clone(), reply };
        let waiting = known.by_name.entry(task.name.clone()).or_default();
        waiting.retain(|waiter| !waiter.reply.is_closed());
        waiting.push(waiter);
        receiver
    }

    /// Before a task is run: who joins later wants what the daemon's store says later.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.known().joined)
    }

    /// A run that began at `began` did what `payload` asks for. Those who asked for it hear of it, and those before
    /// them, whose wish it replaced; who asked for something else since then waits on.
    ///
    /// After a failure those who wait for what comes after it are told too: it may be long, or never.
    pub(super) fn tell(&self, name: &str, payload: &[u8], began: Mark, ended: Ended) {
        if ended.result.is_err() {
            self.tell_children(name);
        }
        let mut told = {
            let mut known = self.known();
            let Some(waiting) = known.by_name.get_mut(name) else { return };
            let is_meant = |waiter: &Waiter| waiter.nth <= began.0 && waiter.payload == payload;
            let meant = waiting.iter().rposition(is_meant).map_or(0, |last| last + 1);
            let told: Vec<_> = waiting.drain(..meant).collect();
            // Who gave up waiting is forgotten.
            waiting.retain(|waiter| !waiter.reply.is_closed());
            if waiting.is_empty() {
                known.by_name.remove(name);
            }
            told
        };
        let Some(last) = told.pop() else { return };
        for other in told {
            let _ = other.reply.send(Ended { result: alike(&ended.result), retried: ended.retried });
        }
        let _ = last.reply.send(ended);
    }

    fn tell_children(&self, name: &str) {
        let mut failed = vec![name.to_owned()];
        while let Some(parent) = failed.pop() {
            let is_child = |waiter: &mut Waiter| waiter.parent.as_deref() == Some(parent.as_str());
            for (child, waiting) in &mut self.known().by_name {
                let told: Vec<_> = waiting.extract_if(.., is_child).collect();
                if !told.is_empty() {
                    failed.push(child.clone());
                }
                for waiter in told {
                    let _ = waiter.reply.send(Ended { result: Err(waits_for_parent()), retried: true });
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A thread that panicked left it whole: what is between two calls is never half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for a further caller: an error cannot be copied, its words can.
fn alike(result: &Result<(), SyncError>) -> Result<(), SyncError> {
    let reason = |error: &SyncError| Reason { code: "shared_step".into(), detail: error.to_string() };
    result.as_ref().map_err(|error| SyncError::Waiting(reason(error))).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
mod tests {
    use super::*;
    use levi_types::Wall;

    fn task(payload: &str) -> NewTask {
        NewTask {
            name: "session/s".into(),
            parent: None,
            holds: None,
            payload: payload.into(),
            at: Wall::from_millis(0),
        }
    }

    fn done() -> Ended {
        Ended { result: Ok(()), retried: false }
    }

    #[test]
    fn who_asked_for_something_else_since_then_is_not_told_of_an_earlier_run() {
        let waiters = Waiters::default();
        let mut active = waiters.join(&task("active"));
        let began = waiters.mark();
        let mut ended = waiters.join(&task("ended"));
        waiters.tell("session/s", b"active", began, done());
        assert!(active.try_recv().unwrap().result.is_ok());
        assert!(ended.try_recv().is_err(), "its own run is still to come");
        waiters.tell("session/s", b"ended", waiters.mark(), done());
        assert!(ended.try_recv().unwrap().result.is_ok());
    }

    #[test]
    fn who_waits_for_what_comes_after_a_step_that_failed_is_told() {
        let waiters = Waiters::default();
        let child = |name: &str, parent: &str| NewTask {
            name: name.into(),
            parent: Some(parent.into()),
            ..task(name)
        };
        let mut secret = waiters.join(&child("secret/s", "session/s"));
        let mut session = waiters.join(&child("session/s", "repository/r"));
        let failed = Ended { result: Err(SyncError::NotAuthenticated), retried: true };
        waiters.tell("repository/r", b"", waiters.mark(), failed);
        for told in [&mut secret, &mut session] {
            assert!(matches!(told.try_recv().unwrap().result, Err(SyncError::Waiting(_))));
        }
    }

    #[test]
    fn who_asks_for_the_same_while_it_runs_waits_for_the_next_run() {
        let waiters = Waiters::default();
        let began = waiters.mark();
        let mut late = waiters.join(&task("active"));
        waiters.tell("session/s", b"active", began, done());
        assert!(late.try_recv().is_err(), "the run may have read the store before it changed");
    }

    #[test]
    fn a_wish_that_was_replaced_before_it_was_run_is_answered_by_what_replaced_it() {
        let waiters = Waiters::default();
        let mut paused = waiters.join(&task("paused"));
        let mut ended = waiters.join(&task("ended"));
        let failed = Ended { result: Err(SyncError::NotAuthenticated), retried: true };
        waiters.tell("session/s", b"ended", waiters.mark(), failed);
        assert!(matches!(ended.try_recv().unwrap().result, Err(SyncError::NotAuthenticated)));
        assert!(matches!(paused.try_recv().unwrap().result, Err(SyncError::Waiting(_))));
    }
}
