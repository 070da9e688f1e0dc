//! A fake project with two users, each with a session.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part; a test that cannot go on stops"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levi_core::{Notifications, Notifier as _};
use levi_realtime::Realtime;
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::FakeSupabase;
use levi_transport::rows::encode_message_row;
use levi_transport::{HttpOptions, HttpSignIn, RefreshingAuth, Table, Upsert};
use levi_types::{Auth, CredentialName, Credentials, CredentialsError, SecretString, SessionId, UserId};
use serde_json::{Value, json};

/// More than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Project {
    pub(crate) server: FakeSupabase,
    pub(crate) ada: UserId,
    auth: RefreshingAuth,
}

impl Project {
    pub(crate) fn start() -> Self {
        Self::with_token_lifetime(Duration::from_secs(3600))
    }

    pub(crate) fn with_token_lifetime(lifetime: Duration) -> Self {
        let server = FakeSupabase::builder().token_lifetime(lifetime).start().unwrap();
        let [ada, ben] = ["ada", "ben"]
            .map(|name| server.add_user(&format!("{name}@example.org"), "a long password").unwrap());
        for (name, user) in [("ada", &ada), ("ben", &ben)] {
            session(&server, name, user);
        }
        let credentials = Arc::new(Memory::default());
        let options = HttpOptions::new(server.url(), server.publishable_key());
        let auth = RefreshingAuth::new(Arc::new(HttpSignIn::new(&options).unwrap()), credentials.clone());
        let tokens = server.sign_in(&ada).unwrap();
        let stored = json!({
            "access_token": tokens.access_token.expose(),
            "refresh_token": tokens.refresh_token.expose(),
            "user_id": ada,
        });
        credentials.save(&CredentialName::SignIn, &SecretString::new(stored.to_string())).unwrap();
        Self { server, ada, auth }
    }

    pub(crate) fn options(&self) -> HttpOptions {
        HttpOptions::new(self.server.url(), self.server.publishable_key())
    }

    pub(crate) fn auth(&self) -> Arc<dyn Auth> {
        Arc::new(self.auth.clone())
    }

    pub(crate) fn realtime(&self) -> Arc<Realtime> {
        Arc::new(Realtime::new(&self.options(), self.auth()).unwrap())
    }

    pub(crate) async fn token(&self) -> String {
        self.auth.session().await.unwrap().access_token.expose().to_owned()
    }

    pub(crate) async fn refresh(&self) {
        let stale = self.auth.session().await.unwrap().access_token;
        Auth::refresh(&self.auth, &stale).await.unwrap();
    }

    /// Waits until `realtime` is in this state.
    pub(crate) async fn until(&self, realtime: &Realtime, state: Notifications) {
        let reached = async {
            while realtime.state() != state {
                realtime.changed().await;
            }
        };
        let over = tokio::time::timeout(PATIENCE, reached).await;
        assert!(over.is_ok(), "{state:?} does not come, but {:?}", realtime.state());
    }

    /// Writes a message of the user.
    pub(crate) fn write(&self, name: &str, number: i64) {
        self.write_bytes(name, number, 40);
    }

    /// Writes a message of the user whose ciphertext has so many bytes.
    pub(crate) fn write_bytes(&self, name: &str, number: i64, bytes: usize) {
        let session = SessionId::from(uuid_of("session", name).as_str());
        let mut body = vec![b'['];
        encode_message_row(&mut body, &session, number, &vec![7; bytes], &[7; 24]);
        body.push(b']');
        self.server
            .seed(Upsert { table: Table::Messages, columns: Table::Messages.columns().into(), body })
            .unwrap();
    }
}

fn session(server: &FakeSupabase, name: &str, user: &UserId) {
    let id = |kind: &str| uuid_of(kind, name);
    let (device, repository, session) = (id("device"), id("repository"), id("session"));
    let rows = [
        (Table::Devices, json!({ "id": device, "user_id": user, "name": "d", "device_type": "desktop" })),
        (
            Table::Repositories,
            json!({ "id": repository, "user_id": user, "device_id": device, "name": "r", "local_path": "/r" }),
        ),
        (
            Table::Sessions,
            json!({ "id": session, "user_id": user, "device_id": device, "repository_id": repository }),
        ),
    ];
    for (table, row) in rows {
        let columns: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let (columns, body) =
            (columns.join(",").into(), Value::Array(vec![row.clone()]).to_string().into_bytes());
        server.seed(Upsert { table, columns, body }).unwrap();
    }
}

/// A keychain in memory.
#[derive(Default)]
struct Memory(Mutex<HashMap<CredentialName, SecretString>>);

impl Credentials for Memory {
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        self.0.lock().unwrap().insert(name.clone(), secret.clone());
        Ok(())
    }

    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}
