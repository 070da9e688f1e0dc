//! The engine: one turn takes in what happened, asks the batcher, does what it says to the outbox, and hands
//! back what must be done outside. It blocks on the disk only; it owns no thread, no clock and no socket, so
//! the simulator drives this very code.

mod act;
mod commit;
mod event;
mod on_disk;
mod receipts;
mod refused;
mod stored;

use std::collections::HashMap;
use std::sync::Arc;

use levi_outbox::{Change, NewRow, OutboxError, OutboxStore, RowId, SalvageReport};
use levi_transport::{ApiError, Verdict, offenders};
use levi_types::{Delivery, DeliveryReport, MessageId, Monotonic, Now, SessionId, SessionStore};
use rand_core::CryptoRng;

pub use self::event::{Effect, Event, Intake, Receipt};
pub use self::on_disk::OnDisk;
#[cfg(test)]
pub(crate) use self::on_disk::Owner;
pub use self::stored::{StoredError, open_stored};

use self::commit::Uncommitted;
use self::receipts::Receipts;
use crate::batcher::{BatchId, Batcher, Input, Touched};
use crate::config::LeviConfig;
pub use crate::sealer::{Message, Sealer};
use crate::status::{LastError, Status};

/// What an engine is made of.
pub struct EngineParts {
    /// How to batch and retry.
    pub config: LeviConfig,
    /// Where rows wait.
    pub outbox: Box<dyn OutboxStore>,
    /// The daemon's own record.
    pub session_store: Arc<dyn SessionStore>,
    /// Seals what is not sealed yet.
    pub sealer: Sealer,
    /// For nonces and jitter.
    pub random: Box<dyn CryptoRng + Send>,
}

/// The engine. See the [module](self).
pub struct Engine {
    config: LeviConfig,
    batcher: Batcher,
    store: Box<dyn OutboxStore>,
    session_store: Arc<dyn SessionStore>,
    sealer: Sealer,
    random: Box<dyn CryptoRng + Send>,
    uncommitted: Uncommitted,
    receipts: Receipts,
    flights: HashMap<BatchId, Vec<Sent>>,
    /// The rows of the batches answered in this turn: some may be parked.
    parkable: Vec<Sent>,
    /// The outbox's last failure, until a commit goes through.
    outbox_error: Option<Arc<OutboxError>>,
    status: Status,
    /// Whether the status may differ from what was last shown.
    changed: bool,
    /// Whether a commit went through since.
    committed: bool,
    stop_at: Option<Monotonic>,
}

/// Does what the engine decided, outside of it.
type Perform<'a> = &'a mut dyn FnMut(Effect);

/// A row under way, or about to be.
struct Sent {
    row: RowId,
    session_id: SessionId,
    sequence_number: i64,
    message_id: MessageId,
}

impl Sent {
    /// A row that is still wrapped.
    fn at_rest(row: RowId, wrapped: &NewRow) -> Self {
        Self {
            row,
            session_id: wrapped.session_id.clone(),
            sequence_number: wrapped.sequence_number,
            message_id: wrapped.message_id.clone(),
        }
    }

    fn report(&self, delivery: Delivery) -> DeliveryReport {
        DeliveryReport {
            session_id: self.session_id.clone(),
            sequence_number: self.sequence_number,
            message_id: self.message_id.clone(),
            delivery,
        }
    }
}

impl Engine {
    /// An engine on an open outbox, with nobody signed in.
    pub fn new(parts: EngineParts) -> Self {
        let EngineParts { config, outbox, session_store, sealer, random } = parts;
        Self {
            batcher: Batcher::new(config.clone()),
            config,
            store: outbox,
            session_store,
            sealer,
            random,
            uncommitted: Uncommitted::default(),
            receipts: Receipts::default(),
            flights: HashMap::new(),
            parkable: Vec::new(),
            outbox_error: None,
            status: Status::default(),
            changed: true,
            committed: false,
            stop_at: None,
        }
    }

    /// Takes in what happened and says what is to be done outside.
    pub fn turn(&mut self, now: Now, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.turn_with(now, events, &mut |effect| effects.push(effect));
        effects
    }

