//! What the engine wants done outside its thread: requests and token refreshes. Each runs on tokio and
//! reports back through the inbox, even if it is cancelled or panics.

use std::sync::{Arc, Mutex, OnceLock};

use levi_outbox::LaneKey;
use levi_transport::{ApiError, Supabase, Upsert, Verdict};
use levi_types::{AccessToken, Auth, AuthError, SyncContext};
use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::inbox::Inbox;
use super::lock;
use crate::batcher::{BatchId, Input};
use crate::control::ControlSender;
use crate::engine::Event;
use crate::sync_error::SendError;

pub(super) struct Dispatcher {
    inbox: Arc<Inbox>,
    context: Mutex<Context>,
    control_sender: Mutex<Option<Arc<dyn ControlSender>>>,
    connection: OnceLock<Connection>,
}

/// The token to send with.
#[derive(Default)]
struct Context {
    current: Option<SyncContext>,
    /// Whether the daemon brought the token, so that the sign-in server's word about the stored sign-in says nothing
    /// about it.
    source: Source,
    /// Raised whenever the daemon sets or clears the token: a refresh that began before is then out of date.
    changes: u64,
}

/// Where a token comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    #[default]
    Daemon,
    Auth,
}

/// The connection to the server, open from the start on.
struct Connection {
    runtime: Handle,
    supabase: Arc<dyn Supabase>,
    auth: Option<Arc<dyn Auth>>,
}

impl Dispatcher {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            context: Mutex::default(),
            control_sender: Mutex::new(None),
            connection: OnceLock::new(),
        }
    }

    pub(super) fn open(&self, runtime: Handle, supabase: Arc<dyn Supabase>, auth: Option<Arc<dyn Auth>>) {
        // Called once, by `start`, which runs once.
        let _ = self.connection.set(Connection { runtime, supabase, auth });
    }

    pub(super) fn set_context(&self, context: SyncContext) {
        self.replace_context(Some(context));
        self.notify(Input::SignedIn);
    }

    pub(super) fn clear_context(&self) {
        self.replace_context(None);
        self.notify(Input::SignedOut);
    }

    pub(super) fn set_control_sender(&self, sender: Arc<dyn ControlSender>) {
        *lock(&self.control_sender) = Some(sender);
        self.notify(Input::ControlSenderReady);
    }

    fn replace_context(&self, new: Option<SyncContext>) {
        let mut context = lock(&self.context);
        context.current = new;
        context.source = Source::Daemon;
        context.changes += 1;
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

    pub(super) fn send(&self, batch: BatchId, upsert: Upsert) {
        let guard = self.outcome_guard(batch);
        let context = lock(&self.context).current.clone();
        let (Some(connection), Some(context)) = (self.connection.get(), context) else {
            return guard.complete(outcome(batch, Err(api_error(Verdict::SignedOut, "signed_out"))));
        };
        let supabase = Arc::clone(&connection.supabase);
        let span = tracing::info_span!("levi.send", batch = batch.0, bytes = upsert.body.len());
        let request = async move {
            let result = supabase.upsert(&context.access_token, upsert).await;
            match &result {
                Ok(()) => tracing::debug!("accepted"),
                Err(error) => tracing::debug!(verdict = ?error.verdict, code = error.code, "failed"),
            }
            guard.complete(outcome(batch, result.map_err(SendError::Api)));
        };
        connection.runtime.spawn(request.instrument(span));
    }

    pub(super) fn send_control(&self, batch: BatchId, key: LaneKey, payload: Vec<u8>) {
        let guard = self.outcome_guard(batch);
        let sender = lock(&self.control_sender).clone();
        // The batcher sends control rows only once there is a sender.
        let (Some(connection), Some(sender)) = (self.connection.get(), sender) else { return };
        let span = tracing::info_span!("levi.send_control", %key);
        let request = async move {
            let result = sender.send(&key, &payload).await.map_err(SendError::from);
            tracing::debug!(code = result.as_ref().map_or_else(SendError::code, |()| "done"), "ended");
            guard.complete(outcome(batch, result));
        };
        connection.runtime.spawn(request.instrument(span));
    }

    fn outcome_guard(&self, batch: BatchId) -> CompletionGuard {
        CompletionGuard::new(&self.inbox, outcome(batch, Err(api_error(Verdict::Unreachable, "cancelled"))))
    }

    /// Asks for a token other than the present one or, if there never was one, for the stored one. After the
    /// daemon cleared the context, the stored sign-in is not adopted.
    pub(super) fn refresh(self: &Arc<Self>) {
        let guard = CompletionGuard::new(&self.inbox, Input::RefreshUnavailable { retry_after: None });
        let (stale, source, changes) = {
            let context = lock(&self.context);
            (context.current.clone(), context.source, context.changes)
        };
        // What it means that nobody is signed in: a token of the daemon's own is still there.
        let signed_out = match (&stale, source) {
            (Some(_), Source::Daemon) => Input::RefreshImpossible,
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
            match session {
                Ok(session) => guard.complete(dispatcher.adopt(session.access_token, changes)),
                Err(AuthError::SignedOut) => guard.complete(signed_out),
                Err(AuthError::Ended(word)) => {
                    tracing::warn!("{word}");
                    guard.complete(Input::RefreshRefused);
                }
                Err(AuthError::Unavailable { why, retry_after }) => {
                    tracing::warn!("no token for now: {why}");
                    guard.complete(Input::RefreshUnavailable { retry_after });
                }
            }
        };
        connection.runtime.spawn(request.instrument(tracing::info_span!("levi.refresh")));
    }

    /// Takes the token that was asked for, unless the daemon set or cleared the context in the meantime.
    fn adopt(&self, access_token: AccessToken, changes: u64) -> Input {
        let mut context = lock(&self.context);
        if context.changes == changes {
            context.current = Some(SyncContext { access_token });
            context.source = Source::Auth;
        }
        if context.current.is_some() { Input::SignedIn } else { Input::SignedOut }
    }

    fn notify(&self, input: Input) {
        // After the engine thread has ended there is nothing to notify.
        let _ = self.inbox.push(Event::Input(input));
    }
}

/// Reports to the engine when a request ends. If it is dropped without an outcome, it reports `lost`, so that
/// the engine does not wait for ever.
struct CompletionGuard {
    inbox: Arc<Inbox>,
    lost: Option<Input>,
}

impl CompletionGuard {
    fn new(inbox: &Arc<Inbox>, lost: Input) -> Self {
        Self { inbox: Arc::clone(inbox), lost: Some(lost) }
    }

    fn complete(mut self, input: Input) {
        self.lost = Some(input);
    }
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        if let Some(input) = self.lost.take() {
            // After the engine thread has ended there is nothing to report to.
            let _ = self.inbox.push(Event::Input(input));
        }
    }
}

fn outcome(batch: BatchId, result: Result<(), SendError>) -> Input {
    Input::Outcome { batch, result }
}

fn api_error(verdict: Verdict, code: &str) -> SendError {
    SendError::Api(ApiError::new(verdict, code, ""))
}
