//! An engine on an in-memory outbox, driven by hand: virtual time, and a server that is a closure.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of the harness")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levi_core::batcher::{BatchId, Input};
use levi_core::engine::{ControlIntake, Effect, Engine, EngineParts, Event, Intake, Sealer, Stored, Tried};
use levi_core::{EnqueueError, LeviConfig, Receipt, SecretsCache, SendError, Status, SyncError};
use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::memory::MemoryOutbox;
use levi_outbox::{LaneKey, NewRow, OutboxStore, Overwrite};
use levi_testkit::clock::VirtualClock;
use levi_transport::{ApiError, Upsert, Verdict};
use levi_types::{
    Clock, CodingSession, DeliveryReport, MessageSyncRequest, PortErrorKind, ReceivedSecret, Repository,
    RepositoryId, SecretString, SessionId, SessionStore, StoreError, UserId,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::sync::oneshot;

/// A row of a request, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Row {
    pub session_id: String,
    pub sequence_number: i64,
    pub content_nonce: String,
}

/// Secrets that may come later, and everything that was reported.
#[derive(Default)]
pub struct Store {
    pub secrets: Mutex<HashMap<SessionId, SecretString>>,
    pub sessions: Mutex<HashMap<SessionId, CodingSession>>,
    pub reports: Mutex<Vec<DeliveryReport>>,
    /// The secrets that sessions had before.
    pub earlier: Mutex<HashMap<SessionId, SecretString>>,
    /// Whether it cannot say which sessions there are, nor what they had before.
    pub is_locked: AtomicBool,
}

impl Store {
    fn check(&self) -> Result<(), StoreError> {
        match self.is_locked.load(Ordering::Relaxed) {
            true => Err(StoreError::new(PortErrorKind::Unavailable, "locked")),
            false => Ok(()),
        }
    }
}

impl SessionStore for Store {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        Ok(self.secrets.lock().unwrap().get(session).cloned())
    }
    fn repository(&self, _: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        Ok(None)
    }
    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        self.check()?;
        Ok(self.sessions.lock().unwrap().get(session).cloned())
    }
    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
        self.reports.lock().unwrap().extend_from_slice(reports);
        Ok(())
    }
    fn received_secrets(&self, _: &UserId, session: &SessionId) -> Result<Vec<ReceivedSecret>, StoreError> {
        self.check()?;
        let earlier = self.earlier.lock().unwrap().get(session).cloned();
        Ok(earlier.into_iter().map(|secret| ReceivedSecret { secret, sender: None }).collect())
    }
}

pub struct Harness {
    pub engine: Engine,
    pub sealer: Sealer,
    pub cache: SecretsCache,
    nonces: StdRng,
    pub clock: Arc<VirtualClock>,
    pub store: Arc<Store>,
    /// Requests in flight.
    pub open: Vec<(BatchId, Vec<Row>)>,
    /// Control rows in flight.
    pub control: Vec<(BatchId, LaneKey)>,
    status: Status,
    pub refreshes: u32,
    /// What the server took: the order of arrival, for each session.
    pub arrived: BTreeMap<String, Vec<i64>>,
    pub requests: usize,
}

impl Harness {
    /// Signed in, with nothing to do.
    pub fn new(config: LeviConfig) -> Self {
        let outbox = MemoryOutbox::new(config.max_pending_bytes);
        Self::on(outbox, config)
    }

    /// The same on an outbox of the test's own.
    pub fn on(outbox: impl OutboxStore + 'static, config: LeviConfig) -> Self {
        let store = Arc::new(Store::default());
        let session_store = Arc::clone(&store) as Arc<dyn SessionStore>;
        let database_key = Some(DatabaseKey::from_bytes([7; 32]));
        let cache = SecretsCache::new();
        let sealer = Sealer::new(cache.clone(), Arc::clone(&session_store), database_key);
        let engine = Engine::new(EngineParts {
            outbox: Box::new(outbox),
            config,
            session_store,
            sealer: sealer.clone(),
            random: Box::new(StdRng::seed_from_u64(1)),
        });
        let mut harness = Self {
            engine,
            sealer,
            cache,
            nonces: StdRng::seed_from_u64(3),
            clock: Arc::new(VirtualClock::default()),
            store,
            open: Vec::new(),
            control: Vec::new(),
            status: Status::default(),
            refreshes: 0,
            arrived: BTreeMap::new(),
            requests: 0,
        };
        harness.input(Input::SignedIn);
        harness
    }

    pub fn session(&mut self, name: &str) -> SessionId {
        let secret = SessionSecret::generate(&mut StdRng::seed_from_u64(2));
        let id = SessionId::from(name);
        self.store.secrets.lock().unwrap().insert(id.clone(), secret.expose().into());
        id
    }

    pub fn enqueue(&mut self, session: &SessionId, sequence_number: i64) -> Result<Receipt, EnqueueError> {
        self.enqueue_all(session, [sequence_number]).remove(0)
    }

