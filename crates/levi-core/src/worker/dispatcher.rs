//! What the engine wants done outside its thread: requests and token refreshes. Each runs on tokio and
//! reports back through the inbox, even if it is cancelled or panics.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak, mpsc};
use std::time::Duration;

use levi_crypto::message::MessagePosition;
use levi_crypto::message_v2::Epoch;
use levi_outbox::LaneKey;
use levi_transport::rows::MessagePlace;
use levi_transport::{ApiError, Supabase, Upsert, Verdict, user_of_token};
use levi_types::{AccessToken, Auth, Clock, SessionStore, StoreError, SyncContext, UserId};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::completion_guard::CompletionGuard;
use super::device_list_watch::DeviceListWatch;
use super::inbox::Inbox;
use super::lock;
use super::recently_sent::{RecentlySent, Request};
use super::sign_in_changes::Comparisons;
use super::signed_in::{Connection, Context, SignedIn, Source, UsersSender};
use crate::batcher::{BatchId, Input};
use crate::control::{ControlSender, Presence};
use crate::engine::Event;
use crate::patient_store::PatientStore;
use crate::sealer::{PresentEpoch, Sealer};
use crate::secrets_cache::SecretsCache;
use crate::sync_error::{SendError, SyncError};
use crate::write_messages::{SentMessage, write_messages};

/// How long a start waits for the name of the user whose sign-in is stored.
const NAMED_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Dispatcher {
    pub(super) inbox: Arc<Inbox>,
    pub(super) context: Mutex<Context>,
    pub(super) cache: SecretsCache,
    sealer: Sealer,
    /// Its calls end, whether the store answers or not.
    session_store: Arc<dyn SessionStore>,
    pub(super) clock: Arc<dyn Clock>,
    /// Of the sign-in that is in use with the stored one.
    pub(super) comparisons: Comparisons,
    /// The user of whom the session store does not know yet that this one is signed in.
    untold: Mutex<Option<UserId>>,
    control_senders: Mutex<Vec<UsersSender>>,
    pub(super) connection: OnceLock<Connection>,
    device_list: Option<DeviceListWatch>,
    pub(super) recently_sent: RecentlySent,
    /// The tasks of the requests in flight.
    requests: Mutex<JoinSet<()>>,
}

impl Dispatcher {
    pub(super) fn new(
        inbox: Arc<Inbox>,
        cache: SecretsCache,
        sealer: &Sealer,
        session_store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        device_list: Option<DeviceListWatch>,
    ) -> Self {
        // A store that hangs holds neither a sign-in nor the requests on a runtime's threads.
        let session_store: Arc<dyn SessionStore> = Arc::new(PatientStore::new(session_store));
        let sealer = sealer.asking(Arc::clone(&session_store));
        Self {
            inbox,
            cache,
            sealer,
            session_store,
            clock,
            comparisons: Comparisons::default(),
            untold: Mutex::default(),
            context: Mutex::default(),
            control_senders: Mutex::default(),
            connection: OnceLock::new(),
            device_list,
            recently_sent: RecentlySent::default(),
            requests: Mutex::default(),
        }
    }

    /// Cancels the requests that are in flight: nobody waits for their outcome any more.
    pub(super) fn stop(&self) {
        lock(&self.requests).abort_all();
    }

    pub(super) fn spawn(&self, runtime: &Handle, request: impl Future<Output = ()> + Send + 'static) {
        let mut requests = lock(&self.requests);
        // Those that ended report by themselves.
        while requests.try_join_next().is_some() {}
        requests.spawn_on(request, runtime);
    }

    pub(super) fn open(
        self: &Arc<Self>,
        runtime: Handle,
        supabase: Arc<dyn Supabase>,
        auth: Option<Arc<dyn Auth>>,
    ) {
        // Called once, by `start`, which runs once.
        let _ = self.connection.set(Connection { runtime, supabase, auth: auth.clone() });
        if let Some(auth) = auth {
            let listener: Weak<Self> = Arc::downgrade(self);
            auth.tell(listener);
        }
    }

