use std::borrow::Cow;

use levi_types::{CodingSession, DeviceId, Repository, RepositoryId, SessionId, SessionStatus, UserId, Wall};
use serde::{Deserialize, Deserializer, Serialize};

use super::timestamp::rfc3339;
use crate::supabase::Upsert;
use crate::table::Table;

/// A row that is serialized with serde: all but messages.
pub trait Record: Serialize {
    /// The row's table.
    const TABLE: Table;

    /// The columns that an upsert of `rows` writes. A column that is not named keeps its value on
    /// the server.
    fn columns(rows: &[Self]) -> Cow<'static, str>
    where
        Self: Sized,
    {
        let _ = rows;
        Cow::Borrowed(Self::TABLE.columns())
    }
}

/// One upsert of all `rows`.
///
/// ```
/// use levi_transport::rows::{DeviceRow, upsert_of};
///
/// let (id, user_id) = ("4be0643f-1d98-473b-97cd-ca98a65347dd", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
/// let upsert = upsert_of(&[DeviceRow {
///     public_key: Some("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=".into()),
///     ..DeviceRow::new(id, user_id, "laptop", "desktop")
/// }]);
/// assert_eq!(upsert.columns, "id,user_id,name,device_type,public_key,is_active");
/// ```
pub fn upsert_of<T: Record>(rows: &[T]) -> Upsert {
    #[expect(clippy::expect_used, reason = "text, booleans and nulls in structs always make JSON")]
    let body = serde_json::to_vec(rows).expect("rows are plain structs");
    Upsert { table: T::TABLE, columns: T::columns(rows), body }
}

/// A row of `devices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// The device's id, a uuid.
    pub id: DeviceId,
    /// The user who registered the device.
    pub user_id: UserId,
    /// The name shown to people. Empty if a table that is not Levi's has NULL.
    #[serde(deserialize_with = "text_or_empty")]
    pub name: String,
    /// A word such as `desktop` or `phone`. Empty if a table that is not Levi's has NULL.
    #[serde(deserialize_with = "text_or_empty")]
    pub device_type: String,
    /// base64 of 32 bytes, as stored on the server. Not checked here: it may be any text.
    pub public_key: Option<String>,
    /// Whether new session secrets are sealed for the device.
    pub is_active: bool,
}

impl DeviceRow {
    /// An active device without a public key.
    pub fn new(
        id: impl Into<DeviceId>,
        user_id: impl Into<UserId>,
        name: impl Into<String>,
        device_type: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            user_id: user_id.into(),
            name: name.into(),
            device_type: device_type.into(),
            public_key: None,
            is_active: true,
        }
    }
}

fn text_or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Record for DeviceRow {
    const TABLE: Table = Table::Devices;
}

/// The status of a repository that is in use.
pub const REPOSITORY_ACTIVE: &str = "active";

/// A row of `repositories`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRow {
    /// The repository's id, a uuid.
    pub id: RepositoryId,
    /// The user who owns the device.
    pub user_id: UserId,
    /// The device that has this checkout.
    pub device_id: DeviceId,
    /// The name shown to people.
    pub name: String,
    /// The checkout's folder on that device.
    pub local_path: String,
    /// The URL of the git remote.
    pub remote_url: Option<String>,
    /// The branch that new work starts from, such as `main`.
    pub default_branch: Option<String>,
    /// Whether the folder is a git worktree of another checkout.
    pub is_worktree: bool,
    /// The branch checked out in that worktree.
    pub worktree_branch: Option<String>,
    /// [`REPOSITORY_ACTIVE`], or another status that the product defines.
    pub status: String,
}

/// Text that PostgreSQL stores: it has no NUL.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

impl RepositoryRow {
    /// The row of a repository on `device_id`. A repository with a worktree branch is a worktree.
    pub fn new(user_id: UserId, device_id: DeviceId, repository: &Repository) -> Self {
        let Repository { id, name, local_path, remote_url, default_branch, worktree_branch } =
            repository.clone();
        Self {
            id,
            user_id,
            device_id,
            name: storable(name),
            local_path,
            remote_url: remote_url.map(storable),
            default_branch: default_branch.map(storable),
            is_worktree: worktree_branch.is_some(),
            worktree_branch: worktree_branch.map(storable),
            status: REPOSITORY_ACTIVE.to_owned(),
        }
    }
}

impl Record for RepositoryRow {
    const TABLE: Table = Table::Repositories;
}

/// A row of `agent_coding_sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The session's id, a uuid.
    pub id: SessionId,
    /// The user who owns the session.
    pub user_id: UserId,
    /// The device that owns the session.
    pub device_id: DeviceId,
    /// The repository that the session works in.
    pub repository_id: RepositoryId,
    /// Whether the session runs, is paused or has ended.
    pub status: SessionStatus,
    /// The title shown to people.
    pub title: Option<String>,
    /// The branch checked out while the session runs.
    pub current_branch: Option<String>,
    /// The folder that the session runs in.
    pub working_directory: Option<String>,
    /// Whether the session runs in a git worktree.
    pub is_worktree: bool,
    /// That worktree's folder.
    pub worktree_path: Option<String>,
    /// When the owner last synced the session, in RFC 3339 (see [`rfc3339`]).
    pub last_heartbeat_at: Option<String>,
}

