//! The model: what really is on the disk and on the server, which the simulation records
//! independently of Levi. Every commit and every request is compared with it; most oracles are
//! here.

mod commit;
mod control;
mod deleted;
mod early;
mod lone_failure;
mod overwrites;
mod send;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use levi_core::LeviConfig;
use levi_outbox::{LaneId, LaneKey, Reason, RowId};
use levi_types::{Monotonic, Now, UserId, Wall};

use self::control::ControlRow;
use self::early::AttemptTimes;
pub(crate) use self::early::RowVersion;
use self::lone_failure::FailedAlone;
use crate::content::{Content, Keys};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the oracle that found it.
    pub oracle: &'static str,
    /// What it saw.
    pub what: String,
    /// When, on the monotonic clock.
    pub at: Monotonic,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] at {:.3} s: {}", self.oracle, self.at.since_start().as_secs_f64(), self.what)
    }
}

/// When a message was first stored, and when the server first had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// On the device's disk.
    pub stored: Duration,
    /// On the server.
    pub shown: Option<Duration>,
}

pub(crate) struct Model {
    pub(crate) now: Now,
    pub(crate) turn: u64,
    pub(crate) config: LeviConfig,
    pub(crate) keys: Arc<Keys>,
    pub(crate) sessions: Vec<Session>,
    /// Whose each session is.
    pub(crate) users: Vec<usize>,
    /// Who signed in last, as the disk knows it.
    pub(crate) user: Option<UserId>,
    pub(crate) rows: HashMap<RowId, Row>,
    /// The names of the lanes that the outbox returned as due.
    pub(crate) lanes: HashMap<LaneId, LaneKey>,
    /// Control lanes with a row, pending or parked.
    pub(crate) control: BTreeMap<LaneKey, ControlRow>,
    /// Whether the daemon's store does not respond.
    pub(crate) daemon_silent: bool,
    /// Requests with messages that the server accepted.
    pub(crate) accepted: u64,
    /// Whether a request with messages ever failed without an answer about them.
    pub(crate) has_failed: bool,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Option<Vec<String>>,
    /// When each message was stored and when the server had it, if there is a trace.
    pub(crate) arrivals: BTreeMap<(usize, i64), Arrival>,
    /// Requests of this turn with a row that changed on disk after they were planned: the remaining
    /// rows of each, by session and sequence number. None of these requests may be sent.
    pub(crate) outdated_requests: Vec<BTreeSet<(usize, i64)>>,
    /// The server's own wait, as it is on disk.
    pub(crate) paused_until: Option<Wall>,
    /// Calls to the outbox in this turn, which are limited in order to end an endless loop.
    pub(crate) calls: u32,
    pub(crate) attempt_times: AttemptTimes,
    /// Wall-clock jumps and other reasons for which a wait may end early.
    pub(crate) delays_void: bool,
}

/// One session, on the disk and on the server.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) pending: BTreeMap<i64, RowId>,
    pub(crate) parked: BTreeMap<i64, Parked>,
    /// The newest content that was stored at each sequence number.
    pub(crate) latest: BTreeMap<i64, u32>,
    /// Every content that was ever on the disk, by sequence number and version.
    pub(crate) stored: BTreeSet<(i64, u32)>,
    /// What the server shows.
    pub(crate) shown: BTreeMap<i64, Content>,
    /// What the server showed before another device deleted the session.
    pub(crate) shown_before: BTreeMap<i64, Content>,
    /// Whether another device ever deleted the session.
    pub(crate) is_deleted: bool,
    /// Whether the session is missing on the server because another device deleted it.
    pub(crate) is_missing: bool,
    /// Whether the outbox recorded that the server had the session.
    pub(crate) was_sent: bool,
    /// How often the server refused a single row while the session was missing.
    pub(crate) refused_while_missing: u32,
    /// Whether a parent of its messages was ever parked.
    pub(crate) ever_held: bool,
    /// Sequence numbers of rows that the operator discarded.
    pub(crate) discarded: BTreeSet<i64>,
    /// Sequence numbers of which a row was ever discarded.
    pub(crate) ever_discarded: BTreeSet<i64>,
    /// Sequence numbers of which a row was ever parked.
    pub(crate) ever_parked: BTreeSet<i64>,
    pub(crate) attempts: u32,
    /// How often a policy or a foreign key refused a single row of it, since something last left it.
    pub(crate) refusals: u32,
    /// When its lane is due, as written on disk.
    pub(crate) due_at: Option<Wall>,
    pub(crate) not_before: Option<Monotonic>,
    /// Failures that have not been counted as an attempt yet.
    pub(crate) causes: u32,
    /// Another process changed the lane: what Levi has in memory may differ for a while.
    pub(crate) modified_externally: bool,
    /// Sequence numbers whose text another process replaced.
    pub(crate) edited_externally: BTreeSet<i64>,
    pub(crate) in_flight: Option<u64>,
    pub(crate) key_here: bool,
    /// Whether the daemon's store knows the session.
    pub(crate) known_to_daemon: bool,
    /// Whether the server accepted the session's row since a message of the session last left the
    /// outbox.
    pub(crate) parent_sent: bool,
    /// Sequence numbers of waiting rows that replace any text, and the version for which the daemon
    /// said so.
    pub(crate) replacing: BTreeMap<i64, u32>,
    /// Sequence numbers at which the daemon ever let a row replace any text.
    pub(crate) ever_replacing: BTreeSet<i64>,
    /// Sequence numbers that were reported as sent to the daemon's store.
    pub(crate) reported_sent: BTreeSet<i64>,
}