    pub(super) fn set_context(self: &Arc<Self>, context: SyncContext) {
        let SyncContext { access_token } = context;
        let user = user_of_token(&access_token);
        let input = match &user {
            Some(_) => Input::SignedIn,
            None if self.cache.is_nobodys() => Input::SignedInUnnamed,
            None => return self.clear(Input::UserUnknown),
        };
        let mut context = lock(&self.context);
        context.is_cleared = false;
        self.replace(context, Some(SignedIn { user, access_token, source: Source::Daemon }), input);
        self.look_at_devices();
    }

    pub(super) fn clear_context(&self) {
        self.clear(Input::SignedOut);
    }

    fn clear(&self, input: Input) {
        let mut context = lock(&self.context);
        context.is_cleared = true;
        self.replace(context, None, input);
    }

    /// What is recorded before anybody is named is that of the user who signed in last.
    pub(super) fn last_user(&self, user: Option<&UserId>) {
        user.into_iter().for_each(|user| self.cache.was_used_by(user));
        if let (Some(user), Some(list)) = (self.cache.user(), &self.device_list) {
            list.load(&user);
        }
    }

    pub(super) fn device_list(&self) -> Option<&DeviceListWatch> {
        self.device_list.as_ref()
    }

    /// Who is signed in with a token.
    pub(super) fn signed_in_user(&self) -> Option<UserId> {
        lock(&self.context).current.as_ref()?.user.clone()
    }

    /// What a request of the user who is signed in needs.
    pub(super) fn as_signed_in(&self) -> Option<(Arc<dyn Supabase>, UserId, AccessToken)> {
        let SignedIn { user, access_token, .. } = lock(&self.context).current.clone()?;
        Some((Arc::clone(&self.connection.get()?.supabase), user?, access_token))
    }

    /// Runs `request` until it ends or the worker stops.
    pub(super) fn spawn_request(&self, request: impl Future<Output = ()> + Send + 'static) {
        if let Some(connection) = self.connection.get() {
            self.spawn(&connection.runtime, request);
        }
    }

