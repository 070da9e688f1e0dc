use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use levi_transport::Tokens;
use levi_types::UserId;

use super::builder::{FakeSupabaseBuilder, StartError};
use super::faults::Faults;
use super::listener::Listener;
use super::lock;
use super::plaintext::PlaintextScanner;
use super::record::{RequestRecord, TimedOut};
use super::server::Server;
use super::stats::Stats;
use super::value::Uuid;

/// A Supabase project in this process: PostgREST's and GoTrue's request forms and error bodies over HTTP/1.1 on loopback,
/// the five tables of `supabase/migrations` with their keys and policies, faults on command, and a record of what it saw.
///
/// Dropping it closes the port, resets every connection and joins every thread.
pub struct FakeSupabase {
    pub(crate) server: Arc<Server>,
    listener: Listener,
}

impl FakeSupabase {
    /// Starts one with the defaults.
    ///
    /// # Errors
    /// [`StartError`] when there is no port, no thread or no memory to be had.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// For one that differs from the defaults.
    pub fn builder() -> FakeSupabaseBuilder {
        FakeSupabaseBuilder::default()
    }

    pub(crate) const fn new(server: Arc<Server>, listener: Listener) -> Self {
        Self { server, listener }
    }

    /// The project's address, such as `http://127.0.0.1:40001`. It stays the same while the fake Supabase is down.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// The key for `apikey`.
    pub fn publishable_key(&self) -> &str {
        &self.server.keys.publishable
    }

    /// The key for `apikey` under which row level security does not apply (`service_role`).
    pub fn secret_key(&self) -> &str {
        &self.server.keys.secret
    }

    /// Adds a user who may sign in, or gives the one of that email another password. The id follows from the email.
    ///
    /// # Errors
    /// [`StartError::Tables`] when SQLite in memory fails.
    pub fn add_user(&self, email: &str, password: &str) -> Result<UserId, StartError> {
        let id = lock(&self.server.auth).put_user(email, password);
        self.server.database.add_user(id)?;
        Ok(id.to_string().into())
    }

    /// Signs a user in without a request. `None` if there is no such user.
    pub fn sign_in(&self, user: &UserId) -> Option<Tokens> {
        let mut auth = lock(&self.server.auth);
        let user = auth.user(Uuid::parse(user.as_str())?)?.clone();
        let issued = auth.start_session(user, self.server.clock.now().wall.as_millis());
        Some(Tokens {
            access_token: issued.access_token.into(),
            refresh_token: issued.refresh_token.into(),
            user_id: issued.user.id.to_string().into(),
        })
    }

    /// From now on every access token handed out to `user` so far is expired. Refreshing gives a fresh one.
    pub fn expire_tokens(&self, user: &UserId) {
        if let Some(user) = Uuid::parse(user.as_str()) {
            lock(&self.server.auth).expire_tokens(user);
        }
    }

    /// Ends every session of `user`: neither access nor refresh tokens handed out so far work any more. (On Supabase an
    /// access token goes on working until it expires.)
    pub fn revoke(&self, user: &UserId) {
        if let Some(user) = Uuid::parse(user.as_str()) {
            lock(&self.server.auth).revoke(user);
        }
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.server.faults
    }

    /// Closes the port and resets every connection: from now on connecting is refused. Requests that are being carried
    /// out are carried out, and nobody hears of it. Returns when all of that is done.
    pub fn go_down(&self) {
        self.listener.close();
    }

    /// Opens the same port again. Tables, users and tokens are as they were.
    ///
    /// # Errors
    /// [`StartError::Listen`] when the port or a thread cannot be had.
    pub fn come_up(&self) -> Result<(), StartError> {
        Ok(self.listener.open()?)
    }

    /// Resets every connection that is open now, and returns when they are gone. The port stays open.
    pub fn reset_connections(&self) {
        self.listener.reset_connections();
    }

    /// The latest requests, the oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.server.record.log()
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.server.record.stats()
    }

    /// Waits until `condition` holds for the counters, or `patience` is over.
    ///
    /// # Errors
    /// [`TimedOut`], with the counters as they were at the end.
    pub fn wait_for(
        &self,
        patience: Duration,
        condition: impl Fn(&Stats) -> bool,
    ) -> Result<Stats, TimedOut> {
        self.server.record.wait_for(patience, condition)
    }

    /// Looks for these texts in every byte that arrives from now on: in heads and bodies, also of requests that arrive
    /// incomplete; plain, escaped for JSON, and in base64. Start, middle and end of a text are looked for, so a part of
    /// it is found too. A text takes some kilobytes of memory.
    pub fn scan_for<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> PlaintextScanner {
        self.server.record.scan_for(texts)
    }
}

impl fmt::Debug for FakeSupabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSupabase").field("url", &self.url()).finish_non_exhaustive()
    }
}
