//! The batcher's inputs and actions. They contain ids, sizes, attempts and verdicts only, so that a
//! trace of them can be printed.

use std::time::Duration;

use levi_outbox::{Change, Due, LaneId, LaneKey, LoneFailure, Reason, RowHead, RowKey};
use levi_types::{SessionId, UserId, Wall};

use super::Notice;
use crate::sync_error::SendError;
use crate::write_messages::TakenRow;

/// The id of one request, unique in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// The rows of one lane in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The lane's id.
    pub lane: LaneId,
    /// The lane's name.
    pub key: LaneKey,
    /// Rows from the lane's front, in order.
    pub rows: Vec<RowHead>,
}

impl Part {
    /// Whether this is its first row, in this version.
    pub(super) fn starts_with(&self, row: RowKey) -> bool {
        self.rows.first().is_some_and(|first| first.key == row)
    }
}

/// One request, which the server takes or refuses as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The request's id.
    pub id: BatchId,
    /// The sign-in under which it is sent, from 1.
    pub epoch: u64,
    /// For whom its rows were recorded; `None`: nobody was named.
    pub user: Option<UserId>,
    /// How often the user had changed when it was sent.
    pub user_changes: u64,
    /// The rows, at most one part for each lane. A control row is alone in its request.
    pub parts: Vec<Part>,
    /// Whether the request has none of the rows: it finds out whether the table of messages takes any request, before
    /// they are sent.
    pub is_probe: bool,
}

impl Batch {
    /// The number of rows in the request.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    /// The control row that the request sends, if it is not one of messages.
    pub fn control_row(&self) -> Option<(&LaneKey, RowKey)> {
        let part = self.parts.first().filter(|part| part.key.kind().is_control())?;
        Some((&part.key, part.rows.first()?.key))
    }
}

/// The rows that a commit wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Rows of these lanes, each of which is named once.
    Lanes(Vec<WrittenLane>),
    /// Another process wrote: anything may have changed.
    Unknown,
}

/// A lane to which a commit wrote rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenLane {
    /// The lane's name.
    pub lane: LaneKey,
    /// The lowest sequence number that was written.
    pub lowest: i64,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Rows were committed to the outbox.
    Wake(Written),
    /// The response to [`Action::Load`].
    Loaded(Due),
    /// The response to [`Action::LoadLane`].
    LaneLoaded(LaneRows),
    /// The response to [`Action::Send`] and [`Action::SendControl`].
    Outcome {
        /// The request.
        batch: BatchId,
        /// Whether the server has its rows.
        result: Result<(), SendError>,
    },
    /// The server has the rows of a request of messages, but for those whose places other texts have.
    Taken {
        /// The request.
        batch: BatchId,
        /// The rows that it does not have.
        rows: Vec<TakenRow>,
    },
    /// A request was not sent, because a row of it was replaced or removed on disk in the meantime.
    Vanished {
        /// The request.
        batch: BatchId,
    },
    /// A request was not sent, because these lanes of it have to wait.
    HeldBack {
        /// The request.
        batch: BatchId,
        /// The lanes, and why each waits.
        lanes: Vec<(LaneId, Reason)>,
    },
    /// The response to [`Action::Seal`].
    Sealed {
        /// The lane.
        lane: LaneId,
        /// The state of its rows now.
        result: SealResult,
    },
    /// The response to [`Action::EnsureParent`].
    ParentEnsured {
        /// The lane whose row was refused.
        key: LaneKey,
        /// Whether its parent's row is going to be sent.
        parent: Parent,
    },
    /// This process can send the control rows of this user from now on. `None`: of the first user who is named.
    ControlSenderReady(Option<UserId>),
    /// A sign-in may be stored: ask for its token, if there is no token yet.
    SignInStored,
    /// This user is signed in; the token follows with [`Input::SignedIn`]. Before the first one, rows of nobody
    /// are sent.
    User(UserId),
    /// There is a token that does not say whose it is, and nobody signed out before. It is used as long as nobody
    /// is known.
    SignedInUnnamed,
    /// There is a token that does not say whose it is, and that is not used.
    UserUnknown,
    /// There is a token to send with.
    SignedIn,
    /// There is no token, or it was taken away.
    SignedOut,
    /// [`Action::Refresh`] brought no token; a later attempt may.
    RefreshUnavailable {
        /// How long the sign-in server asked the caller to wait.
        retry_after: Option<Duration>,
    },
    /// [`Action::Refresh`] brought no token, because only the daemon can replace the present one.
    RefreshImpossible,
    /// [`Action::Refresh`] brought no token, because nobody is signed in, or the sign-in server ended the
    /// sign-in: the user must sign in.
    RefreshRefused,
    /// The server asked an earlier process for no further request before this time.
    Paused {
        /// When requests may be sent again.
        until: Wall,
    },
    /// Earlier processes saw lanes fail while others got through.
    FailedAlone {
        /// The lanes.
        lanes: Vec<LoneFailure>,
        /// How many rows were parked on the evidence of probes since messages got through.
        parked_on_probes: u32,
    },
    /// The outbox could not be read or written.
    StoreFailed(Reason),
    /// A commit succeeded.
    Committed,
    /// The network may be back, or the machine is awake again: forget delays and try now, but for the wait that the
    /// server asked for.
    NetworkChanged,
    /// No new rows will come: send what is due without waiting for more.
    Stop,
}

