//! The engine thread: sleep until something happens, let the engine take a turn, do what it decided.

use std::sync::Arc;
use std::time::Duration;

use levi_types::Monotonic;

use super::completer::Completer;
use super::{Shared, ShutdownReport};
use crate::engine::{Effect, Engine};
use crate::error::StartError;

/// With a timer set, the thread looks at the clocks at least this often. A timer stops while the machine sleeps, and
/// after a sleep its waits are over. Without a timer nothing waits for the clocks, and the thread sleeps until something
/// happens.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

pub(super) struct EngineThread {
    engine: Engine,
    shared: Arc<Shared>,
    completer: Completer,
}

impl EngineThread {
    pub(super) fn spawn(engine: Engine, shared: Arc<Shared>) -> Result<(), StartError> {
        let completer = Completer::spawn().map_err(StartError::Thread)?;
        let thread = Self { engine, shared, completer };
        let builder = std::thread::Builder::new().name("levi".into());
        builder.spawn(move || thread.run()).map(drop).map_err(StartError::Thread)
    }

    fn run(mut self) {
        let mut guard = ExitGuard { shared: Arc::clone(&self.shared), report: ShutdownReport::default() };
        guard.report = self.work();
        self.engine.abandon_steps();
        self.engine.remove_acknowledged(self.shared.clock.now());
        // The outbox is closed, its lock released and every caller completed before the end is announced.
        drop(self.engine);
        drop(self.completer);
        drop(guard);
    }

    fn work(&mut self) -> ShutdownReport {
        loop {
            let now = self.shared.clock.now().monotonic;
            let timeout = self.engine.timeout().map(|at: Monotonic| at.since(now).min(LONGEST_SLEEP));
            let delivery = self.shared.inbox.wait(timeout);
            let now = self.shared.clock.now();
            let (inbox, dispatcher, completer) =
                (&self.shared.inbox, &self.shared.dispatcher, &self.completer);
            self.engine.turn_with(now, delivery.events, &mut |effect| match effect {
                // Otherwise they are completed before the inbox is looked at again, so that what they enqueue
                // next is in the next transaction, and not in the one after it.
                Effect::Complete(committed) if inbox.next_batch_is_full() => completer.complete(committed),
                Effect::Complete(committed) => committed.complete(),
                Effect::Send { batch, user, insert, messages, epoch } => {
                    dispatcher.send(batch, user.as_ref(), insert, messages, epoch);
                }
                Effect::SendControl { batch, user, key, payload, presence } => {
                    dispatcher.send_control(batch, user, key, payload, presence);
                }
                Effect::Refresh => dispatcher.refresh(),
                Effect::Awake => {
                    dispatcher.connections_may_be_dead();
                    dispatcher.sign_in_from_store();
                    dispatcher.look_after_sleep();
                }
            });
            if let Some(status) = self.engine.status_if_changed() {
                #[cfg(feature = "metrics")]
                crate::metrics::publish(&status);
                self.shared.status.send_replace(status);
            }
            self.engine.announce();
            let finished = self.engine.is_finished(now) && self.shared.inbox.close_if_empty();
            if finished || delivery.closed {
                return self.report();
            }
        }
    }

    fn report(&self) -> ShutdownReport {
        ShutdownReport::of(&self.shared.status.borrow(), self.engine.not_stored())
    }
}

/// Cancels what is in flight and announces the end of the thread, even if it panicked, so that no caller waits for
/// ever.
struct ExitGuard {
    shared: Arc<Shared>,
    report: ShutdownReport,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        self.shared.dispatcher.stop();
        self.shared.inbox.abandon();
        self.shared.ended.send_replace(Some(self.report));
    }
}
