//! What the engine wants done outside its thread: requests and token refreshes. Each runs on tokio and
//! reports back through the inbox, even if it is cancelled or panics.

use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use levi_crypto::message::MessagePosition;
use levi_outbox::LaneKey;
use levi_transport::rows::MessagePlace;
use levi_transport::{ApiError, Supabase, Upsert, Verdict, user_of_token};
use levi_types::{AccessToken, Auth, AuthError, AuthSession, SessionStore, SyncContext, UserId};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::completion_guard::CompletionGuard;
use super::device_list_watch::DeviceListWatch;
use super::inbox::Inbox;
use super::lock;
use super::signed_in::{Connection, Context, SignedIn, Source, UsersSender};
use crate::batcher::{BatchId, Input};
use crate::control::{ControlSender, Presence};
use crate::engine::Event;
use crate::sealer::Sealer;
use crate::secrets_cache::SecretsCache;
use crate::sync_error::SendError;
use crate::write_messages::{SentMessage, write_messages};

/// How long a start waits for the name of the user whose sign-in is stored.
const NAMED_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Dispatcher {
    inbox: Arc<Inbox>,
    context: Mutex<Context>,
    cache: SecretsCache,
    sealer: Sealer,
    session_store: Arc<dyn SessionStore>,
    control_senders: Mutex<Vec<UsersSender>>,
    connection: OnceLock<Connection>,
    device_list: Option<DeviceListWatch>,
    /// The tasks of the requests in flight.
    requests: Mutex<JoinSet<()>>,
}

impl Dispatcher {
    pub(super) fn new(
        inbox: Arc<Inbox>,
        cache: SecretsCache,
        sealer: Sealer,
        session_store: Arc<dyn SessionStore>,
        device_list: Option<DeviceListWatch>,
    ) -> Self {
        Self {
            inbox,
            cache,
            sealer,
            session_store,
            context: Mutex::default(),
            control_senders: Mutex::default(),
            connection: OnceLock::new(),
            device_list,
            requests: Mutex::default(),
        }
    }

    /// Cancels the requests that are in flight: nobody waits for their outcome any more.
    pub(super) fn stop(&self) {
        lock(&self.requests).abort_all();
    }

    fn spawn(&self, runtime: &Handle, request: impl Future<Output = ()> + Send + 'static) {
        let mut requests = lock(&self.requests);
        // Those that ended report by themselves.
        while requests.try_join_next().is_some() {}
        requests.spawn_on(request, runtime);
    }

    pub(super) fn open(&self, runtime: Handle, supabase: Arc<dyn Supabase>, auth: Option<Arc<dyn Auth>>) {
        // Called once, by `start`, which runs once.
        let _ = self.connection.set(Connection { runtime, supabase, auth });
    }

    pub(super) fn set_context(self: &Arc<Self>, context: SyncContext) {
        let SyncContext { access_token } = context;
        let user = user_of_token(&access_token);
        let input = match &user {
            Some(_) => Input::SignedIn,
            None if self.cache.is_nobodys() => Input::SignedInUnnamed,
            None => return self.replace_context(None, Input::UserUnknown),
        };
        self.replace_context(Some(SignedIn { user, access_token, source: Source::Daemon }), input);
        self.look_at_devices();
    }