/// Rows of one lane, as [`Action::LoadLane`] asks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRows {
    /// The lane.
    pub lane: LaneId,
    /// The sequence number after which the rows follow; `None` for the lane's first rows.
    pub after: Option<i64>,
    /// The rows, ordered by sequence number.
    pub rows: Vec<RowHead>,
    /// Whether the lane ends there.
    pub complete: bool,
}

/// The state of a lane whose rows were to be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealResult {
    /// The rows are sealed on disk now.
    Sealed,
    /// The session's key is not known yet.
    Waiting(Reason),
    /// The lane's first row can never be sealed.
    Unsealable(RowKey, Reason),
}

/// The parent of a row that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Its row is in the outbox: the lane is blocked until the server has it.
    Ensured,
    /// The daemon's store does not know it.
    Unknown,
    /// The daemon's store or the outbox cannot say, for this reason: another attempt asks again.
    CannotSay(Reason),
}

/// What the batcher asks the engine to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the outbox for lanes that are due; the response is [`Input::Loaded`]. Changes of earlier
    /// actions are committed first. [`Batcher::lanes_at_hand`](super::Batcher::lanes_at_hand) names
    /// the lanes to leave out.
    Load {
        /// The greatest number of lanes.
        max_lanes: usize,
        /// The greatest number of rows for each lane.
        heads_per_lane: usize,
        /// No more lanes are added once there are this many rows.
        max_heads: usize,
    },
    /// Ask for more rows of one lane; the response is [`Input::LaneLoaded`]. Changes of earlier actions are
    /// committed first.
    LoadLane {
        /// The lane.
        lane: LaneId,
        /// The sequence number after which the rows follow; `None` for the lane's first rows.
        after: Option<i64>,
        /// The greatest number of rows.
        limit: usize,
    },
    /// Send these messages; the response is [`Input::Outcome`]. Of a [probe](Batch::is_probe), send none.
    Send(Batch),
    /// Send this control row, built from what the daemon's store says now; the response is
    /// [`Input::Outcome`].
    SendControl(Batch),
    /// Make this change with the next commit.
    Commit(Change),
    /// Encrypt the lane's rows that are under the database key with the session's key; the response
    /// is [`Input::Sealed`].
    Seal {
        /// The lane.
        lane: LaneId,
        /// The lane's session.
        session_id: SessionId,
    },
    /// The server refused the lane's first row, and may not know its parent: write the parent's control
    /// row, if the daemon's store knows it. The response is [`Input::ParentEnsured`].
    EnsureParent {
        /// The lane whose row was refused.
        key: LaneKey,
        /// The refused row.
        row: RowKey,
    },
    /// Ask for a fresh token; the response is [`Input::SignedIn`], [`Input::RefreshUnavailable`],
    /// [`Input::RefreshImpossible`] or [`Input::RefreshRefused`].
    Refresh,
    /// Try again to commit what could not be committed.
    RetryCommit,
    /// Write this to the log.
    Notice(Notice),
}
