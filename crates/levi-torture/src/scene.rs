//! A server with a user, a device and sessions, and the folder of a daemon that is signed in there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi::{
    CodingSession, Credentials, FileCredentials, HttpOptions, HttpSignIn, HttpSupabase, RefreshingAuth,
    Repository, RepositoryId, SessionId, Supabase, UserId,
};
use levi_crypto::message::{self, MessagePosition};
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::StandIn;
use levi_transport::rows::{DeviceRow, RepositoryRow, SessionRow, upsert_of};
use levi_types::{DeviceId, Wall};
use tempfile::TempDir;

use crate::Trouble;
use crate::content::{is_content, secret_of};

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery staple";

/// Where everything happens.
pub struct Scene {
    /// The server; its faults are the test's to plan.
    pub server: StandIn,
    /// Who is signed in.
    pub user_id: UserId,
    folder: TempDir,
}

impl Scene {
    /// A server whose user has `sessions`, and a folder with that user's sign-in.
    ///
    /// # Errors
    /// When the server or the folder cannot be had.
    pub async fn new(sessions: &[SessionId]) -> Result<Self, Trouble> {
        let server = StandIn::builder().keep_requests(100).start()?;
        let user_id = server.add_user(EMAIL, PASSWORD)?;
        let scene = Self { server, user_id, folder: tempfile::tempdir()? };
        let sign_in = Arc::new(HttpSignIn::new(&scene.http())?);
        let credentials = Arc::new(FileCredentials::open(scene.credentials())?) as Arc<dyn Credentials>;
        let auth = RefreshingAuth::new(sign_in, credentials);
        let signed_in = auth.sign_in(EMAIL, &PASSWORD.into()).await?;
        let supabase = HttpSupabase::new(&scene.http())?;
        for upsert in scene.rows(sessions) {
            supabase.upsert(&signed_in.access_token, upsert).await?;
        }
        Ok(scene)
    }

    fn rows(&self, sessions: &[SessionId]) -> [levi_transport::Upsert; 3] {
        let device_id = DeviceId::from(uuid_of("device", "torture"));
        let device = DeviceRow::new(device_id.clone(), self.user_id.clone(), "torture", "desktop");
        let repository =
            Repository::new(RepositoryId::from(uuid_of("repository", "torture")), "torture", "/torture");
        let row = |id: &SessionId| {
            let session = CodingSession::new(id.clone(), repository.id.clone());
            SessionRow::new(self.user_id.clone(), device_id.clone(), &session, Wall::from_millis(0))
        };
        let sessions: Vec<SessionRow> = sessions.iter().map(row).collect();
        let repository = RepositoryRow::new(self.user_id.clone(), device_id.clone(), &repository);
        [upsert_of(&[device]), upsert_of(&[repository]), upsert_of(&sessions)]
    }

    /// How to reach the server, with the patience of a test.
    pub fn http(&self) -> HttpOptions {
        http(&self.server.url(), self.server.publishable_key())
    }

    /// The daemon's folder.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    fn credentials(&self) -> PathBuf {
        credentials(self.home())
    }

    /// The messages of a session as the server has them, opened: their places in the order in which they arrived.
    ///
    /// # Errors
    /// When a row does not open, or says something else than it should.
    pub fn delivered(&self, session: &SessionId) -> Result<Vec<i64>, Trouble> {
        let key = secret_of(session)?.message_key();
        let mut places = Vec::new();
        for row in self.server.messages(session)? {
            let place = MessagePosition { session_id: session, sequence_number: row.sequence_number };
            let ciphertext = STANDARD.decode(&row.content_encrypted)?;
            let text = message::open(&key, place, &ciphertext, &STANDARD.decode(&row.content_nonce)?)?;
            if !is_content(session, row.sequence_number, &text) {
                return Err(format!("{session} {} says something else", row.sequence_number).into());
            }
            places.push(row.sequence_number);
        }
        Ok(places)
    }
}

/// A session by its name.
pub fn session_id(name: &str) -> SessionId {
    uuid_of("session", name).as_str().into()
}

/// Where the daemon of `home` keeps its sign-in.
pub fn credentials(home: &Path) -> PathBuf {
    home.join("credentials")
}

/// How to reach a stand-in: on loopback, everything that takes longer than this is a fault.
pub fn http(url: &str, key: &str) -> HttpOptions {
    let mut options = HttpOptions::new(url, key);
    options.timeouts.connect = Duration::from_secs(2);
    options.timeouts.response = Duration::from_millis(500);
    options.timeouts.total = Duration::from_secs(2);
    options
}
