//! The shell around the engine: the one place that owns threads, channels, the clock and the random source.
//! The engine's thread sleeps until something happens or the engine's next deadline; requests run on tokio, and a second
//! thread tells crowds of callers that their messages are on disk.

mod inbox;
mod outside;
mod tasks;
mod teller;
mod thread;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::{OutboxStore, SalvageReport};
use levi_transport::Supabase;
use levi_types::{Auth, Clock, MessageSyncRequest, SessionId, SessionStore, SyncContext};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tokio::sync::{Semaphore, TryAcquireError, oneshot, watch};

use self::inbox::{Closed, Inbox};
use self::outside::Outside;
use self::tasks::Tasks;
use self::thread::Thread;
use crate::config::{LeviConfig, QUEUE_OVERHEAD};
use crate::engine::{Engine, EngineParts, Event, Intake, Receipt};
use crate::error::{EnqueueError, StartError, SyncedError};
use crate::sealer::{Message, Sealer};
use crate::secrets_cache::SecretsCache;
use crate::session_sync::TaskOutbox;
use crate::status::Status;

/// Takes messages. Implemented by whatever can sync them, so that the rest of a daemon need not know what does.
pub trait MessageSyncer: Send + Sync {
    /// Hands a message over; it is stored and sent in the background, never in the clear.
    ///
    /// # Errors
    /// [`EnqueueError`]; the message was not taken.
    fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError>;
}

/// What is opened when the worker starts.
pub struct Opened {
    /// Where rows wait.
    pub outbox: Box<dyn OutboxStore>,
    /// What became of an outbox that was damaged.
    pub salvaged: Option<SalvageReport>,
    /// Where they go.
    pub supabase: Arc<dyn Supabase>,
    /// Where fresh tokens come from; `None`: only `set_context` brings them.
    pub auth: Option<Arc<dyn Auth>>,
}

/// Opens what the worker needs, when it starts.
pub type Opener = Box<dyn FnOnce() -> Result<Opened, StartError> + Send>;

/// What a worker is made of.
pub struct WorkerParts {
    /// How to batch and retry.
    pub config: LeviConfig,
    /// Opens the outbox and the way to the server.
    pub open: Opener,
    /// The daemon's own record.
    pub session_store: Arc<dyn SessionStore>,
    /// Session keys, in memory only.
    pub cache: SecretsCache,
    /// What wraps messages whose session key is not known.
    pub database_key: Option<DatabaseKey>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
}

/// What a shutdown left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Messages still in the outbox; the next start sends them.
    pub pending: u64,
    /// Messages set aside.
    pub parked: u64,
    /// Messages accepted by `enqueue` (not `enqueue_durable`) that never reached the disk. They are lost.
    pub not_stored: usize,
}

/// The message sync worker. Dropping the last handle stops it; what was accepted is stored first.
pub struct Worker {
    shared: Arc<Shared>,
    /// What `start` takes.
    open: Mutex<Option<Opener>>,
}

/// What handles and the thread's helpers have in common.
pub(crate) struct Shared {
    config: LeviConfig,
    inbox: Arc<Inbox>,
    queue: Arc<Semaphore>,
    accepting: AtomicBool,
    /// Whether there is, or was, a thread that empties the inbox.
    started: AtomicBool,
    clock: Arc<dyn Clock>,
    session_store: Arc<dyn SessionStore>,
    /// Messages are sealed by whoever hands them in, beside the thread that waits for the disk.
    sealer: Sealer,
    outside: Arc<Outside>,
    status: watch::Sender<Status>,
    ended: watch::Sender<Option<ShutdownReport>>,
}

