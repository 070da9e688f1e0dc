use std::borrow::Cow;
use std::fmt::Write as _;

use levi_transport::{Table, Upsert};
use serde_json::{Value, json};

use super::client::{Call, Client, Reply};
use super::error::ContractError;
use super::target::{Target, User};
use super::token;

/// What a case runs in: a session with its parents and its secret, once for each of the two users.
pub(super) struct Environment<'t> {
    pub(super) client: &'t Client,
    pub(super) target: &'t Target,
    pub(super) mine: UserRows<'t>,
    pub(super) theirs: UserRows<'t>,
}

/// One user's rows.
pub(super) struct UserRows<'t> {
    pub(super) user: &'t User,
    pub(super) device: String,
    pub(super) repository: String,
    pub(super) session: String,
}

impl<'t> Environment<'t> {
    pub(super) fn create(client: &'t Client, target: &'t Target) -> Result<Self, ContractError> {
        let [mine, theirs] = &target.users;
        Ok(Self {
            client,
            target,
            mine: UserRows::create(client, mine)?,
            theirs: UserRows::create(client, theirs)?,
        })
    }

    /// Sends with the first user's token.
    pub(super) fn send(&self, call: Call) -> Result<Reply, ContractError> {
        self.client.send(call.token(&self.mine.user.access_token))
    }

    /// Sends with the token of the call, if it has one.
    pub(super) fn send_as_is(&self, call: Call) -> Result<Reply, ContractError> {
        self.client.send(call)
    }

    /// The sequence numbers and contents of a session's messages, as their owner reads them.
    pub(super) fn messages(&self, rows: &UserRows<'_>) -> Result<Vec<(String, String)>, ContractError> {
        let mut seen = Vec::new();
        let mut last = "-1".to_owned();
        loop {
            // As text, because some JSON readers and writers round large integers.
            let path = format!(
                "/rest/v1/agent_coding_session_messages?select=n:sequence_number::text,content_encrypted\
                 &session_id=eq.{}&sequence_number=gt.{last}&order=sequence_number&limit=1000",
                rows.session
            );
            let reply = self.client.send(Call::new("GET", path).token(&rows.user.access_token))?;
            let page = reply.rows();
            let Some(end) = page.last().and_then(|row| row["n"].as_str()) else {
                return if reply.status == 200 {
                    Ok(seen)
                } else {
                    Err(reply.preparation("reading messages"))
                };
            };
            last = end.to_owned();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            seen.extend(page.iter().map(|row| (text(&row["n"]), text(&row["content_encrypted"]))));
        }
    }
}

impl<'t> UserRows<'t> {
    fn create(client: &Client, user: &'t User) -> Result<Self, ContractError> {
        let rows = Self { user, device: token::uuid()?, repository: token::uuid()?, session: token::uuid()? };
        for (table, row) in [
            (Table::Devices, rows.device_row(&rows.device)),
            (Table::Repositories, rows.repository_row(&rows.repository, &rows.device)),
            (Table::Sessions, rows.session_row(&rows.session, &rows.device, &rows.repository)),
            (Table::Secrets, rows.secret_row(&rows.session, &rows.device)),
        ] {
            let reply = client.send(Call::upsert(upsert(table, &[row])).token(&user.access_token))?;
            if !(200..300).contains(&reply.status) {
                return Err(reply.preparation(&format!("preparing a row of {}", table.name())));
            }
        }
        Ok(rows)
    }

    /// Deletes the rows, children first.
    pub(super) fn delete(&self, client: &Client) -> Result<(), ContractError> {
        for (table, column, id) in [
            (Table::Sessions, "device_id", &self.device),
            (Table::Repositories, "device_id", &self.device),
            (Table::Devices, "id", &self.device),
            (Table::Pairings, "id", &self.session),
        ] {
            let call = Call::new("DELETE", format!("/rest/v1/{}?{column}=eq.{id}", table.name()));
            client.send(call.token(&self.user.access_token))?;
        }
        Ok(())
    }

    pub(super) fn device_row(&self, id: &str) -> Value {
        json!({"id": id, "user_id": self.user.id, "name": "contract", "device_type": "desktop",
               "public_key": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", "is_active": true})
    }

    pub(super) fn repository_row(&self, id: &str, device: &str) -> Value {
        json!({"id": id, "user_id": self.user.id, "device_id": device, "name": "contract",
               "local_path": format!("/contract/{id}"), "remote_url": null, "default_branch": "main",
               "is_worktree": false, "worktree_branch": null, "status": "active"})
    }

    pub(super) fn session_row(&self, id: &str, device: &str, repository: &str) -> Value {
        json!({"id": id, "user_id": self.user.id, "device_id": device, "repository_id": repository,
               "status": "active", "title": null, "current_branch": null, "working_directory": null,
               "is_worktree": false, "worktree_path": null, "last_heartbeat_at": "2026-01-02T03:04:05.678Z"})
    }

    pub(super) fn secret_row(&self, session: &str, device: &str) -> Value {
        json!({"session_id": session, "device_id": device, "ephemeral_public_key": "ZW5j",
               "encrypted_secret": "c2VhbGVk", "sender_device_id": null})
    }

    /// An entry of the device list, which a run cannot delete. Its contents are no device's, so
    /// devices skip it.
    pub(super) fn list_row(&self, slot: i64) -> Value {
        json!({"user_id": self.user.id, "slot": slot, "entry": LIST_ENTRY, "signature": "c2ln",
               "cosignature": null})
    }

    /// A keyring, which a run cannot delete. Always of one member, so that a second run adds no
    /// row.
    pub(super) fn keyring_row(&self) -> Value {
        json!({"user_id": self.user.id, "member_id": "00000000-0000-4000-8000-636f6e747261", "epoch": 1,
               "enc": "ZW5j", "sealed": "c2VhbGVk"})
    }

    pub(super) fn pairing_row(&self) -> Value {
        json!({"user_id": self.user.id, "id": self.session, "request": "cmVxdWVzdA==", "answer": null,
               "cosignature": null})
    }

    pub(super) fn message_row(&self, sequence_number: i64, content: &str) -> Value {
        message_row(&self.session, sequence_number, content)
    }
}

/// What `entry` holds in every row of a device list that a run adds.
pub(super) const LIST_ENTRY: &str = "Y29udHJhY3Q=";

/// The last slot. A run adds one row at most to a list that has a contract row already.
pub(super) const LAST_SLOT: i64 = 1999;

pub(super) fn message_row(session: &str, sequence_number: i64, content: &str) -> Value {
    json!({"session_id": session, "sequence_number": sequence_number,
           "content_encrypted": content, "content_nonce": "bm9uY2U="})
}

/// An upsert in Levi's form, with any rows.
pub(super) fn upsert(table: Table, rows: &[Value]) -> Upsert {
    let mut body = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(body, "{comma}{row}");
    }
    body.push(']');
    Upsert { table, columns: Cow::Borrowed(table.columns()), body: body.into_bytes() }
}
