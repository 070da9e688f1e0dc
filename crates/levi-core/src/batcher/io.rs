//! What the batcher is told and what it asks for. Ids, sizes, attempts and verdicts only: a trace of these
//! can be printed.

use std::time::Duration;

use levi_outbox::{Due, DueTask, DueTasks, LaneId, Reason, RowHead, RowId, RowKey};
use levi_transport::ApiError;
use levi_types::{SessionId, Wall};

/// Names one request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// One lane's share of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The lane.
    pub lane: LaneId,
    /// Its session.
    pub session_id: SessionId,
    /// Rows from the lane's front, in order.
    pub rows: Vec<RowHead>,
}

/// One request: one INSERT, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub id: BatchId,
    /// Whose rows it carries; no two parts share a lane.
    pub parts: Vec<Part>,
}

impl Batch {
    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }
}

/// Which rows a commit wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The lowest sequence number written, for each session.
    Sessions(Vec<(SessionId, i64)>),
    /// Somebody else wrote: anything may have changed.
    Anything,
}

/// What the batcher is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// Rows were committed to the outbox.
    Wake(Touched),
    /// The answer to [`Action::Load`].
    Loaded(Due),
    /// The answer to [`Action::LoadLane`].
    LaneLoaded {
        /// The lane asked for.
        lane: LaneId,
        /// The place asked for.
        after: Option<i64>,
        /// Its rows after the place asked for.
        rows: Vec<RowHead>,
        /// Whether the lane ends there.
        complete: bool,
    },
    /// What came back for a batch.
    Outcome {
        /// Which batch.
        batch: BatchId,
        /// Whether the server wrote its rows.
        result: Result<(), ApiError>,
        /// The sessions of the batch that the error names, if any.
        culprits: Vec<SessionId>,
        /// A random number in `[0, 1)` for the jitter.
        draw: f64,
    },
    /// A batch was not sent, because a row of it was replaced or removed on disk in the meantime.
    Vanished {
        /// Which batch.
        batch: BatchId,
    },
    /// The answer to [`Action::Seal`].
    Sealed {
        /// Which lane.
        lane: LaneId,
        /// Whether its key was there.
        result: SealResult,
        /// A random number in `[0, 1)` for the jitter.
        draw: f64,
    },
    /// The answer to [`Action::LoadTasks`].
    TasksLoaded(DueTasks),
    /// A task ended.
    TaskEnded {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
        /// Attempts before this one.
        attempts: u32,
        /// How it ended.
        end: TaskEnd,
        /// A random number in `[0, 1)` for the jitter.
        draw: f64,
    },
    /// There may be a stored sign-in: ask for its token, if there is none yet.
    SignInStored,
    /// There is a token to send with.
    SignedIn,
    /// There is none, or it was taken away.
    SignedOut,
    /// The answer to [`Action::Refresh`], where it brought no token.
    RefreshFailed {
        /// Whether asking again later may help; if not, a person must sign in.
        transient: bool,
        /// A random number in `[0, 1)` for the jitter.
        draw: f64,
    },
    /// The outbox could not be read or written.
    StoreFailed {
        /// What it said.
        reason: Reason,
        /// A random number in `[0, 1)` for the jitter.
        draw: f64,
    },
    /// A commit went through.
    Committed,
    /// The network may be back: forget delays, try now.
    NetworkChanged,
    /// No new rows will come: send what is due without waiting for more.
    Stop,
}

/// Whether a lane's rows could be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealResult {
    /// They are sealed on disk now.
    Sealed,
    /// Not yet.
    Waiting(Reason),
    /// The first of them can never be.
    Unsealable(RowKey, Reason),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Done.
    Done,
    /// The server refused or could not be reached.
    Answered(ApiError),
    /// It failed on this side; trying again may help.
    Waiting(Reason),
    /// It failed on this side for good.
    Impossible(Reason),
}

impl TaskEnd {
    /// A short code, for logs: a server's own words quote rows, and so paths and names.
    pub fn code(&self) -> &str {
        match self {
            Self::Done => "done",
            Self::Answered(error) => &error.code,
            Self::Waiting(reason) | Self::Impossible(reason) => &reason.code,
        }
    }
}

