//! What a user has: sessions and devices, and which of them can be read here.

use std::collections::{HashMap, HashSet};

use levi_transport::rows::{DeviceRow, SecretRow, SessionRow};
use levi_transport::{AllDevicesOf, ApiError, PassedOver, RepositoriesAmong, SecretsAmong, SessionsOf};
use levi_types::{DeviceId, RepositoryId, SessionId, SessionStatus, UserId};

use super::keys_to_try::KeysToTry;
use super::{ReadError, Reader};
use crate::reads::{MOST_DEVICES, Reads};

/// The most ids in the address of one request.
const MOST_IDS: usize = 50;

/// A session of the user, on whatever device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSummary {
    /// The session.
    pub id: SessionId,
    /// The title shown to people.
    pub title: Option<String>,
    /// Whether it runs, is paused or has ended.
    pub status: SessionStatus,
    /// The repository that it works in.
    pub repository_id: RepositoryId,
    /// The repository's name, if the server has the repository.
    pub repository_name: Option<String>,
    /// The device that owns it.
    pub device_id: DeviceId,
    /// When the owner last synced it, in RFC 3339 as the server writes it.
    pub last_activity: Option<String>,
    /// Whether this device can read it.
    pub access: Access,
}

/// Whether this device can read a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// It has the session's key.
    Key,
    /// The server has an envelope for it, which it opens when it reads the session.
    Envelope,
    /// It has neither: no device has shared the session with it.
    NotShared,
}

/// Some sessions, ordered by id.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionsPage {
    /// The sessions, and those whose row cannot be read, by id.
    pub sessions: Vec<Result<SessionSummary, UnreadableSession>>,
    /// Ask for the next page after this. `None`: there was nothing past the cursor.
    pub cursor: Option<SessionId>,
}

/// A session whose row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row of session {session_id} cannot be read: {error}")]
pub struct UnreadableSession {
    /// The session.
    pub session_id: SessionId,
    /// Why.
    pub error: ApiError,
}

/// Some sessions that were shared with this device, ordered by id.
#[derive(Debug)]
#[non_exhaustive]
pub struct SharedSessions {
    /// Sessions that have an envelope for this device.
    pub sessions: Vec<SessionId>,
    /// Ask for the next page after this. `None`: there was nothing past the cursor.
    pub cursor: Option<SessionId>,
}

/// A device of the user, as the project's table has it. The table does not prove whose a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceSummary {
    /// The device.
    pub id: DeviceId,
    /// The name shown to people.
    pub name: String,
    /// A word such as `desktop` or `phone`.
    pub device_type: String,
    /// Whether new session secrets are sealed for it: it is active and has a public key.
    pub receives_secrets: bool,
    /// Whether it is this one.
    pub is_this_device: bool,
}

/// A device whose row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row of device {device_id} cannot be read: {error}")]
pub struct UnreadableDevice {
    /// The device.
    pub device_id: DeviceId,
    /// Why.
    pub error: ApiError,
}