impl Worker {
    /// A worker at rest: nothing is opened before [`start`](Self::start).
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { config, open, session_store, cache, database_key, clock } = parts;
        let inbox = Arc::new(Inbox::default());
        let shared = Shared {
            queue: Arc::new(Semaphore::new(config.max_queued_bytes.min(Semaphore::MAX_PERMITS))),
            outside: Arc::new(Outside::new(Arc::clone(&inbox))),
            inbox,
            config,
            accepting: AtomicBool::new(false),
            started: AtomicBool::new(false),
            clock,
            sealer: Sealer::new(cache, Arc::clone(&session_store), database_key),
            session_store,
            status: watch::Sender::new(Status::default()),
            ended: watch::Sender::new(None),
        };
        Self { shared: Arc::new(shared), open: Mutex::new(Some(open)) }
    }

    /// Opens the outbox and starts the worker's thread. Must be called where tokio runs.
    ///
    /// # Errors
    /// [`StartError`]. After an error other than `NoRuntime` make a new worker.
    pub fn start(&self) -> Result<(), StartError> {
        self.shared.config.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let open = lock(&self.open).take().ok_or(StartError::AlreadyStarted)?;
        self.open(runtime, open).inspect_err(|_| {
            // Nobody waits for a thread that never ran.
            self.shared.inbox.close();
            self.shared.ended.send_replace(Some(ShutdownReport::default()));
        })
    }

    fn open(&self, runtime: tokio::runtime::Handle, open: Opener) -> Result<(), StartError> {
        let Opened { outbox, salvaged, supabase, auth } = open()?;
        let shared = &self.shared;
        let mut engine = Engine::new(EngineParts {
            config: shared.config.clone(),
            outbox,
            session_store: Arc::clone(&shared.session_store),
            sealer: shared.sealer.clone(),
            random: Box::new(UnwrapErr(SysRng)),
        });
        if let Some(report) = salvaged {
            engine.salvaged(report);
        }
        // What waits from the last time is known from the first moment on.
        if let Some(status) = engine.status_if_changed() {
            shared.status.send_replace(status);
        }
        shared.outside.open(runtime, supabase, auth);
        Thread::spawn(engine, Arc::clone(shared))?;
        shared.started.store(true, Ordering::Release);
        shared.accepting.store(true, Ordering::Release);
        shared.outside.sign_in_from_store();
        Ok(())
    }

    /// Hands a message over; it is stored and sent in the background. Where its session's key is in memory it is sealed
    /// here, on the caller's thread. A session's messages keep the order in which they are handed in one after the
    /// other; handed in by several threads at once, any of them may be first.
    ///
    /// `Ok` means accepted, not yet on disk: a crash within the next moment may lose it. Use
    /// [`enqueue_durable`](Self::enqueue_durable) where that matters.
    ///
    /// # Errors
    /// [`EnqueueError`]; the message was not taken.
    pub fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError> {
        let cost = self.admit(&request)?;
        self.refuse_if_outbox_full(&request)?;
        let permit = match Arc::clone(&self.shared.queue).try_acquire_many_owned(cost) {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => {
                return Err(EnqueueError::QueueFull { limit: self.shared.config.max_queued_bytes });
            }
            Err(TryAcquireError::Closed) => return Err(EnqueueError::Stopped),
        };
        let message = self.hand_in(request)?;
        self.push(Intake { message, permit: Some(permit), reply: None })
    }

    /// Hands a message over and returns once it is on disk. Where the queue is full, it waits for room. Sealing and order
    /// as for [`enqueue`](Self::enqueue).
    ///
    /// # Errors
    /// [`EnqueueError`]; the message is not on disk.
    pub async fn enqueue_durable(&self, request: MessageSyncRequest) -> Result<Receipt, EnqueueError> {
        let cost = self.admit(&request)?;
        // Before the wait: whoever has got room takes it at once, so that a short message does not overtake a long one
        // that is still being sealed.
        let message = self.hand_in(request)?;
        let permit = Arc::clone(&self.shared.queue).acquire_many_owned(cost).await;
        let permit = Some(permit.map_err(|_| EnqueueError::Stopped)?);
        let (reply, stored) = oneshot::channel();
        self.push(Intake { message, permit, reply: Some(reply) })?;
        stored.await.unwrap_or(Err(EnqueueError::Stopped))
    }

    /// Returns once Supabase has the message of this receipt (or a later payload that replaced it).
    ///
    /// # Errors
    /// [`SyncedError`] where it was set aside, or Levi stopped first.
    pub async fn synced(&self, receipt: &Receipt) -> Result<(), SyncedError> {
        let (reply, synced) = oneshot::channel();
        let watch = Event::Watch { receipt: receipt.clone(), reply };
        self.shared.inbox.push(watch).map_err(|Closed| SyncedError::Stopped)?;
        synced.await.unwrap_or(Err(SyncedError::Stopped))
    }

    /// Hands over the token of the signed-in user. Sending begins, or goes on with it.
    pub fn set_context(&self, context: SyncContext) {
        self.shared.outside.set_context(context);
    }

    /// Takes the token away, on sign-out. At most the requests already under way still go through.
    pub fn clear_context(&self) {
        self.shared.outside.clear_context();
    }

    /// The network may be back: forget delays and try now. Attempts stay counted.
    ///
    /// Where the sign-in was refused and `auth` was given, the stored sign-in is looked at again: somebody may
    /// have signed in beside this process.
    pub fn network_changed(&self) {
        self.shared.outside.sign_in_from_store();
        self.tell(Event::NetworkChanged);
    }

    /// A session's secret is in the session store now: seal and send what waited for it.
    pub fn secret_arrived(&self, session: &SessionId) {
        self.tell(Event::KeyArrived(session.clone()));
    }

    /// Rows were written to the outbox by somebody else (`enqueue_in`): look for them.
    pub fn written_elsewhere(&self) {
        self.tell(Event::WrittenElsewhere);
    }

    /// The same for a thread of its own that hears of it.
    pub fn on_written_elsewhere(&self) -> impl Fn() + Send + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                let _ = shared.inbox.push(Event::WrittenElsewhere);
            }
        }
    }

    /// What Levi is doing now.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Tells whenever the status changes.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Stops intake, sends what can be sent until `deadline` is over, and says what stays in the outbox.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.shared.accepting.store(false, Ordering::Release);
        self.shared.queue.close();
        if lock(&self.open).take().is_some() {
            return ShutdownReport::default();
        }
        self.tell(Event::Stop { within: deadline });
        let mut ended = self.shared.ended.subscribe();
        // The sender lives in `self`, so the wait ends with the thread.
        let report = ended.wait_for(Option::is_some).await.ok().and_then(|report| *report);
        report.unwrap_or_default()
    }

    /// Session sync that records its steps in this worker's outbox.
    pub fn task_outbox(&self) -> Arc<dyn TaskOutbox> {
        Arc::new(Tasks::of(&self.shared))
    }

    /// What a message costs the queue, if it can be taken at all.
    fn admit(&self, request: &MessageSyncRequest) -> Result<u32, EnqueueError> {
        let shared = &self.shared;
        if !shared.accepting.load(Ordering::Acquire) {
            let started = lock(&self.open).is_none();
            return Err(if started { EnqueueError::Stopped } else { EnqueueError::NotStarted });
        }
        request.check(shared.config.max_message_bytes)?;
        if !shared.sealer.can_seal(&request.session_id) {
            return Err(EnqueueError::NoKey { session_id: request.session_id.clone() });
        }
        Ok(u32::try_from(request.content.len().saturating_add(QUEUE_OVERHEAD)).unwrap_or(u32::MAX))
    }

    /// Nobody waits for the disk's own refusal, so a message that it is bound to refuse is refused here: sealed, it
    /// is longer than its content. Few get past this while the status is not yet up to date; those are reported to
    /// the session store.
    fn refuse_if_outbox_full(&self, request: &MessageSyncRequest) -> Result<(), EnqueueError> {
        let totals = self.shared.status.borrow().totals;
        let pending_bytes = totals.pending_bytes.saturating_add(totals.parked_bytes);
        let limit = self.shared.config.max_pending_bytes;
        if pending_bytes.saturating_add(request.content.len() as u64) > limit {
            return Err(EnqueueError::OutboxFull { pending_bytes, limit });
        }
        Ok(())
    }

    fn hand_in(&self, request: MessageSyncRequest) -> Result<Message, EnqueueError> {
        let at = self.shared.clock.now().wall;
        self.shared.sealer.hand_in(request, at, &mut UnwrapErr(SysRng))
    }

    fn push(&self, intake: Intake) -> Result<(), EnqueueError> {
        self.shared.inbox.push(Event::Enqueue(intake)).map_err(|Closed| EnqueueError::Stopped)
    }

    /// Tells the thread, if there is one: a worker that has ended has nothing to do with it.
    fn tell(&self, event: Event) {
        let _ = self.shared.inbox.push(event);
    }
}

impl MessageSyncer for Worker {
    fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError> {
        Self::enqueue(self, request)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.inbox.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after a panic: every change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