    /// As [`turn`](Self::turn), but hands each effect to `perform` as soon as it is decided, so that a request is
    /// on its way while the disk takes what the turn commits.
    pub fn turn_with(&mut self, now: Now, events: impl IntoIterator<Item = Event>, perform: Perform<'_>) {
        for event in events {
            self.changed = true;
            self.take(now, event);
        }
        if self.batcher.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            self.changed = true;
            self.batcher.handle_timeout(now);
        }
        self.run(now, perform);
        self.parkable.clear();
        // Refusals that change nothing on disk, or that a failing disk holds up: told now, and not hoarded.
        let reports = std::mem::take(&mut self.uncommitted.reports);
        self.record(&reports);
        if self.stop_at.is_some_and(|deadline| deadline <= now.monotonic) {
            // A disk that works again keeps what was accepted while it failed.
            self.try_to_commit(now, perform);
        }
        self.status.next_attempt =
            self.batcher.poll_timeout().map(|at| now.wall.after(at.since(now.monotonic)));
    }

    /// Tells those who wait for a row what became of it. Called after the status was shown, so that they find
    /// there what they are told.
    pub fn announce(&mut self) {
        self.receipts.announce();
    }

    /// When [`turn`](Self::turn) must be called even if nothing happens. `None`: not before something does.
    pub fn timeout(&self) -> Option<Monotonic> {
        [self.batcher.poll_timeout(), self.stop_at].into_iter().flatten().min()
    }

    /// Whether a stop was asked for and all that could be done is done, or its time is over.
    pub fn is_finished(&self, now: Now) -> bool {
        let Some(deadline) = self.stop_at else { return false };
        let drained = self.batcher.is_drained() && self.uncommitted.is_empty();
        drained || deadline <= now.monotonic
    }

    /// The outbox was damaged when it was opened, and this is what became of it.
    pub fn salvaged(&mut self, report: SalvageReport) {
        tracing::error!("{report}");
        self.status.salvaged = Some(report);
        self.changed = true;
    }

    /// Messages accepted by `enqueue` that are not on disk.
    pub fn not_stored(&self) -> usize {
        self.uncommitted.held()
    }

    /// The present status, if it may have changed since it was last asked for.
    pub fn status_if_changed(&mut self) -> Option<Status> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        // A failing outbox keeps the counts of before; the failure itself is in the status.
        let committed = std::mem::take(&mut self.committed);
        let at_hand = if committed { self.store.totals_as_committed() } else { None };
        if let Some(totals) = at_hand.or_else(|| self.store.totals().ok()) {
            self.status.totals = totals;
        }
        (self.status.requests_in_flight, self.status.rows_in_flight) = self.batcher.in_flight();
        self.status.paused = self.batcher.paused();
        self.status.held_in_memory = self.uncommitted.held();
        self.status.outbox_failure = self.outbox_error.as_deref().map(commit::reason_of);
        Some(self.status.clone())
    }

    fn take(&mut self, now: Now, event: Event) {
        match event {
            Event::Enqueue(intake) => self.take_in(now, intake),
            Event::Outcome { batch, result } => self.outcome(now, batch, result),
            Event::TaskEnded { task, end } => {
                let draw = self.draw();
                let (name, version, attempts) = (task.name, task.version, task.attempts);
                self.batcher.handle(now, Input::TaskEnded { name, version, attempts, end, draw });
            }
            Event::PutTasks { tasks, reply } => self.take_tasks(tasks, reply),
            Event::Barrier(reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(());
            }
            Event::Watch { receipt, reply } => {
                self.receipts.watch(&*self.store, receipt.key.id, reply);
            }
            Event::SignInStored => self.batcher.handle(now, Input::SignInStored),
            Event::SignedIn => self.batcher.handle(now, Input::SignedIn),
            Event::SignedOut => self.batcher.handle(now, Input::SignedOut),
            Event::RefreshFailed { transient } => {
                let draw = self.draw();
                self.batcher.handle(now, Input::RefreshFailed { transient, draw });
            }
            Event::KeyArrived(session_id) => {
                self.uncommitted.change(Change::RetrySession { session_id, at: now.wall });
                self.uncommitted.wakes = true;
            }
            Event::WrittenElsewhere => {
                self.receipts.check_all(&*self.store);
                self.batcher.handle(now, Input::Wake(Touched::Anything));
            }
            Event::NetworkChanged => self.batcher.handle(now, Input::NetworkChanged),
            Event::Stop { within } => {
                self.stop_at = Some(now.monotonic.after(within));
                self.batcher.handle(now, Input::Stop);
            }
        }
    }

    fn outcome(&mut self, now: Now, batch: BatchId, result: Result<(), ApiError>) {
        let sent = self.flights.remove(&batch).unwrap_or_default();
        let culprits = match &result {
            Ok(()) => {
                self.accepted(&sent);
                Vec::new()
            }
            Err(error) => self.failed(now, &sent, error),
        };
        let draw = self.draw();
        self.parkable.extend(sent);
        self.batcher.handle(now, Input::Outcome { batch, result, culprits, draw });
    }

    fn accepted(&mut self, sent: &[Sent]) {
        self.status.batches_accepted += 1;
        self.status.rows_accepted += sent.len() as u64;
        self.status.last_error = None;
        tracing::debug!(rows = sent.len(), "batch accepted");
        self.uncommitted.reports.extend(sent.iter().map(|row| row.report(Delivery::Sent)));
    }

    /// Returns the sessions that the error names.
    fn failed(&mut self, now: Now, sent: &[Sent], error: &ApiError) -> Vec<SessionId> {
        self.status.batches_failed += 1;
        tracing::debug!(rows = sent.len(), code = error.code, verdict = ?error.verdict, "batch refused");
        self.status.last_error =
            Some(LastError { verdict: error.verdict, code: error.code.clone(), at: now.wall });
        // Without a sign-in the rows just wait: that is not a failure of theirs.
        if error.verdict != Verdict::SignedOut {
            let failed = || Delivery::Failed { code: error.code.clone() };
            self.uncommitted.reports.extend(sent.iter().map(|row| row.report(failed())));
        }
        let mut sessions: Vec<SessionId> = sent.iter().map(|row| row.session_id.clone()).collect();
        sessions.dedup();
        offenders(error, &sessions).into_iter().cloned().collect()
    }

    /// A random number in `[0, 1)`, for jitter.
    fn draw(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