    /// Finds out whose the stored sign-in is, and waits for that a moment: what is enqueued next is recorded for this
    /// user. A keychain may take longer, or never answer. Nobody waits for it then, and the answer counts when it comes.
    pub(super) fn name_stored_user(self: &Arc<Self>) {
        let auth = self.connection.get().and_then(|connection| connection.auth.clone());
        let (Some(auth), dispatcher) = (auth, Arc::downgrade(self)) else { return };
        let (sender, named) = mpsc::channel();
        let name = move || {
            let user = auth.user_id();
            if let (Some(user), Some(dispatcher)) = (user, dispatcher.upgrade()) {
                dispatcher.stored_user_is(&user);
            }
            // The caller may have stopped waiting.
            let _ = sender.send(());
        };
        match std::thread::Builder::new().name("levi-sign-in".into()).spawn(name) {
            Ok(_) if named.recv_timeout(NAMED_WITHIN).is_err() => {
                tracing::warn!("whose the stored sign-in is could not be read so far");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("whose the stored sign-in is could not be read: {error}"),
        }
    }

    /// Unless the daemon named a user meanwhile, or a token came first.
    fn stored_user_is(&self, user: &UserId) {
        let context = lock(&self.context);
        if context.changes == 0 && context.current.is_none() {
            self.user_is(user);
        }
    }

    /// Tells the cache, the control senders, the session store and the batcher who is signed in. The caller holds the
    /// context's lock meanwhile, so that nothing is sent, sealed or recorded for the previous user.
    pub(super) fn user_is(&self, user: &UserId) {
        self.cache.signed_in(user);
        for unclaimed in lock(&self.control_senders).iter_mut().filter(|sender| sender.user.is_none()) {
            unclaimed.user = Some(unclaimed.sender.claim(user));
        }
        *lock(&self.untold) = Some(user.clone());
        if let Err(error) = self.tell_session_store() {
            tracing::warn!("the session store was not told who is signed in: {error}");
        }
        self.notify(Input::User(user.clone()));
    }

    /// Tells the session store who is signed in, unless it knows. Until then its answers may be about the previous
    /// user.
    fn tell_session_store(&self) -> Result<(), StoreError> {
        let mut untold = lock(&self.untold);
        if let Some(user) = &*untold {
            self.session_store.signed_in(user)?;
            *untold = None;
        }
        Ok(())
    }

    pub(super) fn set_control_sender(&self, sender: Arc<dyn ControlSender>) {
        // Within the lock: a user who signs in meanwhile claims it, and the batcher gets both in that order.
        let _context = lock(&self.context);
        let user = self.cache.user().map(|user| sender.claim(&user));
        let mut senders = lock(&self.control_senders);
        senders.retain(|known| known.user != user);
        senders.push(UsersSender { user: user.clone(), sender });
        drop(senders);
        self.notify(Input::ControlSenderReady(user));
    }

    pub(super) fn replace(&self, mut context: MutexGuard<'_, Context>, new: Option<SignedIn>, input: Input) {
        match &new {
            Some(SignedIn { user: Some(user), .. }) => self.user_is(user),
            Some(_) => {}
            None => self.cache.signed_out(),
        }
        context.current = new;
        context.changes += 1;
        // Within the lock: a request that is refused because the context is another user's now must not come
        // before the news.
        self.notify(input);
    }

    /// The network changed, or the machine slept: the next request makes a connection of its own.
    pub(super) fn connections_may_be_dead(&self) {
        if let Some(connection) = self.connection.get() {
            connection.supabase.close_idle();
        }
    }

    /// Adopts the stored sign-in if nobody is signed in and the daemon did not sign out. Another process may have removed
    /// the one that is in use, or replaced it by another user's.
    pub(super) fn sign_in_from_store(self: &Arc<Self>) {
        self.compare_with_stored();
        let can_refresh = self.connection.get().is_some_and(|connection| connection.auth.is_some());
        if can_refresh && !lock(&self.context).is_cleared {
            self.notify(Input::SignInStored);
        }
    }

    /// Sends with the token of `user`, and with nobody else's.
    pub(super) fn send(
        self: &Arc<Self>,
        batch: BatchId,
        user: Option<&UserId>,
        insert: Upsert,
        messages: Vec<SentMessage>,
        epoch: Option<u32>,
    ) {
        let look = self.look_before_sending(user);
        let guard = self.outcome_guard(batch);
        let context = lock(&self.context).current.clone();
        let (Some(connection), Some(context)) = (self.connection.get(), context) else {
            return guard.complete(outcome(batch, Err(api_error(Verdict::SignedOut, "signed_out"))));
        };
        if user != context.user.as_ref() {
            return guard.complete(outcome(batch, Err(api_error(Verdict::SignedOut, "other_user"))));
        }
        let supabase = Arc::clone(&connection.supabase);
        let span = tracing::info_span!("levi.send", batch = batch.0, bytes = insert.body.len());
        let (sealer, dispatcher) = (self.sealer.clone(), Arc::clone(self));
        let request = async move {
            let user = context.user.as_ref();
            dispatcher.wait_for_look(look).await;
            if let Some(reason) = user.and_then(|user| sealer.stopped(user)) {
                // What is sealed already may be of an epoch that is over.
                return guard.complete(outcome(batch, Err(SendError::Wait(SyncError::Waiting(reason)))));
            }
            if user.and_then(|user| sealer.epoch(user)).map(Epoch::number) != epoch {
                // The batch is built again, and sealed in the present epoch.
                return guard.complete(Input::Vanished { batch });
            }
            let sealed_before = |message: &SentMessage, nonce: &[u8]| {
                let SentMessage { place: MessagePlace { session_id, sequence_number }, message_id, .. } =
                    message;
                let position = MessagePosition { session_id, sequence_number: *sequence_number };
                sealer.sealed_before(user, position, message_id, nonce)
            };
            let token = &context.access_token;
            // Without a list there is no epoch, and nothing to keep.
            let in_epoch = user.cloned().zip(epoch.and_then(Epoch::new));
            let in_epoch = in_epoch.map(|(user, epoch)| (user, epoch, insert.body.clone()));
            let result = write_messages(&*supabase, token, insert, &messages, &sealed_before).await;
            let taken = in_epoch.filter(|_| result.is_ok());
            match &result {
                Ok(taken) => tracing::debug!(taken = taken.len(), "accepted"),
                Err(error) => tracing::debug!(code = error.code(), "failed"),
            }
            guard.complete(match result {
                Ok(taken) if taken.is_empty() => outcome(batch, Ok(())),
                Ok(rows) => Input::Taken { batch, rows },
                Err(error) => outcome(batch, Err(error)),
            });
            if let Some((user, epoch, body)) = taken {
                dispatcher.note_sent(Request::new(user, epoch, body, messages)).await;
            }
        };
        self.spawn(&connection.runtime, request.instrument(span));
    }

    pub(super) fn send_control(
        self: &Arc<Self>,
        batch: BatchId,
        user: Option<UserId>,
        key: LaneKey,
        payload: Vec<u8>,
        presence: Presence,
    ) {
        let guard = self.outcome_guard(batch);
        let sender = self.control_sender(user.as_ref());
        // The batcher sends control rows only once there is a sender.
        let (Some(connection), Some(sender)) = (self.connection.get(), sender) else { return };
        let span = tracing::info_span!("levi.send_control", %key);
        let source = lock(&self.context).source();
        let dispatcher = Arc::clone(self);
        let request = async move {
            let result = match dispatcher.tell_session_store() {
                Ok(()) => sender.send(user.as_ref(), &key, &payload, presence).await,
                Err(error) => Err(error.into()),
            };
            let result = result.map_err(|error| match (source, error) {
                // It was sent as the stored sign-in has it, which says nothing about the daemon's token.
                (
                    Some(Source::Daemon),
                    error @ (SyncError::OtherUser { .. } | SyncError::TokenRefused { .. }),
                ) => SendError::Wait(error),
                (_, error) => error.into(),
            });
            tracing::debug!(code = result.as_ref().map_or_else(SendError::code, |()| "done"), "ended");
            guard.complete(outcome(batch, result));
        };
        self.spawn(&connection.runtime, request.instrument(span));
    }

    /// The epoch in which messages of `user` are sealed now.
    pub(super) fn epoch_of(&self, user: &UserId) -> Option<Epoch> {
        self.sealer.epoch(user)
    }

    pub(super) fn present_epoch<'a>(&'a self, user: &'a UserId) -> Option<PresentEpoch<'a>> {
        self.sealer.present_epoch(Some(user))
    }

    /// The user's own sender, which acts for the user's device.
    pub(super) fn control_sender(&self, user: Option<&UserId>) -> Option<Arc<dyn ControlSender>> {
        let senders = lock(&self.control_senders);
        let own = senders.iter().find(|known| known.user.as_ref() == user);
        own.map(|known| Arc::clone(&known.sender))
    }

    fn outcome_guard(&self, batch: BatchId) -> CompletionGuard {
        CompletionGuard::new(&self.inbox, outcome(batch, Err(api_error(Verdict::Unreachable, "cancelled"))))
    }

    pub(super) fn notify(&self, input: Input) {
        // After the engine thread has ended there is nothing to notify.
        let _ = self.inbox.push(Event::Input(input));
    }
}

fn outcome(batch: BatchId, result: Result<(), SendError>) -> Input {
    Input::Outcome { batch, result }
}

fn api_error(verdict: Verdict, code: &str) -> SendError {
    SendError::Api(ApiError::new(verdict, code, ""))
}