    /// Enqueues messages in one transaction.
    pub fn enqueue_all(
        &mut self,
        session: &SessionId,
        sequence_numbers: impl IntoIterator<Item = i64>,
    ) -> Vec<Result<Receipt, EnqueueError>> {
        let (events, replies): (Vec<_>, Vec<_>) =
            sequence_numbers.into_iter().map(|number| self.intake(session, number)).unzip();
        self.turn(events);
        replies.into_iter().map(|mut reply| reply.try_recv().unwrap()).collect()
    }

    /// A message as it waits in the queue: sealed with the keys that are known now.
    pub fn intake(
        &mut self,
        session: &SessionId,
        sequence_number: i64,
    ) -> (Event, oneshot::Receiver<Stored>) {
        let (reply, stored) = oneshot::channel();
        let request = MessageSyncRequest {
            message_id: format!("m{sequence_number}").as_str().into(),
            session_id: session.clone(),
            sequence_number,
            content: format!("content {sequence_number}"),
        };
        let message = self
            .sealer
            .prepare(request, Overwrite::OwnOnly, self.clock.now().wall, &mut self.nonces)
            .unwrap();
        (
            Event::Enqueue(Intake {
                message,
                permit: None,
                reply: Some(reply),
                overwrite: Overwrite::OwnOnly,
            }),
            stored,
        )
    }

    pub fn tell(&mut self, event: Event) {
        self.turn(vec![event]);
    }

    /// A turn because time has passed.
    pub fn tell_nothing(&mut self) {
        self.turn(Vec::new());
    }

    fn turn(&mut self, events: Vec<Event>) {
        let effects = self.engine.turn(self.clock.now(), events);
        self.status = self.engine.status_if_changed().unwrap_or_else(|| self.status.clone());
        self.engine.announce();
        for effect in effects {
            match effect {
                Effect::Send { batch, insert, .. } => self.open.push((batch, rows(&insert))),
                Effect::Refresh => self.refreshes += 1,
                Effect::Awake => {}
                Effect::SendControl { batch, key, .. } => self.control.push((batch, key)),
                Effect::Complete(committed) => committed.complete(),
            }
        }
    }

    /// Answers the oldest open request.
    pub fn answer(&mut self, server: impl FnOnce(&[Row]) -> Result<(), ApiError>) {
        let (batch, rows) = self.open.remove(0);
        self.requests += 1;
        let result = server(&rows);
        if result.is_ok() {
            for row in &rows {
                self.arrived.entry(row.session_id.clone()).or_default().push(row.sequence_number);
            }
        }
        self.input(Input::Outcome { batch, result: result.map_err(SendError::Api) });
    }

    /// Answers and waits until nothing is open and nothing will happen by itself within `patience`.
    pub fn settle(&mut self, patience: Duration, mut server: impl FnMut(&[Row]) -> Result<(), ApiError>) {
        let until = self.clock.now().monotonic.after(patience);
        loop {
            while !self.open.is_empty() {
                self.answer(&mut server);
            }
            match self.engine.timeout() {
                Some(at) if at <= until => {
                    self.clock.advance_to(at);
                    self.turn(Vec::new());
                }
                _ => return,
            }
        }
    }

    pub fn status(&self) -> Status {
        self.status.clone()
    }

    pub fn input(&mut self, input: Input) {
        self.tell(Event::Input(input));
    }

    /// Enqueues the control row of a lane.
    pub fn enqueue_control(&mut self, lane: LaneKey, parent: Option<LaneKey>) -> oneshot::Receiver<Tried> {
        self.enqueue_control_row(NewRow::control(lane, parent, b"{}".to_vec(), self.clock.now().wall))
    }

    pub fn enqueue_control_row(&mut self, row: NewRow) -> oneshot::Receiver<Tried> {
        let (reply, tried) = oneshot::channel();
        let rows = vec![ControlIntake { row, reply }];
        self.tell(Event::EnqueueControl { rows, within: Duration::from_secs(60) });
        tried
    }

    /// The oldest control row in flight was not done for a reason on this side.
    pub fn end_control_here(&mut self, error: SyncError) -> LaneKey {
        let (batch, lane) = self.control.remove(0);
        self.input(Input::Outcome { batch, result: Err(error.into()) });
        lane
    }

    /// Ends the oldest control row in flight.
    pub fn end_control(&mut self, result: Result<(), ApiError>) -> LaneKey {
        let (batch, lane) = self.control.remove(0);
        self.input(Input::Outcome { batch, result: result.map_err(SendError::Api) });
        lane
    }
}

fn rows(upsert: &Upsert) -> Vec<Row> {
    serde_json::from_slice(&upsert.body).unwrap()
}

pub fn accepted() -> Result<(), ApiError> {
    Ok(())
}

pub fn failed(verdict: Verdict, code: &str) -> Result<(), ApiError> {
    Err(ApiError::new(verdict, code, ""))
}
