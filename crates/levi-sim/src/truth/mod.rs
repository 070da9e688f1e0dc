//! What really is on the disk and on the server, kept by the world itself, beside everything that Levi keeps.
//! Every commit and every request is held against it: this is where most oracles live.

mod commit;
mod send;
mod tasks;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use levi_core::LeviConfig;
use levi_outbox::{Reason, RowId};
use levi_types::{Monotonic, Now, Wall};

use self::tasks::Task;
use crate::content::{Content, Keys};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which oracle saw it: the promise's number or a word.
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

pub(crate) struct Truth {
    pub(crate) now: Now,
    pub(crate) turn: u64,
    pub(crate) config: LeviConfig,
    pub(crate) keys: Arc<Keys>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) rows: HashMap<RowId, Row>,
    /// Sessions by lane, as the outbox handed them out.
    pub(crate) lanes: HashMap<i64, usize>,
    pub(crate) tasks: BTreeMap<String, Task>,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Option<Vec<String>>,
    /// When each message was stored and when the server had it, where somebody asks.
    pub(crate) arrivals: BTreeMap<(usize, i64), Arrival>,
    /// Calls to the outbox in this turn: a loop that never ends is cut here.
    pub(crate) calls: u32,
    /// Wall-clock jumps and other reasons for which a wait may end early.
    pub(crate) delays_void: bool,
}

/// One session, on the disk and on the server.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) pending: BTreeMap<i64, RowId>,
    pub(crate) parked: BTreeMap<i64, Parked>,
    /// The newest content that was stored for each place.
    pub(crate) latest: BTreeMap<i64, u32>,
    /// Every content that ever got to the disk, by place and version.
    pub(crate) stored: BTreeSet<(i64, u32)>,
    /// What the server shows.
    pub(crate) shown: BTreeMap<i64, Content>,
    /// Places given up by a person.
    pub(crate) discarded: BTreeSet<i64>,
    /// Places of which something was ever given up.
    pub(crate) ever_discarded: BTreeSet<i64>,
    /// Places of which something was ever set aside.
    pub(crate) ever_parked: BTreeSet<i64>,
    pub(crate) attempts: u32,
    /// How often row level security refused a single row of it, since something last left it.
    pub(crate) refusals: u32,
    /// When its lane is due, as written on disk.
    pub(crate) due_at: Option<Wall>,
    pub(crate) not_before: Option<Monotonic>,
    /// Failures that have not been counted as an attempt yet.
    pub(crate) causes: u32,
    /// Somebody else changed the lane: what Levi has in memory may differ for a while.
    pub(crate) meddled: bool,
    pub(crate) in_flight: Option<u64>,
    pub(crate) key_here: bool,
    /// Places for which the daemon's store heard that they were sent.
    pub(crate) told_sent: BTreeSet<i64>,
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
    /// With which code the server refused it when it was alone in a request, and whether rightly so.
    pub(crate) refused_alone: Option<(String, bool)>,
}

/// A row that was set aside.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) row: RowId,
    pub(crate) reason: Reason,
    /// Whether the row was at fault.
    pub(crate) deserved: bool,
}

impl Truth {
    pub(crate) fn new(config: LeviConfig, keys: Arc<Keys>, sessions: usize, traced: bool) -> Self {
        Self {
            now: Now::default(),
            turn: 0,
            config,
            keys,
            sessions: (0..sessions).map(|_| Session::default()).collect(),
            rows: HashMap::new(),
            lanes: HashMap::new(),
            tasks: BTreeMap::new(),
            violation: None,
            trace: traced.then(Vec::new),
            arrivals: BTreeMap::new(),
            calls: 0,
            delays_void: false,
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

    pub(crate) fn pending_bytes(&self) -> u64 {
        let ids = self.sessions.iter().flat_map(|session| session.pending.values());
        ids.filter_map(|id| self.rows.get(id)).map(|row| row.bytes).sum()
    }

    pub(crate) fn parked_rows(&self) -> usize {
        self.sessions.iter().map(|session| session.parked.len()).sum()
    }

    /// The delays that were chosen mean nothing any more: a clock jumped, or somebody asked for haste.
    pub(crate) fn void_delays(&mut self) {
        for session in &mut self.sessions {
            session.not_before = None;
        }
    }

    /// A row's place, for people.
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

    /// Holds a chosen delay against the published table.
    fn check_delay(&mut self, what: &str, attempts: u32, due_at: Wall) {
        let least = self.config.backoff().unjittered(attempts);
        let most = self.config.longest_delay() + Duration::from_millis(1);
        let delay = self.delay_until(due_at);
        self.expect(delay >= least && delay <= most, "backoff", || {
            format!("{what} waits {delay:?} for attempt {attempts}; the table says {least:?} to {most:?}")
        });
    }
}
