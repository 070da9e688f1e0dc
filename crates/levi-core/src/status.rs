use levi_outbox::{Held, ParkedParent, Reason, RecoveryReport, Space, Totals};
use levi_transport::{ApiError, Verdict};
use levi_types::{Now, UserId, Wall};
use serde::Serialize;

use crate::batcher::PauseReason;
use crate::device_list::DeviceListState;
use crate::waiting::Waiting;

/// What Levi is doing. Cheap to take at any time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Counts of pending and parked rows. Eventually consistent: right after `enqueue_durable` returns, they may
    /// not include that message yet.
    pub totals: Totals,
    /// Who is signed in or, after a sign-out, was last; `None` before the first sign-in.
    pub user_id: Option<UserId>,
    /// What waits for other users, until they sign in again. `totals` counts it too.
    pub held: Vec<Held>,
    /// Payload bytes of those rows. They do not count against `max_pending_bytes` of the user who is signed in.
    pub held_bytes: u64,
    /// Why rows wait that are not in flight, as of the last change on disk: the reasons of the first 1,000 lanes with
    /// rows, those of most lanes first, at most 32.
    pub waiting: Vec<Waiting>,
    /// Requests in flight.
    pub requests_in_flight: usize,
    /// Rows in those requests.
    pub rows_in_flight: usize,
    /// Why nothing is being sent, if so.
    pub paused: Option<PauseReason>,
    /// How the last request failed; `None` once a later one succeeded.
    pub last_error: Option<LastError>,
    /// When Levi will do something by itself next, by the wall clock; `None` while it sleeps.
    pub next_attempt: Option<Wall>,
    /// Batches of messages that the server accepted since the start.
    pub batches_accepted: u64,
    /// Messages in those.
    pub rows_accepted: u64,
    /// Batches of messages that failed since the start, whatever the reason.
    pub batches_failed: u64,
    /// Bytes of request bodies sent since the start.
    pub bytes_sent: u64,
    /// Messages accepted by `enqueue` that are not on disk yet because the outbox fails.
    pub held_in_memory: usize,
    /// Parked rows of repositories and sessions, at most 100: what depends on them waits. A session that was deleted
    /// on another device is here with the code `session_gone`.
    pub parked_parents: Vec<ParkedParent>,
    /// Sessions whose secret some of the user's devices could not be given at the last attempt, for example because
    /// their public key cannot be used. The other devices have it, and Levi tries again; until then the row is among
    /// `totals.control_rows`.
    pub incomplete_secrets: u64,
    /// What this device knows of the user's signed device list. While it is
    /// [`Stopped`](DeviceListState::Stopped), messages wait under the database key.
    pub device_list: DeviceListState,
    /// The outbox's last failure, until it works again.
    pub outbox_failure: Option<Reason>,
    /// What the outbox took of the disk when it was last looked at; `None` if it has no file of its own. A log that
    /// is longer than 16 MiB while `log_is_held` is so because another process reads the outbox: `log_reader`, where
    /// the system names it.
    pub space: Option<Space>,
    /// The outbox was damaged when it was opened: what was recovered and lost, and where the old file is.
    pub recovered: Option<RecoveryReport>,
}

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// What it means.
    pub verdict: Verdict,
    /// [`ApiError::code`](levi_transport::ApiError::code).
    pub code: String,
    /// When the request ended.
    pub at: Wall,
}

impl LastError {
    pub(crate) fn new(error: &ApiError, now: Now) -> Self {
        Self { verdict: error.verdict, code: error.code.clone(), at: now.wall }
    }
}