    pub(super) fn clear_context(&self) {
        self.replace_context(None, Input::SignedOut);
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

    /// Everybody is told before the context is let go of, so that nothing is sent, sealed or recorded under it by
    /// someone who still takes the user before for the present one.
    fn user_is(&self, user: &UserId) {
        self.cache.signed_in(user);
        for unclaimed in lock(&self.control_senders).iter_mut().filter(|sender| sender.user.is_none()) {
            unclaimed.user = Some(unclaimed.sender.claim(user));
        }
        if let Err(error) = self.session_store.signed_in(user) {
            tracing::warn!("the session store was not told who is signed in: {error}");
        }
        self.notify(Input::User(user.clone()));
    }

    pub(super) fn set_control_sender(&self, sender: Arc<dyn ControlSender>) {
        // Within the lock: a user who signs in meanwhile claims it, and the batcher hears of both in that order.
        let _context = lock(&self.context);
        let user = self.cache.user().map(|user| sender.claim(&user));
        let mut senders = lock(&self.control_senders);
        senders.retain(|known| known.user != user);
        senders.push(UsersSender { user: user.clone(), sender });
        drop(senders);
        self.notify(Input::ControlSenderReady(user));
    }

    fn replace_context(&self, new: Option<SignedIn>, input: Input) {
        let mut context = lock(&self.context);
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

    /// Adopts the stored sign-in if nobody is signed in and the daemon did not sign out.
    pub(super) fn sign_in_from_store(&self) {
        let can_refresh = self.connection.get().is_some_and(|connection| connection.auth.is_some());
        let context = lock(&self.context);
        let cleared = context.current.is_none() && context.changes > 0;
        drop(context);
        if can_refresh && !cleared {
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
    ) {
        self.look_at_devices();
        let guard = self.outcome_guard(batch);
        // The cache is shared: a sign-out that another part of the process was told of counts here too.
        let context = lock(&self.context).current.clone().filter(|_| !self.cache.is_signed_out());
        let (Some(connection), Some(context)) = (self.connection.get(), context) else {
            return guard.complete(outcome(batch, Err(api_error(Verdict::SignedOut, "signed_out"))));
        };
        if user != context.user.as_ref() {
            return guard.complete(outcome(batch, Err(api_error(Verdict::SignedOut, "other_user"))));
        }
        let supabase = Arc::clone(&connection.supabase);
        let span = tracing::info_span!("levi.send", batch = batch.0, bytes = insert.body.len());
        let sealer = self.sealer.clone();
        let request = async move {
            let user = context.user.as_ref();
            let sealed_before = |message: &SentMessage, nonce: &[u8]| {
                let SentMessage { place: MessagePlace { session_id, sequence_number }, message_id, .. } =
                    message;
                let position = MessagePosition { session_id, sequence_number: *sequence_number };
                sealer.sealed_before(user, position, message_id, nonce)
            };
            let token = &context.access_token;
            let result = write_messages(&*supabase, token, insert, &messages, &sealed_before).await;
            match &result {
                Ok(taken) => tracing::debug!(taken = taken.len(), "accepted"),
                Err(error) => tracing::debug!(verdict = ?error.verdict, code = error.code, "failed"),
            }
            guard.complete(match result {
                Ok(taken) if taken.is_empty() => outcome(batch, Ok(())),
                Ok(rows) => Input::Taken { batch, rows },
                Err(error) => outcome(batch, Err(SendError::Api(error))),
            });
        };
        self.spawn(&connection.runtime, request.instrument(span));
    }

    pub(super) fn send_control(
        &self,
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
        let request = async move {
            let result = sender.send(user.as_ref(), &key, &payload, presence).await.map_err(SendError::from);
            tracing::debug!(code = result.as_ref().map_or_else(SendError::code, |()| "done"), "ended");
            guard.complete(outcome(batch, result));
        };
        self.spawn(&connection.runtime, request.instrument(span));
    }

    /// The user's own sender, which acts for the user's device.
    fn control_sender(&self, user: Option<&UserId>) -> Option<Arc<dyn ControlSender>> {
        let senders = lock(&self.control_senders);
        let own = senders.iter().find(|known| known.user.as_ref() == user);
        own.map(|known| Arc::clone(&known.sender))
    }

    fn outcome_guard(&self, batch: BatchId) -> CompletionGuard {
        CompletionGuard::new(&self.inbox, outcome(batch, Err(api_error(Verdict::Unreachable, "cancelled"))))
    }

    /// Asks for a token other than the present one or, if there never was one, for the stored one. After the
    /// daemon cleared the context, the stored sign-in is not adopted.
    pub(super) fn refresh(self: &Arc<Self>) {
        let guard = CompletionGuard::new(&self.inbox, Input::RefreshUnavailable { retry_after: None });
        let (stale, changes) = {
            let context = lock(&self.context);
            (context.current.clone(), context.changes)
        };
        // What it means that nobody is signed in: a token of the daemon's own is still there.
        let signed_out = match &stale {
            Some(SignedIn { source: Source::Daemon, .. }) => Input::RefreshImpossible,
            _ => Input::RefreshRefused,
        };
        if stale.is_none() && changes > 0 {
            return guard.complete(signed_out);
        }
        let connection = self.connection.get();
        let Some((connection, auth)) = connection.and_then(|open| Some((open, open.auth.clone()?))) else {
            return guard.complete(signed_out);
        };
        let dispatcher = Arc::clone(self);
        let request = async move {
            let session = match &stale {
                Some(stale) => auth.refresh(&stale.access_token).await,
                None => auth.session().await,
            };
            if session.is_err()
                && let Some(input) = dispatcher.outdated(changes)
            {
                return guard.complete(input);
            }
            match session {
                Ok(session) => {
                    guard.complete(dispatcher.adopt(session, changes));
                    dispatcher.look_at_devices();
                }
                Err(AuthError::SignedOut) => {
                    if matches!(signed_out, Input::RefreshRefused) {
                        dispatcher.cache.clear();
                    }
                    guard.complete(signed_out);
                }
                Err(AuthError::Ended(word)) => {
                    tracing::warn!("{word}");
                    dispatcher.cache.clear();
                    guard.complete(Input::RefreshRefused);
                }
                Err(error @ AuthError::OtherUser { .. }) => {
                    tracing::error!("the stored sign-in is not used: {error}");
                    // Somebody else's sign-in says nothing about a token of the daemon's own.
                    guard.complete(signed_out);
                }
                Err(AuthError::Unavailable { why, retry_after }) => {
                    tracing::warn!("no token for now: {why}");
                    guard.complete(Input::RefreshUnavailable { retry_after });
                }
            }
        };
        self.spawn(&connection.runtime, request.instrument(tracing::info_span!("levi.refresh")));
    }

    /// What there is instead, if the daemon set or cleared the context since there had been so many changes.
    fn outdated(&self, changes: u64) -> Option<Input> {
        let context = lock(&self.context);
        let now = if context.current.is_some() { Input::SignedIn } else { Input::SignedOut };
        (context.changes != changes).then_some(now)
    }

    /// Takes the token that was asked for, unless the daemon set or cleared the context in the meantime.
    fn adopt(&self, session: AuthSession, changes: u64) -> Input {
        let AuthSession { user_id: user, access_token } = session;
        let mut context = lock(&self.context);
        if context.changes != changes {
            return if context.current.is_some() { Input::SignedIn } else { Input::SignedOut };
        }
        if let Some(found) = user_of_token(&access_token).filter(|found| *found != user) {
            tracing::error!("the sign-in is not used: it says user {user}, and its token is user {found}'s");
            return Input::RefreshRefused;
        }
        let source = context.current.as_ref().map_or(Source::Stored, |current| current.source);
        match context.current.as_ref().and_then(|current| current.user.as_ref()) {
            Some(expected) if *expected != user && source == Source::Daemon => {
                tracing::error!(
                    "the stored sign-in is not used: it is user {user}'s, the context user {expected}'s"
                );
                // The daemon's token may be taken again, and nobody but the daemon brings another one.
                return Input::RefreshImpossible;
            }
            Some(known) if *known == user => {}
            _ => self.user_is(&user),
        }
        context.current = Some(SignedIn { user: Some(user), access_token, source });
        Input::SignedIn
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
