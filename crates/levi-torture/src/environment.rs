//! A server with a user, a device and sessions, and the data directory of a daemon that is signed
//! in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi::transport::HttpSignIn;
use levi::{Credentials, FileCredentials, HttpOptions, RefreshingAuth, SessionId, UserId};
use levi_crypto::message::{self, MessagePosition};
use levi_testkit::fixtures::{TestUser, uuid_of};
use levi_testkit::supabase::FakeSupabase;
use tempfile::TempDir;

use crate::Error;
use crate::content::{is_content, secret_of};

/// What a torture test runs in.
pub struct TestEnvironment {
    /// The server. Tests plan its faults.
    pub server: Arc<FakeSupabase>,
    /// The user who is signed in.
    pub user_id: UserId,
    data_dir: TempDir,
}

impl TestEnvironment {
    /// Starts a server on which a user has a device with `sessions`, and signs the user in.
    ///
    /// # Errors
    /// When the server cannot start, the data directory cannot be made or the sign-in fails.
    pub async fn new(sessions: &[SessionId]) -> Result<Self, Error> {
        let user = TestUser::on(FakeSupabase::builder().keep_requests(100).start()?)?;
        let device = uuid_of("device", "torture").as_str().into();
        user.add_device(&device, None)?;
        user.add_sessions(&device, sessions)?;
        let environment = Self { server: user.server, user_id: user.id, data_dir: tempfile::tempdir()? };
        let credentials = FileCredentials::open(credentials(environment.data_dir()))?;
        let sign_in = Arc::new(HttpSignIn::new(&environment.http())?);
        let auth = RefreshingAuth::new(sign_in, Arc::new(credentials) as Arc<dyn Credentials>);
        auth.sign_in(TestUser::EMAIL, &TestUser::PASSWORD.into()).await?;
        Ok(environment)
    }

    /// The server's address and timeouts that suit a test.
    pub fn http(&self) -> HttpOptions {
        http(&self.server.url(), self.server.publishable_key())
    }

    /// The daemon's data directory.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Decrypts the messages of a session on the server and returns their sequence numbers, in
    /// order of arrival.
    ///
    /// # Errors
    /// When a row cannot be decrypted or holds another content than
    /// [`message`](crate::content::message) made.
    pub fn delivered(&self, session: &SessionId) -> Result<Vec<i64>, Error> {
        let key = secret_of(session)?.message_key();
        let mut numbers = Vec::new();
        for row in self.server.messages(session)? {
            let place = MessagePosition { session_id: session, sequence_number: row.sequence_number };
            let ciphertext = STANDARD.decode(&row.content_encrypted)?;
            let text = message::open(&key, place, &ciphertext, &STANDARD.decode(&row.content_nonce)?)?;
            if !is_content(session, row.sequence_number, &text) {
                return Err(format!("{session} {} has the wrong content", row.sequence_number).into());
            }
            numbers.push(row.sequence_number);
        }
        Ok(numbers)
    }
}

/// The id of the session with this name.
pub fn session_id(name: &str) -> SessionId {
    uuid_of("session", name).as_str().into()
}

/// The file in `data_dir` that holds the daemon's credentials.
pub fn credentials(data_dir: &Path) -> PathBuf {
    data_dir.join("credentials")
}

/// Options for a server on loopback, where a request that takes longer than these timeouts has met
/// a fault.
pub fn http(url: &str, key: &str) -> HttpOptions {
    let mut options = HttpOptions::new(url, key);
    options.timeouts.connect = Duration::from_secs(2);
    options.timeouts.response = Duration::from_millis(500);
    options.timeouts.stall = Duration::from_secs(2);
    options
}
