//! The messages of a Phoenix channel as Supabase Realtime speaks it (version 1.0.0 of its
//! serializer: one JSON object a message).

use std::borrow::Cow;

use levi_transport::Table;
use levi_types::{AccessToken, SecretString, UserId};
use serde::{Deserialize, Serialize};

/// The version of the serializer.
pub(crate) const VERSION: &str = "1.0.0";

/// The channel. Supabase requires the prefix; the rest is arbitrary.
const TOPIC: &str = "realtime:levi";

/// The topic of heartbeats.
const PHOENIX: &str = "phoenix";

/// The name of the extension that reports changes of tables.
const CHANGES: &str = "postgres_changes";

/// Not `*`, because row level security and filters do not apply to deletions: the deletions of
/// other users would wake the follower.
const EVENTS: [&str; 2] = ["INSERT", "UPDATE"];

#[derive(Serialize)]
struct Outgoing<'a, P> {
    topic: &'a str,
    event: &'a str,
    payload: P,
    #[serde(rename = "ref")]
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_ref: Option<String>,
}

#[derive(Serialize)]
struct Join<'a> {
    config: Config<'a>,
    access_token: &'a str,
}

#[derive(Serialize)]
struct Config<'a> {
    broadcast: Broadcast,
    presence: Presence,
    postgres_changes: [Binding<'a>; EVENTS.len()],
    private: bool,
}

#[derive(Serialize)]
struct Broadcast {
    ack: bool,
    #[serde(rename = "self")]
    own: bool,
}

#[derive(Serialize)]
struct Presence {
    enabled: bool,
    key: &'static str,
}

#[derive(Serialize)]
struct Binding<'a> {
    event: &'a str,
    schema: &'a str,
    table: &'a str,
    filter: &'a str,
}

#[derive(Serialize)]
struct Token<'a> {
    access_token: &'a str,
}

#[derive(Serialize)]
struct Nothing {}

/// Subscribes to the messages of `user`. `user` must be a uuid, because it becomes part of a
/// filter.
pub(crate) fn join(reference: u64, user: &UserId, token: &AccessToken) -> SecretString {
    let filter = format!("user_id=eq.{user}");
    let (schema, table) = ("public", Table::Messages.name());
    let config = Config {
        broadcast: Broadcast { ack: false, own: false },
        presence: Presence { enabled: false, key: "" },
        postgres_changes: EVENTS.map(|event| Binding { event, schema, table, filter: &filter }),
        private: false,
    };
    // Exposed to be sent to the project, which is what the token is for.
    let payload = Join { config, access_token: token.expose() };
    let join_ref = Some(reference.to_string());
    text(&Outgoing { topic: TOPIC, event: "phx_join", payload, reference: reference.to_string(), join_ref })
}

/// Gives the channel a newer token.
pub(crate) fn access_token(reference: u64, join_ref: u64, token: &AccessToken) -> SecretString {
    // Exposed to be sent to the project.
    let payload = Token { access_token: token.expose() };
    let join_ref = Some(join_ref.to_string());
    text(&Outgoing {
        topic: TOPIC,
        event: "access_token",
        payload,
        reference: reference.to_string(),
        join_ref,
    })
}

pub(crate) fn heartbeat(reference: u64) -> SecretString {
    let reference = reference.to_string();
    text(&Outgoing { topic: PHOENIX, event: "heartbeat", payload: Nothing {}, reference, join_ref: None })
}

fn text(message: &impl Serialize) -> SecretString {
    // Structs of texts cannot fail to become JSON.
    SecretString::new(serde_json::to_string(message).unwrap_or_default())
}

/// What a message of the server means. Nothing else of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to the message with this reference, on the channel or to a heartbeat.
    Reply { reference: u64, accepted: bool },
    /// The subscription to the table works.
    Subscribed,
    /// It does not.
    NotSubscribed,
    /// Something was written.
    Changed,
    /// The server ended the channel.
    Ended,
    /// Nothing that matters here.
    Other,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default, rename = "ref")]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Payload<'a>,
}

#[derive(Default, Deserialize)]
struct Payload<'a> {
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    extension: Option<Cow<'a, str>>,
}

