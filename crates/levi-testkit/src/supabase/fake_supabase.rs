use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use levi_transport::Tokens;
use levi_types::UserId;

use super::auth::SignUps;
use super::builder::{FakeSupabaseBuilder, StartError};
use super::faults::Faults;
use super::listener::Listener;
use super::lock;
use super::plaintext::PlaintextScanner;
use super::record::{RequestRecord, TimedOut};
use super::server::Server;
use super::stats::Stats;
use super::value::Uuid;

/// A Supabase project in this process: the requests and error bodies of PostgREST and GoTrue over
/// HTTP/1.1 on loopback, the tables of `supabase/migrations` with their keys, policies and
/// triggers, fault injection, and a log of requests.
///
/// Dropping it closes the port, resets every connection and joins every thread.
pub struct FakeSupabase {
    pub(crate) server: Arc<Server>,
    listener: Listener,
}

impl FakeSupabase {
    /// Starts a server with the default settings.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Starts a server with other settings.
    pub fn builder() -> FakeSupabaseBuilder {
        FakeSupabaseBuilder::default()
    }

    pub(crate) const fn new(server: Arc<Server>, listener: Listener) -> Self {
        Self { server, listener }
    }

    /// The project's URL, such as `http://127.0.0.1:40001`. It does not change when the server goes
    /// down.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// The publishable key, for the `apikey` header.
    pub fn publishable_key(&self) -> &str {
        &self.server.keys.publishable
    }

    /// The secret key, for the `apikey` header. Row level security does not apply to it
    /// (`service_role`).
    pub fn secret_key(&self) -> &str {
        &self.server.keys.secret
    }

    /// Adds a user, or changes the password of the user with this email. The id is derived from the
    /// email.
    ///
    /// # Errors
    /// [`StartError::Tables`] when SQLite fails.
    pub fn add_user(&self, email: &str, password: &str) -> Result<UserId, StartError> {
        let id = lock(&self.server.auth).put_user(email, password);
        self.server.database.add_user(id)?;
        Ok(id.to_string().into())
    }

    /// Decides who may sign up from now on. The default is [`SignUps::AtOnce`].
    pub fn set_sign_ups(&self, sign_ups: SignUps) {
        lock(&self.server.auth).sign_ups = sign_ups;
    }

    /// Does what the link in the mail does.
    pub fn confirm_email(&self, email: &str) {
        lock(&self.server.auth).set_confirmed(email, true);
    }

    /// Signs a user in without a request. `None` if the user does not exist.
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

    /// Expires every access token of `user`. Refresh tokens remain valid.
    pub fn expire_tokens(&self, user: &UserId) {
        if let Some(user) = Uuid::parse(user.as_str()) {
            lock(&self.server.auth).expire_tokens(user);
            self.server.realtime.end_expired(&self.server);
        }
    }

    /// Ends every session of `user` and invalidates their access and refresh tokens. (On Supabase
    /// an access token is valid until it expires.)
    pub fn revoke(&self, user: &UserId) {
        if let Some(user) = Uuid::parse(user.as_str()) {
            lock(&self.server.auth).revoke(user);
            self.server.realtime.end_expired(&self.server);
        }
    }

    /// The faults to inject.
    pub fn faults(&self) -> &Faults {
        &self.server.faults
    }

    /// Closes the port and resets every connection, so that new connections are refused. Requests
    /// that are being executed are completed without an answer before this returns.
    pub fn go_down(&self) {
        self.listener.close();
    }

    /// Opens the same port again. Tables, users and tokens are unchanged.
    ///
    /// # Errors
    /// [`StartError::Listen`]
    pub fn come_up(&self) -> Result<(), StartError> {
        Ok(self.listener.open()?)
    }

    /// Resets every open connection and joins its thread. The port stays open.
    pub fn reset_connections(&self) {
        self.listener.reset_connections();
    }

    /// The latest requests in order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.server.record.log()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.server.record.stats()
    }

    /// Waits until `condition` holds for the counters.
    ///
    /// # Errors
    /// [`TimedOut`] if it does not hold within `patience`.
    pub fn wait_for(
        &self,
        patience: Duration,
        condition: impl Fn(&Stats) -> bool,
    ) -> Result<Stats, TimedOut> {
        self.server.record.wait_for(patience, condition)
    }

    /// Looks for these texts in every byte that arrives from now on: in heads and bodies, also of
    /// requests that arrive incomplete; plain, escaped for JSON, and in base64. Start, middle and
    /// end of a text are looked for, so a part of it is found too. A text takes some kilobytes of
    /// memory.
    pub fn scan_for<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> PlaintextScanner {
        self.server.record.scan_for(texts)
    }
}

impl fmt::Debug for FakeSupabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSupabase").field("url", &self.url()).finish_non_exhaustive()
    }
}
