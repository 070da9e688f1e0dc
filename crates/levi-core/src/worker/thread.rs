//! The worker's thread: sleep, take in, decide, hand out.

use std::sync::Arc;

use levi_types::Monotonic;

use super::teller::Teller;
use super::{Shared, ShutdownReport};
use crate::engine::{Effect, Engine};
use crate::error::StartError;

pub(super) struct Thread {
    engine: Engine,
    shared: Arc<Shared>,
    teller: Teller,
}

impl Thread {
    pub(super) fn spawn(engine: Engine, shared: Arc<Shared>) -> Result<(), StartError> {
        let teller = Teller::spawn().map_err(StartError::Thread)?;
        let thread = Self { engine, shared, teller };
        let builder = std::thread::Builder::new().name("levi".into());
        builder.spawn(move || thread.run()).map(drop).map_err(StartError::Thread)
    }

    fn run(mut self) {
        // However this thread ends, nobody waits for it in vain.
        let ending = Ending { shared: Arc::clone(&self.shared), report: ShutdownReport::default() };
        let report = self.work();
        // The outbox is closed, its lock released, and every caller told before anybody hears of the end.
        drop(self.engine);
        drop(self.teller);
        Ending::tell(ending, report);
    }

    fn work(&mut self) -> ShutdownReport {
        loop {
            let now = self.shared.clock.now().monotonic;
            let timeout = self.engine.timeout().map(|at: Monotonic| at.since(now));
            let delivery = self.shared.inbox.wait(timeout);
            let now = self.shared.clock.now();
            let (inbox, outside, teller) = (&self.shared.inbox, &self.shared.outside, &self.teller);
            self.engine.turn_with(now, delivery.events, &mut |effect| match effect {
                // Else told at once, before the inbox is looked at again: what they hand in next is then in the next
                // transaction, and not in the one after it.
                Effect::Tell(on_disk) if inbox.is_crowded() => teller.tell(on_disk),
                Effect::Tell(on_disk) => drop(on_disk),
                Effect::Send { batch, upsert } => outside.send(batch, upsert),
                Effect::Refresh => outside.refresh(),
                Effect::RunTask(task) => outside.run_task(task),
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
        let totals = self.shared.status.borrow().totals;
        ShutdownReport {
            pending: totals.pending_rows,
            parked: totals.parked_rows,
            not_stored: self.engine.not_stored(),
        }
    }
}

struct Ending {
    shared: Arc<Shared>,
    report: ShutdownReport,
}

impl Ending {
    fn tell(mut self, report: ShutdownReport) {
        self.report = report;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
        self.shared.ended.send_replace(Some(self.report));
    }
}
