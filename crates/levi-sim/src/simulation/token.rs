//! What Levi can know of its token.

use std::time::Duration;

use levi_outbox::LaneKey;
use levi_types::Monotonic;

/// Whether Levi may send, as far as it can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Out,
    /// A fresh token was asked for.
    Refreshing,
    /// No fresh token is available; the present one must not be used again before this time.
    UseLater(Monotonic),
    /// The project refused a token that was granted a moment ago. It must not be used again before
    /// this time, unless the project accepts it from another request.
    UnlessAccepted(Monotonic),
}

/// Something that Levi is told about its token.
#[derive(Clone, Debug)]
pub(super) enum TokenEvent {
    SignedIn,
    SignedOut,
    /// A request was accepted.
    Accepted {
        epoch: u64,
    },
    /// A request was refused for its token.
    Refused {
        epoch: u64,
        lanes: Vec<LaneKey>,
    },
    NetworkChanged,
    /// There is no fresh token for now.
    Unavailable {
        retry_after: Option<Duration>,
    },
    /// The sign-in server's final word.
    Ended,
}

/// What Levi can know about its token. All times are [`elapsed`](super::Simulation::elapsed) times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TokenInUse {
    /// The epoch in which it was used first.
    pub(super) first_epoch: u64,
    /// When it was granted, if Levi asked for it.
    pub(super) granted_at: Option<Duration>,
    /// Whether the project accepted it.
    pub(super) was_accepted: bool,
    /// The first refusal since it was last accepted.
    pub(super) refused_at: Option<Duration>,
    /// It was in use again before Levi's own wait was over.
    pub(super) is_back_early: bool,
}
