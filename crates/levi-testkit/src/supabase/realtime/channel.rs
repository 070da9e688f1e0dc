//! One joined channel: its user, and the changes that it subscribes to.

use std::sync::mpsc::Sender;

use levi_types::Wall;
use serde_json::{Value, json};

use super::message::{Message, Version};
use super::socket::Outgoing;
use crate::supabase::auth::{AuthState, Bearer};
use crate::supabase::value::Uuid;

/// A socket, and a topic on it.
pub(super) type ChannelId = (u64, String);

pub(super) struct Channel {
    pub(super) version: Version,
    pub(super) out: Sender<Outgoing>,
    pub(super) topic: String,
    pub(super) join_ref: Value,
    pub(super) token: String,
    /// `None` for the project's own keys.
    pub(super) user: Option<Uuid>,
    pub(super) bindings: Vec<Binding>,
}

/// One entry of `postgres_changes`.
pub(super) struct Binding {
    id: u64,
    event: String,
    /// A column and its value: `column=eq.value`.
    filter: Option<(String, String)>,
}

impl Binding {
    /// The binding, and what the server answers for it: the same with an id. `None`: such a
    /// subscription is refused.
    pub(super) fn parse(id: u64, config: &Value) -> Option<(Self, Value)> {
        let filter = match config["filter"].as_str() {
            None => None,
            Some(filter) => {
                let (column, value) = filter.split_once("=eq.")?;
                Some((column.to_owned(), value.to_owned()))
            }
        };
        let table = config["table"].as_str().unwrap_or("*");
        let here = ["*", "agent_coding_session_messages"].contains(&table)
            && ["*", "public"].contains(&config["schema"].as_str()?);
        let event = config["event"].as_str()?.to_owned();
        let mut answer = config.clone();
        answer.as_object_mut()?.insert("id".to_owned(), json!(id));
        here.then_some((Self { id, event, filter }, answer))
    }

    fn covers(&self, event: &str, record: &Value) -> bool {
        let passes = |(column, value): &(String, String)| record[column].as_str() == Some(value);
        (self.event == "*" || self.event.eq_ignore_ascii_case(event))
            && self.filter.as_ref().is_none_or(passes)
    }
}

impl Channel {
    pub(super) fn is_valid(&self, auth: &AuthState, now: Wall) -> bool {
        self.user.is_none() || matches!(auth.bearer(&self.token, now.as_millis()), Bearer::Valid(_))
    }

    /// Reports a row that the user may see. Returns whether it did.
    pub(super) fn report(&self, event: &str, record: &Value) -> bool {
        let owner = record["user_id"].as_str().and_then(Uuid::parse);
        let ids: Vec<u64> =
            self.bindings.iter().filter(|binding| binding.covers(event, record)).map(|b| b.id).collect();
        if ids.is_empty() || owner.is_none() || owner != self.user {
            return false;
        }
        let data = json!({
            "schema": "public",
            "table": "agent_coding_session_messages",
            "commit_timestamp": "2026-01-01T00:00:00Z",
            "type": event,
            "columns": columns(record),
            "record": record,
            "errors": null,
        });
        self.send("postgres_changes", json!({ "ids": ids, "data": data }));
        true
    }

    pub(super) fn system(&self, extension: &str, status: &str, message: &str) {
        let channel = self.topic.strip_prefix("realtime:").unwrap_or(&self.topic);
        let payload =
            json!({ "channel": channel, "extension": extension, "message": message, "status": status });
        self.send("system", payload);
    }

    /// Says why, and closes it.
    pub(super) fn end_for(&self, message: &str) {
        self.system("system", "error", message);
        self.send("phx_close", json!({}));
    }

    fn send(&self, event: &str, payload: Value) {
        let message = Message {
            join_ref: self.join_ref.clone(),
            reference: Value::Null,
            topic: self.topic.clone(),
            event: event.to_owned(),
            payload,
        };
        // The socket has ended if this fails.
        let _ = self.out.send(Outgoing::now(message.to_text(self.version)));
    }
}

fn columns(record: &Value) -> Vec<Value> {
    let kind = |value: &Value| if value.is_number() { "int8" } else { "text" };
    let names = record.as_object().into_iter().flatten();
    names.map(|(name, value)| json!({ "name": name, "type": kind(value) })).collect()
}