/// One row on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) session: usize,
    pub(crate) sequence_number: i64,
    pub(crate) version: u32,
    pub(crate) content: Content,
    pub(crate) bytes: u64,
    pub(crate) stored_in_turn: u64,
    /// The code with which the server refused it when it was alone in a request, and whether the
    /// row was at fault.
    pub(crate) refused_alone: Option<(String, bool)>,
    /// How often it failed alone, each time after another request was accepted.
    pub(crate) failed_alone: FailedAlone,
}

/// A parked row.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) row: RowId,
    pub(crate) reason: Reason,
    /// Whether the row was at fault.
    pub(crate) deserved: bool,
}

impl Model {
    pub(crate) fn new(config: LeviConfig, keys: Arc<Keys>, users: Vec<usize>, traced: bool) -> Self {
        Self {
            now: Now::default(),
            turn: 0,
            config,
            keys,
            sessions: users.iter().map(|_| Session::default()).collect(),
            users,
            user: None,
            rows: HashMap::new(),
            lanes: HashMap::new(),
            control: BTreeMap::new(),
            daemon_silent: false,
            accepted: 0,
            has_failed: false,
            violation: None,
            trace: traced.then(Vec::new),
            arrivals: BTreeMap::new(),
            outdated_requests: Vec::new(),
            calls: 0,
            attempt_times: AttemptTimes::default(),
            delays_void: false,
            paused_until: None,
        }
    }

    /// Keeps the first violation: what comes after it may be its consequence.
    pub(crate) fn fail(&mut self, oracle: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("VIOLATION {oracle}: {what}"));
        if self.violation.is_none() {
            self.violation = Some(Violation { oracle, what, at: self.now.monotonic });
        }
    }

    pub(crate) fn expect(&mut self, holds: bool, oracle: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(oracle, what());
        }
    }

    /// Adds a line to the trace, if there is one.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let at = self.now.monotonic.since_start();
            trace.push(format!("{:>12.6} #{:<4} {}", at.as_secs_f64(), self.turn, line()));
        }
    }

    pub(crate) fn pending_rows(&self) -> usize {
        self.sessions.iter().map(|session| session.pending.len()).sum()
    }

    /// Those of the user who signed in last.
    pub(crate) fn own_pending_rows(&self) -> usize {
        let sessions = self.sessions.iter().enumerate();
        let own = sessions.filter(|(number, _)| {
            !self.is_of_another(&LaneKey::Messages(crate::content::session_id(*number)))
        });
        own.map(|(_, session)| session.pending.len()).sum()
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        let ids = self.sessions.iter().flat_map(|session| session.pending.values());
        let messages: u64 = ids.filter_map(|id| self.rows.get(id)).map(|row| row.bytes).sum();
        let control = self.control.values().filter(|row| !row.parked).map(|row| row.bytes);
        messages + control.sum::<u64>()
    }

    pub(crate) fn parked_rows(&self) -> usize {
        self.sessions.iter().map(|session| session.parked.len()).sum()
    }

    /// From now on waits may end early: a clock jumped, or every lane was made due.
    pub(crate) fn void_delays(&mut self) {
        self.void_control_delays();
        self.all_may_be_early();
        for session in &mut self.sessions {
            session.not_before = None;
        }
    }

    /// A row's name in the trace.
    pub(crate) fn name(&self, id: RowId) -> String {
        match self.rows.get(&id) {
            Some(row) => format!("s{}/{} v{}", row.session, row.sequence_number, row.content.version),
            None => format!("row {}", id.0),
        }
    }

    /// How long a wait chosen now really is.
    fn delay_until(&self, due_at: Wall) -> Duration {
        due_at.since(self.now.wall)
    }

    /// Compares a chosen delay with the documented schedule.
    fn check_delay(&mut self, what: &str, attempts: u32, due_at: Wall) {
        let least = self.config.backoff().unjittered(attempts);
        let most = self.config.longest_delay() + Duration::from_millis(1);
        let delay = self.delay_until(due_at);
        self.expect(delay >= least && delay <= most, "backoff", || {
            format!("{what} waits {delay:?} for attempt {attempts}; the table says {least:?} to {most:?}")
        });
    }
}
