//! What tells a follower that something may have changed, so that it asks at once.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

/// Says that something may have changed, such as a push message or a socket of the project. It only makes a follower ask
/// sooner: one that says too much costs requests, one that says nothing costs time.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Returns when something may have changed since the last call returned, or when [`state`](Self::state) is another. The
    /// follower drops the future when it asks for another reason.
    async fn changed(&self);

    /// Whether changes are pushed now. While they are, a follower at rest polls once a minute only. The default does not
    /// promise that, so the follower keeps its own pace.
    fn state(&self) -> Notifications {
        Notifications::Polling(PollingReason::Unknown)
    }

    /// The network may be back: connect again at once.
    fn network_changed(&self) {}
}

/// How a follower learns of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Notifications {
    /// The server pushes them. A poll every minute stays, because a push may be lost.
    Connected,
    /// The follower asks, and this is why.
    Polling(PollingReason),
}

impl Default for Notifications {
    fn default() -> Self {
        Self::Polling(PollingReason::NotUsed)
    }
}

/// Why changes are not pushed. Holds no text of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PollingReason {
    /// The follower has no notifier.
    NotUsed,
    /// The notifier does not say whether it is connected.
    Unknown,
    /// The first connection is being made.
    Connecting,
    /// The notifier needs a tokio runtime, and the follower runs in none.
    NoRuntime,
    /// Nobody is signed in, or the sign-in cannot be used now.
    NotSignedIn,
    /// The server or the proxy cannot be reached.
    Unreachable {
        /// [`ApiError::code`](levi_transport::ApiError::code), such as `timeout` or `connect`.
        code: String,
    },
    /// The server, or a proxy before it, refuses WebSocket: it has no Realtime, or too many connections.
    NotOffered {
        /// The HTTP status of its answer.
        status: u16,
    },
    /// The server refuses the subscription: the token is not accepted, or Realtime is not for this user.
    Refused,
    /// The server takes the connection and does not answer.
    Silent,
    /// The server takes the subscription and does not confirm it: the table may not be in the publication
    /// `supabase_realtime`.
    NotSubscribed,
    /// The connection ended.
    Dropped,
    /// The server sends what is no WebSocket message, or one that is too large.
    BadData,
}

impl fmt::Display for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("changes are pushed by Realtime"),
            Self::Polling(reason) => write!(f, "polling: {reason}"),
        }
    }
}

impl fmt::Display for PollingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUsed => "no notifier is used",
            Self::Unknown => "the notifier does not say whether it is connected",
            Self::Connecting => "Realtime is not connected yet",
            Self::NoRuntime => "Realtime needs a tokio runtime",
            Self::NotSignedIn => "nobody is signed in, or the sign-in cannot be used now",
            Self::Unreachable { code } => return write!(f, "Realtime cannot be reached ({code})"),
            Self::NotOffered { status } => {
                return write!(f, "the server or a proxy refuses WebSocket (HTTP {status})");
            }
            Self::Refused => "Realtime refuses the subscription",
            Self::Silent => "Realtime does not answer",
            Self::NotSubscribed => {
                "Realtime does not confirm the subscription; is agent_coding_session_messages in the publication \
                 supabase_realtime?"
            }
            Self::Dropped => "the connection to Realtime ended",
            Self::BadData => "Realtime sends what cannot be understood",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_written_as_programs_read_it() {
        let table = [
            (Notifications::Connected, r#"{"by":"connected"}"#),
            (Notifications::default(), r#"{"by":"polling","why":"not_used"}"#),
            (
                Notifications::Polling(PollingReason::NotOffered { status: 404 }),
                r#"{"by":"polling","why":"not_offered","status":404}"#,
            ),
        ];
        for (state, json) in table {
            assert_eq!(serde_json::to_string(&state).unwrap(), json);
        }
    }
}
