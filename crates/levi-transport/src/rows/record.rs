use std::borrow::Cow;

use levi_types::{CodingSession, DeviceId, Repository, RepositoryId, SessionId, SessionStatus, UserId, Wall};
use serde::{Deserialize, Serialize};

use super::timestamp::rfc3339;
use crate::port::{Table, Upsert};

/// A row that is written through serde: all but messages.
pub trait Record: Serialize {
    /// The table it belongs in.
    const TABLE: Table;

    /// The columns that an upsert of `rows` writes. A column that is not named keeps its value on the server.
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
/// let upsert = upsert_of(&[DeviceRow {
///     id: "4be0643f-1d98-473b-97cd-ca98a65347dd".into(),
///     user_id: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into(),
///     name: Some("laptop".into()),
///     device_type: Some("desktop".into()),
///     public_key: Some("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=".into()),
///     is_active: true,
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
    /// The device.
    pub id: DeviceId,
    /// Whose it is.
    pub user_id: UserId,
    /// What people call it. The server may show none, but takes no new row without it.
    pub name: Option<String>,
    /// What it is, a word such as `desktop` or `phone`; likewise.
    pub device_type: Option<String>,
    /// base64 of 32 bytes, as the server has it. It may be anything: whoever uses it as a key checks it.
    pub public_key: Option<String>,
    /// Whether it still gets secrets.
    pub is_active: bool,
}

impl Record for DeviceRow {
    const TABLE: Table = Table::Devices;
}

/// The status of a repository that is in use.
pub const REPOSITORY_ACTIVE: &str = "active";

/// A row of `repositories`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRow {
    /// The repository.
    pub id: RepositoryId,
    /// Whose it is.
    pub user_id: UserId,
    /// The device it lies on.
    pub device_id: DeviceId,
    /// What people call it.
    pub name: String,
    /// Where it lies there.
    pub local_path: String,
    /// Where it is pushed to, if anywhere.
    pub remote_url: Option<String>,
    /// The branch new work starts from.
    pub default_branch: Option<String>,
    /// Whether it is a worktree of another checkout.
    pub is_worktree: bool,
    /// The branch of that worktree.
    pub worktree_branch: Option<String>,
    /// [`REPOSITORY_ACTIVE`], or another word of the product.
    pub status: String,
}

impl RepositoryRow {
    /// The row of a repository on `device_id`. It is a worktree where it has a worktree's branch.
    pub fn new(user_id: UserId, device_id: DeviceId, repository: &Repository) -> Self {
        let Repository { id, name, local_path, remote_url, default_branch, worktree_branch } =
            repository.clone();
        Self {
            id,
            user_id,
            device_id,
            name,
            local_path,
            remote_url,
            default_branch,
            is_worktree: worktree_branch.is_some(),
            worktree_branch,
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
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The device that owns it.
    pub device_id: DeviceId,
    /// The repository it works in.
    pub repository_id: RepositoryId,
    /// Where it stands.
    pub status: SessionStatus,
    /// What people call it.
    pub title: Option<String>,
    /// The branch checked out while it runs.
    pub current_branch: Option<String>,
    /// The folder it runs in.
    pub working_directory: Option<String>,
    /// Whether it runs in a worktree.
    pub is_worktree: bool,
    /// That worktree's folder.
    pub worktree_path: Option<String>,
    /// When its device last said that it is there: RFC 3339 (see [`rfc3339`]).
    pub last_heartbeat_at: Option<String>,
}

impl SessionRow {
    /// The row of a session, synced by `this_device` at `now`. A session that names no owner belongs to this
    /// device; it runs in a worktree where it has a worktree's folder.
    pub fn new(user_id: UserId, this_device: DeviceId, session: &CodingSession, now: Wall) -> Self {
        let session = session.clone();
        Self {
            id: session.id,
            user_id,
            device_id: session.owner_device_id.unwrap_or(this_device),
            repository_id: session.repository_id,
            status: session.status,
            title: session.title,
            current_branch: session.current_branch,
            working_directory: session.working_directory,
            is_worktree: session.worktree_path.is_some(),
            worktree_path: session.worktree_path,
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
    /// The session.
    pub session_id: SessionId,
    /// The device that can open it.
    pub device_id: DeviceId,
    /// base64 of the encapsulated key, 32 bytes.
    pub ephemeral_public_key: String,
    /// base64 of ciphertext and tag.
    pub encrypted_secret: String,
    /// The device that sealed it, where that is not the session's own device. An upsert writes the column
    /// only if at least one of its rows has it.
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

/// Which device owns a session: what the receiving side needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SessionOwner {
    /// The session.
    pub id: SessionId,
    /// Its device.
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

    /// PostgREST refuses a key that `columns=` leaves out silently and one that is missing loudly, so the
    /// two lists must agree.
    #[track_caller]
    fn assert_columns_are_the_keys<T: Record>(row: T) {
        let upsert = upsert_of(&[row]);
        let rows: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(&upsert.body).unwrap();
        let keys: BTreeSet<&str> = rows[0].keys().map(String::as_str).collect();
        assert_eq!(keys, upsert.columns.split(',').collect());
    }

    fn repository() -> RepositoryRow {
        let local = Repository {
            id: "r".into(),
            name: "levi".into(),
            local_path: "/src/levi".into(),
            remote_url: None,
            default_branch: None,
            worktree_branch: Some("topic".into()),
        };
        RepositoryRow::new("u".into(), "d".into(), &local)
    }

    fn session(owner: Option<&str>) -> SessionRow {
        let local = CodingSession {
            id: "s".into(),
            repository_id: "r".into(),
            owner_device_id: owner.map(DeviceId::from),
            status: SessionStatus::Paused,
            title: None,
            current_branch: None,
            working_directory: None,
            worktree_path: None,
        };
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
        assert_eq!(device[0].public_key.as_deref(), Some("31 bytes, or none"), "judged elsewhere");
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