impl SessionRow {
    /// The row of a session, synced by `this_device` at `now`. A session without an owner belongs
    /// to this device. A session with a worktree path runs in a worktree.
    pub fn new(user_id: UserId, this_device: DeviceId, session: &CodingSession, now: Wall) -> Self {
        let session = session.clone();
        Self {
            id: session.id,
            user_id,
            device_id: session.owner_device_id.unwrap_or(this_device),
            repository_id: session.repository_id,
            status: session.status,
            title: session.title.map(storable),
            current_branch: session.current_branch.map(storable),
            working_directory: session.working_directory.map(storable),
            is_worktree: session.worktree_path.is_some(),
            worktree_path: session.worktree_path.map(storable),
            last_heartbeat_at: Some(rfc3339(now)),
        }
    }
}

impl Record for SessionRow {
    const TABLE: Table = Table::Sessions;
}

/// A row of `agent_coding_session_secrets`: one session's secret, sealed for one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRow {
    /// The session whose secret it is.
    pub session_id: SessionId,
    /// The device that can open the envelope.
    pub device_id: DeviceId,
    /// base64 of the encapsulated key, 32 bytes.
    pub ephemeral_public_key: String,
    /// base64 of ciphertext and tag.
    pub encrypted_secret: String,
    /// The device that sealed it. `None` in a row of an earlier version: the session's owner did.
    /// An upsert writes the column only if at least one of its rows has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_device_id: Option<DeviceId>,
}

impl Record for SecretRow {
    const TABLE: Table = Table::Secrets;

    fn columns(rows: &[Self]) -> Cow<'static, str> {
        if rows.iter().any(|row| row.sender_device_id.is_some()) {
            return Cow::Borrowed(Self::TABLE.columns());
        }
        Cow::Borrowed("session_id,device_id,ephemeral_public_key,encrypted_secret")
    }
}

/// A repository that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FoundRepository {
    /// The id.
    pub id: RepositoryId,
}

/// The device that owns a session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SessionOwner {
    /// The session's id.
    pub id: SessionId,
    /// The owner's id.
    pub device_id: DeviceId,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rows::decode_rows;

    fn secret(sender: Option<&str>) -> SecretRow {
        SecretRow {
            session_id: "s".into(),
            device_id: "d".into(),
            ephemeral_public_key: "a".into(),
            encrypted_secret: "b".into(),
            sender_device_id: sender.map(DeviceId::from),
        }
    }

    /// PostgREST silently ignores a key that `columns=` leaves out, and fails on one that is
    /// missing, so the two lists must agree.
    #[track_caller]
    fn assert_columns_are_the_keys<T: Record>(row: T) {
        let upsert = upsert_of(&[row]);
        let rows: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(&upsert.body).unwrap();
        let keys: BTreeSet<&str> = rows[0].keys().map(String::as_str).collect();
        assert_eq!(keys, upsert.columns.split(',').collect());
    }

    fn repository() -> RepositoryRow {
        let local =
            Repository { worktree_branch: Some("topic".into()), ..Repository::new("r", "levi", "/src/levi") };
        RepositoryRow::new("u".into(), "d".into(), &local)
    }

    fn session(owner: Option<&str>) -> SessionRow {
        let local =
            CodingSession { owner_device_id: owner.map(DeviceId::from), ..CodingSession::new("s", "r") };
        SessionRow::new("u".into(), "this".into(), &local, Wall::from_millis(1))
    }

    #[test]
    fn the_columns_named_are_the_keys_written() {
        assert_columns_are_the_keys(repository());
        assert_columns_are_the_keys(session(None));
        assert_columns_are_the_keys(secret(None));
        assert_columns_are_the_keys(secret(Some("other")));
        let body = br#"[{"id":"d","user_id":"u","name":null,"device_type":null,"public_key":"31 bytes, or none","is_active":true}]"#;
        let device: Vec<DeviceRow> = decode_rows(body).unwrap();
        assert_eq!(device[0].public_key.as_deref(), Some("31 bytes, or none"), "not checked here");
        assert_columns_are_the_keys(device[0].clone());
    }

    #[test]
    fn a_mixed_upsert_of_secrets_names_the_sender_for_all() {
        assert!(upsert_of(&[secret(None), secret(Some("other"))]).columns.ends_with(",sender_device_id"));
    }

    #[test]
    fn a_session_belongs_to_this_device_unless_it_says_otherwise() {
        assert_eq!(session(None).device_id, "this".into());
        assert_eq!(session(Some("phone")).device_id, "phone".into());
        assert_eq!(session(None).last_heartbeat_at.as_deref(), Some("1970-01-01T00:00:00.001Z"));
        assert!(repository().is_worktree && !session(None).is_worktree);
    }
}