/// Reads a message. What is not understood is [`Incoming::Other`].
pub(crate) fn parse(text: &str) -> Incoming {
    let Ok(message) = serde_json::from_str::<Message<'_>>(text) else { return Incoming::Other };
    if message.topic != TOPIC && message.topic != PHOENIX {
        return Incoming::Other;
    }
    let accepted = message.payload.status.as_deref() == Some("ok");
    let of_changes = message.payload.extension.as_deref() == Some(CHANGES);
    match &*message.event {
        "phx_reply" => {
            let reference = message.reference.and_then(|reference| reference.parse().ok());
            reference.map_or(Incoming::Other, |reference| Incoming::Reply { reference, accepted })
        }
        CHANGES => Incoming::Changed,
        "system" if of_changes && accepted => Incoming::Subscribed,
        "system" if of_changes => Incoming::NotSubscribed,
        "phx_close" | "phx_error" => Incoming::Ended,
        _ => Incoming::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_understood_or_nothing() {
        use Incoming::*;
        let deep = "[".repeat(100_000);
        let table = [
            (
                r#"{"topic":"realtime:levi","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[{"id":1}]}},"ref":"1"}"#,
                Reply { reference: 1, accepted: true },
            ),
            (
                r#"{"ref":"7","topic":"phoenix","event":"phx_reply","payload":{"status":"ok","response":{}}}"#,
                Reply { reference: 7, accepted: true },
            ),
            (
                r#"{"topic":"realtime:levi","event":"phx_reply","payload":{"status":"error","response":{"reason":"Invalid token"}},"ref":"1"}"#,
                Reply { reference: 1, accepted: false },
            ),
            (
                r#"{"topic":"realtime:levi","event":"system","payload":{"channel":"levi","extension":"postgres_changes","message":"Subscribed to PostgreSQL","status":"ok"},"ref":null}"#,
                Subscribed,
            ),
            (
                r#"{"topic":"realtime:levi","event":"system","payload":{"extension":"postgres_changes","message":"Unable to subscribe","status":"error"}}"#,
                NotSubscribed,
            ),
            (
                r#"{"topic":"realtime:levi","event":"system","payload":{"extension":"system","message":"Token has expired","status":"error"}}"#,
                Other,
            ),
            (
                r#"{"topic":"realtime:levi","event":"postgres_changes","payload":{"ids":[1],"data":{"type":"INSERT","record":{"x":[{}]}}}}"#,
                Changed,
            ),
            (r#"{"topic":"realtime:levi","event":"phx_close","payload":{},"ref":"1"}"#, Ended),
            (r#"{"topic":"realtime:levi","event":"phx_error","payload":{}}"#, Ended),
            (r#"{"topic":"realtime:other","event":"phx_close","payload":{}}"#, Other),
            (r#"{"topic":"realtime:levi","event":"presence_state","payload":{}}"#, Other),
            (r#"{"topic":"realtime:levi","event":"phx_reply","payload":{"status":"ok"},"ref":"-1"}"#, Other),
            (r#"{"topic":"realtime:levi","event":"phx_reply","payload":7,"ref":"1"}"#, Other),
            (r#"{"topic":"realtime:levi","event":null}"#, Other),
            (r#"["1","1","realtime:levi","phx_reply",{"status":"ok"}]"#, Other),
            ("", Other),
            (&deep, Other),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn a_join_names_the_table_the_user_and_the_token() {
        let user = UserId::from("5f0c1b9e-0000-4000-8000-000000000001");
        let joined: serde_json::Value =
            serde_json::from_str(join(3, &user, &"token".into()).expose()).unwrap();
        let binding = |event| {
            serde_json::json!({
                "event": event, "schema": "public", "table": "agent_coding_session_messages",
                "filter": "user_id=eq.5f0c1b9e-0000-4000-8000-000000000001",
            })
        };
        let expected = serde_json::json!({
            "topic": "realtime:levi", "event": "phx_join", "ref": "3", "join_ref": "3",
            "payload": {
                "config": {
                    "broadcast": { "ack": false, "self": false },
                    "presence": { "enabled": false, "key": "" },
                    "postgres_changes": [binding("INSERT"), binding("UPDATE")],
                    "private": false,
                },
                "access_token": "token",
            },
        });
        assert_eq!(joined, expected);
    }
}
