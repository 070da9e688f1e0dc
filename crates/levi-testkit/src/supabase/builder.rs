use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levi_types::Clock;

use super::auth::AuthState;
use super::database::Database;
use super::fake_supabase::FakeSupabase;
use super::faults::Faults;
use super::gateway::Keys;
use super::listener::Listener;
use super::realtime::Realtime;
use super::record::{Bodies, Keep, Record};
use super::server::{Ending, Server};
use crate::clock::SystemClock;

/// Why a fake Supabase could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no free port, or no thread could be started.
    #[error("the fake Supabase could not listen on 127.0.0.1")]
    Listen(#[from] io::Error),
    /// SQLite in memory could not be set up.
    #[error("the fake Supabase could not set up its tables")]
    Tables(#[from] rusqlite::Error),
}

/// The settings of a fake Supabase.
pub struct FakeSupabaseBuilder {
    clock: Arc<dyn Clock>,
    token_lifetime: Duration,
    max_rows: u64,
    max_body_bytes: usize,
    keep: Keep,
}

impl Default for FakeSupabaseBuilder {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            token_lifetime: Duration::from_secs(3600),
            max_rows: 1000,
            max_body_bytes: 64 << 20,
            keep: Keep { requests: 10_000, bodies: Bodies::Forget },
        }
    }
}

impl FakeSupabaseBuilder {
    /// The clock that decides when tokens expire. The default is the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long an access token is valid. The default is an hour.
    #[must_use]
    pub const fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// The most rows that one read returns, whatever its `limit`. The default is 1,000, as on
    /// hosted Supabase.
    #[must_use]
    pub const fn max_rows(mut self, rows: u64) -> Self {
        self.max_rows = rows;
        self
    }

    /// The largest accepted body; a larger one is refused with 413. The default is 64 MiB.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// How many of the latest requests to keep in the log. The default is 10,000.
    #[must_use]
    pub const fn keep_requests(mut self, requests: usize) -> Self {
        self.keep.requests = requests;
        self
    }

    /// Keeps the bodies of the requests in the log, which are dropped by default.
    #[must_use]
    pub const fn keep_bodies(mut self) -> Self {
        self.keep.bodies = Bodies::Keep;
        self
    }

    /// Starts listening on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(self) -> Result<FakeSupabase, StartError> {
        let server = Arc::new(Server {
            database: Database::open()?,
            auth: Mutex::new(AuthState::new(self.token_lifetime)),
            keys: Keys {
                publishable: "sb_publishable_fake_supabase".to_owned(),
                secret: "sb_secret_fake_supabase".to_owned(),
            },
            faults: Faults::default(),
            record: Record::new(self.keep),
            realtime: Realtime::default(),
            clock: self.clock,
            max_rows: self.max_rows,
            max_body: self.max_body_bytes,
            ending: Ending::default(),
        });
        let listener = Listener::start(Arc::clone(&server))?;
        Ok(FakeSupabase::new(server, listener))
    }
}
