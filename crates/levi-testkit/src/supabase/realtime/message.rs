//! The two serializers of Phoenix: an object (1.0.0) or an array (2.0.0) a message.

use serde_json::{Value, json};

/// The `vsn` of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    /// By the query of the request. As in Phoenix, the first version if it says nothing.
    pub(super) fn of(query: &str) -> Option<Self> {
        match query.split('&').find_map(|pair| pair.strip_prefix("vsn=")) {
            None | Some("1.0.0") => Some(Self::One),
            Some("2.0.0") => Some(Self::Two),
            Some(_) => None,
        }
    }
}

/// A message of either side.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) join_ref: Value,
    pub(super) reference: Value,
    pub(super) topic: String,
    pub(super) event: String,
    pub(super) payload: Value,
}

impl Message {
    pub(super) fn parse(version: Version, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let (join_ref, reference, topic, event, payload) = match version {
            Version::One => {
                (&value["join_ref"], &value["ref"], &value["topic"], &value["event"], &value["payload"])
            }
            Version::Two => (&value[0], &value[1], &value[2], &value[3], &value[4]),
        };
        Some(Self {
            join_ref: join_ref.clone(),
            reference: reference.clone(),
            topic: topic.as_str()?.to_owned(),
            event: event.as_str()?.to_owned(),
            payload: payload.clone(),
        })
    }

    pub(super) fn to_text(&self, version: Version) -> String {
        let Self { join_ref, reference, topic, event, payload } = self;
        match version {
            Version::One => json!({ "ref": reference, "topic": topic, "event": event, "payload": payload }),
            Version::Two => json!([join_ref, reference, topic, event, payload]),
        }
        .to_string()
    }

    /// The answer to this message.
    pub(super) fn reply(&self, status: &str, response: &Value) -> Self {
        let payload = json!({ "status": status, "response": response });
        Self { event: "phx_reply".to_owned(), payload, ..self.clone() }
    }
}
