//! The worker around the engine: the one place that owns threads, channels, the clock and the random source.
//! The engine thread sleeps until something happens or until the engine's next deadline; requests run on
//! tokio. If another full transaction is already queued, callers are completed on a second thread so that the
//! engine thread can start that transaction.

mod completer;
mod completion_guard;
mod control_queue;
mod device_list_watch;
mod dispatcher;
mod engine_thread;
mod inbox;
mod message_syncer;
mod recently_sent;
mod recovery_envelopes;
mod refresh;
mod shutdown;
mod sign_in_changes;
mod signed_in;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::{OutboxStore, Overwrite, RecoveryReport};
use levi_transport::Supabase;
use levi_types::{Auth, Clock, MessageSyncRequest, SessionId, SessionStore, SyncContext};
use tokio::sync::{Semaphore, TryAcquireError, oneshot, watch};

use self::control_queue::WorkerQueue;
use self::device_list_watch::DeviceListWatch;
use self::dispatcher::Dispatcher;
use self::engine_thread::EngineThread;
use self::inbox::{Closed, Inbox};
pub use self::message_syncer::MessageSyncer;
pub use self::shutdown::ShutdownReport;
use crate::batcher::Input;
use crate::config::{LeviConfig, QUEUE_OVERHEAD};
use crate::control::ControlQueue;
use crate::device_list::SignedDeviceList;
use crate::engine::{Engine, EngineParts, Event, Intake, Receipt};
use crate::error::{EnqueueError, StartError, SyncedError};
use crate::random::SystemRandom;
use crate::sealer::{Message, Sealer};
use crate::secrets_cache::SecretsCache;
use crate::status::Status;

/// What is opened when the worker starts.
pub struct Opened {
    /// The queue on disk.
    pub outbox: Box<dyn OutboxStore>,
    /// What was recovered from an outbox that was damaged.
    pub recovered: Option<RecoveryReport>,
    /// The server.
    pub supabase: Arc<dyn Supabase>,
    /// The source of fresh tokens; `None`: only `set_context` brings them.
    pub auth: Option<Arc<dyn Auth>>,
}

/// Opens what the worker needs, when it starts.
pub type Opener = Box<dyn FnOnce() -> Result<Opened, StartError> + Send>;

/// What a worker is made of.
pub struct WorkerParts {
    /// The batching, retry and size settings.
    pub config: LeviConfig,
    /// Opens the outbox and the connection to the server.
    pub open: Opener,
    /// The daemon's own store.
    pub session_store: Arc<dyn SessionStore>,
    /// Session keys, in memory only.
    pub cache: SecretsCache,
    /// The key for messages whose session's key is not known.
    pub database_key: Option<DatabaseKey>,
    /// The monotonic and the wall clock.
    pub clock: Arc<dyn Clock>,
    /// The user's signed device list, with the same cache; `None`: messages are sealed in version 1.
    pub device_list: Option<SignedDeviceList>,
}

/// The message sync worker. Dropping the last handle stops it; messages that were accepted are stored first.
pub struct Worker {
    shared: Arc<Shared>,
    /// What `start` takes.
    open: Mutex<Option<Opener>>,
}

/// What the handle, the engine thread and the requests share.
pub(crate) struct Shared {
    config: LeviConfig,
    inbox: Arc<Inbox>,
    queue: Arc<Semaphore>,
    accepting: AtomicBool,
    /// Whether the engine thread was started.
    started: AtomicBool,
    clock: Arc<dyn Clock>,
    session_store: Arc<dyn SessionStore>,
    /// Seals messages on the caller's thread, because the engine thread waits for the disk.
    sealer: Sealer,
    /// Set at the start.
    random: OnceLock<SystemRandom>,
    dispatcher: Arc<Dispatcher>,
    status: watch::Sender<Status>,
    ended: watch::Sender<Option<ShutdownReport>>,
}