/// What the batcher asks for. Carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the outbox for lanes that are due, and answer with [`Input::Loaded`]. Everything asked for before
    /// is committed first.
    ///
    /// Lanes worked on by then ([`Batcher::lanes_at_hand`](super::Batcher::lanes_at_hand)) are left out.
    Load {
        /// At most so many lanes.
        max_lanes: usize,
        /// At most so many rows for each.
        heads_per_lane: usize,
        /// At most about so many rows in all.
        max_heads: usize,
    },
    /// Ask for more rows of one lane, and answer with [`Input::LaneLoaded`]. Committed first, likewise.
    LoadLane {
        /// Which lane.
        lane: LaneId,
        /// Rows after this place.
        after: Option<i64>,
        /// At most so many.
        limit: usize,
    },
    /// Post these rows, and answer with [`Input::Outcome`].
    Send(Batch),
    /// The server has these rows.
    Acknowledge {
        /// The lane.
        lane: LaneId,
        /// Its session.
        session_id: SessionId,
        /// The rows.
        rows: Vec<RowHead>,
        /// When.
        at: Wall,
    },
    /// The lane waits.
    Defer {
        /// The lane.
        lane: LaneId,
        /// When it is due again.
        due_at: Wall,
        /// Failed attempts, this one included.
        attempts: u32,
        /// Why.
        reason: Reason,
    },
    /// This row can never be sent as it is.
    Park {
        /// Its lane.
        lane: LaneId,
        /// The row.
        row: RowKey,
        /// Why.
        reason: Reason,
        /// When.
        at: Wall,
    },
    /// Not this row but the project is wrong: put it back where it was.
    Unpark {
        /// The row.
        row: RowId,
        /// When.
        at: Wall,
    },
    /// Seal the lane's rows that are wrapped at rest, and answer with [`Input::Sealed`].
    Seal {
        /// Which lane.
        lane: LaneId,
        /// Its session.
        session_id: SessionId,
    },
    /// The server does not know this session: see to it that its row is sent.
    EnsureParent {
        /// Which session.
        session_id: SessionId,
    },
    /// Ask for due tasks, and answer with [`Input::TasksLoaded`].
    LoadTasks,
    /// Run a task, and answer with [`Input::TaskEnded`].
    RunTask(DueTask),
    /// The task is done.
    FinishTask {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The task waits.
    DeferTask {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
        /// When it is due again.
        due_at: Wall,
        /// Failed attempts, this one included.
        attempts: u32,
        /// Why.
        reason: Reason,
    },
    /// The task cannot succeed by itself.
    ParkTask {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
        /// Why.
        reason: Reason,
    },
    /// Ask for a fresh token; answer with [`Input::SignedIn`] or [`Input::RefreshFailed`].
    Refresh,
    /// Make every deferred lane and task due.
    RetryNow {
        /// When.
        at: Wall,
    },
    /// Try again to commit what could not be committed.
    Commit,
    /// Something worth a log line.
    Notice(Notice),
}

/// Something a person watching may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Sending stopped for now.
    Paused(PauseReason),
    /// Sending goes on.
    Resumed,
    /// A batch was split to find the row or session at fault.
    Split {
        /// Its rows.
        rows: usize,
        /// The server's code.
        code: String,
    },
    /// The server saw two rows with the same key in one batch, which the batcher never builds.
    DuplicateInBatch,
    /// A delay was chosen.
    Delayed {
        /// How long.
        delay: Duration,
        /// The server's code.
        code: String,
    },
}

/// Why nothing is being sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PauseReason {
    /// Nobody is signed in; `set_context` resumes.
    SignedOut,
    /// A fresh token is being asked for.
    Refreshing,
    /// A token cannot be had for now: the keychain is locked, or the sign-in server does not answer. Tried again.
    SignInUnavailable,
    /// The project refuses everything: a missing table, read-only, paused, or every row refused alike.
    Project {
        /// The server's code.
        code: String,
        /// What it said.
        detail: String,
    },
    /// The server asked for a pause (`Retry-After`).
    RetryAfter {
        /// The server's code.
        code: String,
    },
    /// The outbox cannot be read or written.
    Outbox {
        /// What kind of trouble.
        code: String,
    },
}

impl PauseReason {
    /// Whether the pause ends only when something outside changes, or after a backoff that may be long.
    pub(crate) const fn is_lasting(&self) -> bool {
        !matches!(self, Self::Refreshing)
    }

    /// The pause as a code and a line for people.
    pub fn to_reason(&self) -> Reason {
        let (code, detail) = match self {
            Self::SignedOut => ("signed_out".into(), "nobody is signed in".into()),
            Self::Refreshing => ("refreshing".into(), "waiting for a fresh token".into()),
            Self::SignInUnavailable => {
                ("sign_in_unavailable".into(), "the keychain or the sign-in server cannot be used now".into())
            }
            Self::Project { code, detail } => (code.clone(), detail.clone()),
            Self::RetryAfter { code } => (code.clone(), "the server asked for a pause".into()),
            Self::Outbox { code } => (code.clone(), "the outbox cannot be used now".into()),
        };
        Reason { code, detail }
    }
}
