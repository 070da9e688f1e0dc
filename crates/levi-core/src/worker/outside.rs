//! What the engine wants done outside its thread: requests, token refreshes, tasks. Each runs on tokio and
//! reports back through the inbox, also if it is cancelled or panics.

use std::sync::{Arc, Mutex, OnceLock};

use levi_outbox::{DueTask, Reason};
use levi_transport::{ApiError, Supabase, Upsert, Verdict};
use levi_types::{AccessToken, Auth, AuthError, SyncContext};
use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::inbox::Inbox;
use super::lock;
use crate::batcher::{BatchId, TaskEnd};
use crate::engine::Event;
use crate::session_sync::{Ran, TaskRunner};

pub(super) struct Outside {
    inbox: Arc<Inbox>,
    context: Mutex<Context>,
    runner: Mutex<Option<Arc<dyn TaskRunner>>>,
    way: OnceLock<Way>,
}

/// The token to send with.
#[derive(Default)]
struct Context {
    current: Option<SyncContext>,
    /// Raised whenever the daemon sets or clears it: a refresh that began before has nothing to say then.
    changes: u64,
}

/// The way to the server, open from the start on.
struct Way {
    runtime: Handle,
    supabase: Arc<dyn Supabase>,
    auth: Option<Arc<dyn Auth>>,
}

impl Outside {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, context: Mutex::default(), runner: Mutex::new(None), way: OnceLock::new() }
    }

    pub(super) fn open(&self, runtime: Handle, supabase: Arc<dyn Supabase>, auth: Option<Arc<dyn Auth>>) {
        // Called once, by `start`, which runs once.
        let _ = self.way.set(Way { runtime, supabase, auth });
    }

    pub(super) fn set_context(&self, context: SyncContext) {
        self.replace_context(Some(context));
        self.tell(Event::SignedIn);
    }

    pub(super) fn clear_context(&self) {
        self.replace_context(None);
        self.tell(Event::SignedOut);
    }

    pub(super) fn run_tasks_with(&self, runner: Arc<dyn TaskRunner>) {
        *lock(&self.runner) = Some(runner);
    }

    fn replace_context(&self, new: Option<SyncContext>) {
        let mut context = lock(&self.context);
        context.current = new;
        context.changes += 1;
    }

    /// Where nobody is signed in and the daemon did not sign out, the stored sign-in is as good.
    pub(super) fn sign_in_from_store(&self) {
        let can_refresh = self.way.get().is_some_and(|way| way.auth.is_some());
        let context = lock(&self.context);
        let cleared = context.current.is_none() && context.changes > 0;
        drop(context);
        if can_refresh && !cleared {
            self.tell(Event::SignInStored);
        }
    }

    pub(super) fn send(self: &Arc<Self>, batch: BatchId, upsert: Upsert) {
        let lost = Event::Outcome { batch, result: Err(error(Verdict::Unreachable, "cancelled")) };
        let report = Report::new(&self.inbox, lost);
        let context = lock(&self.context).current.clone();
        let (Some(way), Some(context)) = (self.way.get(), context) else {
            let result = Err(error(Verdict::SignedOut, "signed_out"));
            return report.send(Event::Outcome { batch, result });
        };
        let supabase = Arc::clone(&way.supabase);
        let span = tracing::info_span!("levi.send", batch = batch.0, bytes = upsert.body.len());
        let request = async move {
            let result = supabase.upsert(&context.access_token, upsert).await;
            match &result {
                Ok(()) => tracing::debug!("accepted"),
                Err(error) => tracing::debug!(verdict = ?error.verdict, code = error.code, "failed"),
            }
            report.send(Event::Outcome { batch, result });
        };
        way.runtime.spawn(request.instrument(span));
    }

    /// Asks for a token other than the present one or, where there never was one, for the stored one. After the
    /// daemon cleared the context, the stored sign-in is not taken up behind its back.
    pub(super) fn refresh(self: &Arc<Self>) {
        let report = Report::new(&self.inbox, Event::RefreshFailed { transient: true });
        let (stale, changes) = {
            let context = lock(&self.context);
            (context.current.clone(), context.changes)
        };
        if stale.is_none() && changes > 0 {
            return report.send(Event::RefreshFailed { transient: false });
        }
        let Some((way, auth)) = self.way.get().and_then(|way| Some((way, way.auth.clone()?))) else {
            return report.send(Event::RefreshFailed { transient: false });
        };
        let outside = Arc::clone(self);
        let request = async move {
            let session = match &stale {
                Some(stale) => auth.refresh(&stale.access_token).await,
                None => auth.session().await,
            };
            match session {
                Ok(session) => report.send(outside.adopt(session.access_token, changes)),
                Err(AuthError::SignedOut) => report.send(Event::RefreshFailed { transient: false }),
                Err(AuthError::Unavailable(why)) => {
                    tracing::warn!("no token for now: {why}");
                    report.send(Event::RefreshFailed { transient: true });
                }
            }
        };
        way.runtime.spawn(request.instrument(tracing::info_span!("levi.refresh")));
    }

    /// Takes the token that was asked for, unless the daemon set or cleared it in the meantime.
    fn adopt(&self, access_token: AccessToken, changes: u64) -> Event {
        let mut context = lock(&self.context);
        if context.changes == changes {
            context.current = Some(SyncContext { access_token });
        }
        if context.current.is_some() { Event::SignedIn } else { Event::SignedOut }
    }

    pub(super) fn run_task(self: &Arc<Self>, task: DueTask) {
        let cancelled = TaskEnd::Answered(error(Verdict::Unreachable, "cancelled"));
        let report = Report::new(&self.inbox, Event::TaskEnded { task: task.clone(), end: cancelled });
        let runner = lock(&self.runner).clone();
        let (Some(way), Some(runner)) = (self.way.get(), runner) else {
            let detail = "no session sync service runs in this process".into();
            let end = TaskEnd::Waiting(Reason { code: "no_session_sync".into(), detail });
            return report.send(Event::TaskEnded { task, end });
        };
        let span = tracing::info_span!("levi.task", name = task.name, attempts = task.attempts);
        let request = async move {
            let Ran { end, tell } = runner.run(&task.payload).await;
            tracing::debug!(code = end.code(), "ended");
            report.send(Event::TaskEnded { task, end });
            tell();
        };
        way.runtime.spawn(request.instrument(span));
    }

    /// Tells the thread; one that has ended has nothing to do with it.
    fn tell(&self, event: Event) {
        let _ = self.inbox.push(event);
    }
}

/// A promise to report back: if it is dropped unkept, the engine hears of the loss instead of waiting forever.
struct Report {
    inbox: Arc<Inbox>,
    lost: Option<Event>,
}

impl Report {
    fn new(inbox: &Arc<Inbox>, lost: Event) -> Self {
        Self { inbox: Arc::clone(inbox), lost: Some(lost) }
    }

    fn send(mut self, event: Event) {
        self.lost = Some(event);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(event) = self.lost.take() {
            // The thread may have ended: then nobody waits.
            let _ = self.inbox.push(event);
        }
    }
}

fn error(verdict: Verdict, code: &str) -> ApiError {
    ApiError::new(verdict, code, "")
}