impl Worker {
    /// A worker that is not started: nothing is opened before [`start`](Self::start).
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { config, open, session_store, cache, database_key, clock, device_list } = parts;
        let inbox = Arc::new(Inbox::default());
        let sealer = Sealer::new(cache.clone(), Arc::clone(&session_store), database_key)
            .with_device_list(device_list.clone());
        let shared = Shared {
            queue: Arc::new(Semaphore::new(config.max_queued_bytes.min(Semaphore::MAX_PERMITS))),
            dispatcher: Arc::new(Dispatcher::new(
                Arc::clone(&inbox),
                cache,
                &sealer,
                Arc::clone(&session_store),
                Arc::clone(&clock),
                device_list.map(|list| DeviceListWatch::new(list, Arc::clone(&clock))),
            )),
            inbox,
            config,
            accepting: AtomicBool::new(false),
            started: AtomicBool::new(false),
            clock,
            sealer,
            session_store,
            random: OnceLock::new(),
            status: watch::Sender::new(Status::default()),
            ended: watch::Sender::new(None),
        };
        Self { shared: Arc::new(shared), open: Mutex::new(Some(open)) }
    }

    /// Opens the outbox and starts the engine thread. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]. After an error other than `NoRuntime` make a new worker.
    pub fn start(&self) -> Result<(), StartError> {
        self.shared.config.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let open = lock(&self.open).take().ok_or(StartError::AlreadyStarted)?;
        self.open(runtime, open).inspect_err(|_| {
            // No caller may wait for a thread that never ran.
            self.shared.inbox.close();
            self.shared.ended.send_replace(Some(ShutdownReport::default()));
        })
    }

    fn open(&self, runtime: tokio::runtime::Handle, open: Opener) -> Result<(), StartError> {
        let random = SystemRandom::new().map_err(|error| StartError::NoRandomness(Box::new(error)))?;
        let Opened { outbox, recovered, supabase, auth } = open()?;
        let shared = &self.shared;
        shared.dispatcher.last_user(outbox.user().ok().flatten().as_ref());
        let mut engine = Engine::new(EngineParts {
            config: shared.config.clone(),
            outbox,
            session_store: Arc::clone(&shared.session_store),
            sealer: shared.sealer.clone(),
            random: Box::new(random.clone()),
        });
        if let Some(report) = recovered {
            engine.recovered(report);
        }
        // The status shows what is pending from the last run at once.
        if let Some(status) = engine.status_if_changed() {
            shared.status.send_replace(status);
        }
        // Set once, because a worker starts once.
        let _ = shared.random.set(random);
        shared.dispatcher.open(runtime, supabase, auth);
        shared.dispatcher.watch_device_list();
        // Before anything is enqueued, which is recorded for this user.
        shared.dispatcher.name_stored_user();
        EngineThread::spawn(engine, Arc::clone(shared))?;
        shared.started.store(true, Ordering::Release);
        shared.accepting.store(true, Ordering::Release);
        shared.dispatcher.sign_in_from_store();
        Ok(())
    }

    /// Enqueues a message, to be stored and sent in the background. If its session's key is cached, it is sealed
    /// on the caller's thread. Messages of a session that one thread enqueues keep their order.
    ///
    /// `Ok` means accepted, not yet on disk: a crash within the next moment may lose the message. Use
    /// [`enqueue_durable`](Self::enqueue_durable) if that matters.
    ///
    /// # Errors
    /// [`EnqueueError`]; the message was not enqueued.
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
        let overwrite = Overwrite::OwnOnly;
        let message = self.prepare(request, overwrite)?;
        self.push(Intake { message, permit: Some(permit), reply: None, overwrite })
    }

    /// Enqueues a message and returns once it is on disk. If the queue is full, it waits for room. Sealing and
    /// order are as for [`enqueue`](Self::enqueue).
    ///
    /// # Errors
    /// [`EnqueueError`]; the message is not on disk.
    pub async fn enqueue_durable(&self, request: MessageSyncRequest) -> Result<Receipt, EnqueueError> {
        self.store_message(request, Overwrite::OwnOnly).await
    }

    /// As [`enqueue_durable`](Self::enqueue_durable), for a message that is to replace whatever text the server has at its
    /// place. The permission is stored with the message, and holds until the server has it.
    ///
    /// # Errors
    /// [`EnqueueError`]; the message is not on disk.
    pub async fn replace_durable(&self, request: MessageSyncRequest) -> Result<Receipt, EnqueueError> {
        self.store_message(request, Overwrite::Anything).await
    }

    /// The highest sequence number of a session that is known here: in the outbox, or sent as the session store records
    /// it. `None`: no message of the session is known.
    ///
    /// # Errors
    /// [`EnqueueError`] if the outbox cannot be read.
    pub async fn last_sequence_number(&self, session: &SessionId) -> Result<Option<i64>, EnqueueError> {
        let (reply, last) = oneshot::channel();
        let session = session.clone();
        let asked = self.shared.inbox.push(Event::LastNumber { session, reply });
        asked.map_err(|Closed| EnqueueError::Stopped)?;
        last.await.unwrap_or(Err(EnqueueError::Stopped))
    }

    async fn store_message(
        &self,
        request: MessageSyncRequest,
        overwrite: Overwrite,
    ) -> Result<Receipt, EnqueueError> {
        let cost = self.admit(&request)?;
        // Sealed before the wait for room, so that a short message does not overtake a long one that is still
        // being sealed.
        let message = self.prepare(request, overwrite)?;
        let permit = Arc::clone(&self.shared.queue).acquire_many_owned(cost).await;
        let permit = Some(permit.map_err(|_| EnqueueError::Stopped)?);
        let (reply, stored) = oneshot::channel();
        self.push(Intake { message, permit, reply: Some(reply), overwrite })?;
        stored.await.unwrap_or(Err(EnqueueError::Stopped))
    }

    /// Returns once Supabase has the message of this receipt (or a later payload that replaced it).
    ///
    /// # Errors
    /// [`SyncedError`] if the message was parked, or Levi stopped first.
    pub async fn synced(&self, receipt: &Receipt) -> Result<(), SyncedError> {
        let (reply, synced) = oneshot::channel();
        let watch = Event::Watch { receipt: receipt.clone(), reply };
        self.shared.inbox.push(watch).map_err(|Closed| SyncedError::Stopped)?;
        synced.await.unwrap_or(Err(SyncedError::Stopped))
    }

    /// Sets the token of the signed-in user. Sending begins, or goes on with it.
    ///
    /// If it is another user's than before, the rows of the one before are held: nothing happens to them until that
    /// user signs in again (`status().held`). A token that does not say whose it is (no JWT with a `sub`) is used
    /// only where nobody is known and nobody signed out; otherwise `status().paused` is
    /// [`PauseReason::UnknownUser`](crate::PauseReason::UnknownUser).
    pub fn set_context(&self, context: SyncContext) {
        self.shared.dispatcher.set_context(context);
    }

    /// Removes the token and every session key in memory, on sign-out. Only requests that are already in flight
    /// still succeed. What is enqueued before the next sign-in is recorded for the user who signed out.
    pub fn clear_context(&self) {
        self.shared.dispatcher.clear_context();
    }

    /// The network may be back: forget delays and try now. Attempts stay counted, and a wait that the server asked for
    /// (`Retry-After`) goes on.
    ///
    /// If the sign-in was refused, the stored one is read again, because the user may have signed in with
    /// another process.
    pub fn network_changed(&self) {
        self.shared.dispatcher.connections_may_be_dead();
        self.shared.dispatcher.sign_in_from_store();
        self.notify(Event::Input(Input::NetworkChanged));
    }

    /// A session's secret is in the session store now: seals and sends what waited for it.
    pub fn secret_arrived(&self, session: &SessionId) {
        self.notify(Event::KeyArrived(session.clone()));
    }

    /// Rows were written to the outbox past this worker (`enqueue_in`): looks for them. Another process may have signed in
    /// as well: if nobody is signed in here, the stored sign-in is read again. And it may have changed the device list.
    pub fn written_elsewhere(&self) {
        self.shared.dispatcher.sign_in_from_store();
        self.shared.dispatcher.list_may_have_changed();
        self.notify(Event::WrittenElsewhere);
    }

    /// [`written_elsewhere`](Self::written_elsewhere) as a function for another thread. It does not keep the worker
    /// alive.
    pub fn on_written_elsewhere(&self) -> impl Fn() + Send + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                shared.dispatcher.sign_in_from_store();
                shared.dispatcher.list_may_have_changed();
                let _ = shared.inbox.push(Event::WrittenElsewhere);
            }
        }
    }

    /// What Levi is doing now.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Receives every change of the status.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Stops intake, sends what can be sent within `deadline`, and returns what remains in the outbox. Requests that are
    /// in flight then are cancelled; their rows may have been written, and are sent again by the next start.
    ///
    /// If the disk or the daemon's session store does not answer either, it returns 2 s after the deadline all the same,
    /// with the counts of the last status. The outbox stays locked until they answer.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.shared.accepting.store(false, Ordering::Release);
        self.shared.queue.close();
        if lock(&self.open).take().is_some() {
            return ShutdownReport::default();
        }
        self.notify(Event::Stop { within: deadline });
        shutdown::ended(&self.shared, deadline).await
    }

    /// This worker's queue, for the control rows of session sync.
    pub fn control_queue(&self) -> Arc<dyn ControlQueue> {
        Arc::new(WorkerQueue::of(&self.shared))
    }

    /// The message's share of the queue in bytes, if it can be enqueued.
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

    /// No caller waits for the outbox's own refusal, so a message that it would refuse is refused here: sealed, it
    /// is longer than its content. A few may pass while the status is not up to date; those are reported to the
    /// session store.
    fn refuse_if_outbox_full(&self, request: &MessageSyncRequest) -> Result<(), EnqueueError> {
        let status = self.shared.status.borrow();
        let (totals, held_bytes) = (status.totals, status.held_bytes);
        drop(status);
        let limit = self.shared.config.max_pending_bytes;
        if totals.would_exceed(limit, held_bytes, request.content.len() as u64) {
            let all = totals.pending_bytes.saturating_add(totals.parked_bytes);
            let pending_bytes = all.saturating_sub(held_bytes);
            return Err(EnqueueError::OutboxFull { pending_bytes, held_bytes, limit });
        }
        Ok(())
    }

    fn prepare(&self, request: MessageSyncRequest, overwrite: Overwrite) -> Result<Message, EnqueueError> {
        let at = self.shared.clock.now().wall;
        let mut random = self.shared.random.get().cloned().ok_or(EnqueueError::NotStarted)?;
        self.shared.sealer.prepare(request, overwrite, at, &mut random)
    }

    fn push(&self, intake: Intake) -> Result<(), EnqueueError> {
        self.shared.inbox.push(Event::Enqueue(intake)).map_err(|Closed| EnqueueError::Stopped)
    }

    fn notify(&self, event: Event) {
        // After the engine thread has ended there is nothing to notify.
        let _ = self.shared.inbox.push(event);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic cannot leave these values half changed, because every change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