impl Reader {
    /// At most `limit` sessions of the user past `after`, whether this device can read them or not.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn sessions(&self, after: Option<&SessionId>, limit: u32) -> Result<SessionsPage, ReadError> {
        let auth = self.session().await?;
        auth.user_id.check()?;
        let reads = self.server.reads(&auth, self.retries);
        let query = SessionsOf(&auth.user_id);
        let page = reads.page(&query, after, limit, &reads.sizes().sessions).await?;
        let rows: Vec<&SessionRow> = page.rows.iter().flatten().collect();
        let names = names(&reads, rows.iter().map(|row| row.repository_id.clone()).collect()).await?;
        let own: HashSet<SessionId> = rows
            .iter()
            .filter(|row| self.has_key(&auth.user_id, &row.id))
            .map(|row| row.id.clone())
            .collect();
        let others = rows.iter().filter(|row| !own.contains(&row.id)).map(|row| row.id.clone());
        let shared = self.shared_among(&reads, others.collect()).await?;
        self.server.check(&auth)?;
        let access = |id: &SessionId| match (own.contains(id), shared.contains(id)) {
            (true, _) => Access::Key,
            (_, true) => Access::Envelope,
            _ => Access::NotShared,
        };
        let session = |row: Result<SessionRow, PassedOver<SessionId>>| match row {
            Ok(row) => Ok(SessionSummary {
                access: access(&row.id),
                repository_name: names.get(&row.repository_id).cloned(),
                id: row.id,
                title: row.title,
                status: row.status,
                repository_id: row.repository_id,
                device_id: row.device_id,
                last_activity: row.last_heartbeat_at,
            }),
            Err(PassedOver { key, error }) => Err(UnreadableSession { session_id: key, error }),
        };
        Ok(SessionsPage { sessions: page.rows.into_iter().map(session).collect(), cursor: page.cursor })
    }

    /// At most `limit` sessions past `after` that this device has an envelope for.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn shared_sessions(
        &self,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<SharedSessions, ReadError> {
        let auth = self.session().await?;
        let reads = self.server.reads(&auth, self.retries);
        let page = reads.sessions_of(&self.opening.device.id, after, limit).await?;
        // The envelope of a row that cannot be read is named when its session is.
        let session = |row: Result<SecretRow, PassedOver<SessionId>>| match row {
            Ok(row) => row.session_id,
            Err(PassedOver { key, .. }) => key,
        };
        Ok(SharedSessions { sessions: page.rows.into_iter().map(session).collect(), cursor: page.cursor })
    }

    /// Every device of the user, and those whose row cannot be read, by id.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn devices(&self) -> Result<Vec<Result<DeviceSummary, UnreadableDevice>>, ReadError> {
        let auth = self.session().await?;
        auth.user_id.check()?;
        let reads = self.server.reads(&auth, self.retries);
        let rows = reads.all(&AllDevicesOf(&auth.user_id), &reads.sizes().devices, MOST_DEVICES).await?;
        self.server.check(&auth)?;
        let device = |row: DeviceRow| DeviceSummary {
            is_this_device: row.id == self.opening.device.id,
            receives_secrets: row.is_active && row.public_key.is_some(),
            id: row.id,
            name: row.name,
            device_type: row.device_type,
        };
        let unreadable = |PassedOver { key, error }| UnreadableDevice { device_id: key, error };
        Ok(rows.into_iter().map(|row| row.map(device).map_err(unreadable)).collect())
    }

    /// Whether this device has a key of the session without asking the server.
    pub(super) fn has_key(&self, user: &UserId, session: &SessionId) -> bool {
        let mut keys_to_try = KeysToTry::new(&self.opening, user, session);
        keys_to_try.ask_store();
        keys_to_try.first().is_some()
    }

    /// Which of `sessions` have an envelope for this device, whether it can be opened or not.
    async fn shared_among(
        &self,
        reads: &Reads<'_>,
        sessions: Vec<SessionId>,
    ) -> Result<HashSet<SessionId>, ReadError> {
        let mut shared = HashSet::new();
        for some in sessions.chunks(MOST_IDS) {
            let query = SecretsAmong { device: &self.opening.device.id, sessions: some };
            let rows = reads.all(&query, &reads.sizes().secrets, MOST_IDS).await?;
            shared.extend(rows.into_iter().map(|row| match row {
                Ok(row) => row.session_id,
                Err(PassedOver { key, .. }) => key,
            }));
        }
        Ok(shared)
    }
}

/// The names of repositories.
async fn names(
    reads: &Reads<'_>,
    repositories: HashSet<RepositoryId>,
) -> Result<HashMap<RepositoryId, String>, ReadError> {
    let repositories: Vec<RepositoryId> = repositories.into_iter().collect();
    let mut names = HashMap::new();
    for some in repositories.chunks(MOST_IDS) {
        let rows = reads.all(&RepositoriesAmong(some), &reads.sizes().repositories, MOST_IDS).await?;
        names.extend(rows.into_iter().flatten().map(|row| (row.id, row.name)));
    }
    Ok(names)
}
