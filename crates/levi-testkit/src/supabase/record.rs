//! The log of requests, the counters, and waiting for them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use levi_transport::Table;

use super::auth::AuthEvent;
use super::http::Request;
use super::lock;
use super::plaintext::{Patterns, PlaintextScanner};
use super::realtime::RealtimeStats;
use super::rest::{self, Outcome};
use super::stats::Stats;

/// One request in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Its number in the order of arrival, from 1.
    pub number: u64,
    /// The method, such as `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The table in the path.
    pub table: Option<Table>,
    /// Headers with names in lower case. They contain tokens.
    pub headers: Vec<(String, String)>,
    /// Length of the body.
    pub body_bytes: usize,
    /// The body, with [`keep_bodies`](super::FakeSupabaseBuilder::keep_bodies).
    pub body: Option<Vec<u8>>,
    /// The status of the answer. `None` before it is written, or if a fault prevents an answer.
    pub status: Option<u16>,
}

impl RequestRecord {
    /// The value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The condition did not hold in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the condition did not hold within {waited:?}; the counters are {stats:?}")]
pub struct TimedOut {
    /// How long the call waited.
    pub waited: Duration,
    /// The counters at that time.
    pub stats: Box<Stats>,
}

/// How much to keep of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) requests: usize,
    pub(crate) bodies: Bodies,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    Keep,
    Forget,
}

pub(crate) struct Record {
    keep: Keep,
    kept: Mutex<Kept>,
    changed: Condvar,
    plaintext: Patterns,
}

#[derive(Default)]
struct Kept {
    stats: Stats,
    log: VecDeque<RequestRecord>,
}

impl Record {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, kept: Mutex::default(), changed: Condvar::new(), plaintext: Patterns::default() }
    }

    /// Counts a connection and returns its number.
    pub(crate) fn connected(&self) -> u64 {
        let mut kept = lock(&self.kept);
        kept.stats.connections += 1;
        let number = kept.stats.connections;
        drop(kept);
        self.changed.notify_all();
        number
    }

    /// Records a complete request and returns its number.
    pub(crate) fn arrived(&self, request: &Request) -> u64 {
        self.plaintext.scan(&[&request.raw_head, &request.body]);
        let table = rest::table_of(request.path()).map(|def| def.table);
        let mut kept = lock(&self.kept);
        let stats = &mut kept.stats;
        let bytes = request.body.len() as u64;
        stats.requests += 1;
        stats.bytes += bytes;
        let number = stats.requests;
        if let Some(table) = table {
            let of_table = stats.table_mut(table);
            of_table.bytes += bytes;
            match request.method.as_str() {
                "POST" => of_table.posts += 1,
                "GET" | "HEAD" => of_table.gets += 1,
                _ => {}
            }
        }
        if kept.log.len() >= self.keep.requests {
            kept.log.pop_front();
        }
        if self.keep.requests > 0 {
            kept.log.push_back(RequestRecord {
                number,
                method: request.method.clone(),
                target: request.target.clone(),
                table,
                headers: request.headers.clone(),
                body_bytes: request.body.len(),
                body: (self.keep.bodies == Bodies::Keep).then(|| request.body.clone()),
                status: None,
            });
        }
        drop(kept);
        self.changed.notify_all();
        number
    }

    /// Records the bytes of an incomplete request.
    pub(crate) fn unfinished(&self, parts: &[&[u8]]) {
        if parts.iter().all(|part| part.is_empty()) {
            return;
        }
        self.plaintext.scan(parts);
        lock(&self.kept).stats.unfinished += 1;
        self.changed.notify_all();
    }

    /// Counts the effects of a request.
    pub(crate) fn executed(&self, outcome: &Outcome, event: AuthEvent) {
        let mut kept = lock(&self.kept);
        match event {
            AuthEvent::SignedIn | AuthEvent::SignedUp(_) => kept.stats.sign_ins += 1,
            AuthEvent::Refreshed => kept.stats.refreshes += 1,
            AuthEvent::Registered(_) | AuthEvent::Other => {}
        }
        if let Some(table) = outcome.table {
            let of_table = kept.stats.table_mut(table);
            of_table.rows_inserted += outcome.rows_inserted;
            of_table.rows_updated += outcome.rows_updated;
            of_table.rows_read += outcome.rows_read;
        }
        drop(kept);
        self.changed.notify_all();
    }

    /// Records the status that is about to be written.
    pub(crate) fn answering(&self, number: u64, status: u16) {
        let mut kept = lock(&self.kept);
        if status < 400 {
            kept.stats.accepted += 1;
        } else {
            kept.stats.refused += 1;
        }
        // Numbers in the log are consecutive.
        let first = kept.log.front().map_or(number, |first| first.number);
        let index = usize::try_from(number.wrapping_sub(first)).unwrap_or(usize::MAX);
        if let Some(record) = kept.log.get_mut(index) {
            record.status = Some(status);
        }
        drop(kept);
        self.changed.notify_all();
    }

    pub(crate) fn sent(&self, bytes: usize) {
        lock(&self.kept).stats.bytes_out += bytes as u64;
    }

    pub(crate) fn realtime(&self, count: impl FnOnce(&mut RealtimeStats)) {
        count(&mut lock(&self.kept).stats.realtime);
        self.changed.notify_all();
    }

    pub(crate) fn finished(&self) {
        lock(&self.kept).stats.finished += 1;
        self.changed.notify_all();
    }

    pub(crate) fn stats(&self) -> Stats {
        lock(&self.kept).stats.clone()
    }

    pub(crate) fn log(&self) -> Vec<RequestRecord> {
        lock(&self.kept).log.iter().cloned().collect()
    }

    pub(crate) fn wait_for(
        &self,
        patience: Duration,
        condition: impl Fn(&Stats) -> bool,
    ) -> Result<Stats, TimedOut> {
        let kept = lock(&self.kept);
        let (kept, waited) = self
            .changed
            .wait_timeout_while(kept, patience, |kept| !condition(&kept.stats))
            .unwrap_or_else(PoisonError::into_inner);
        let stats = kept.stats.clone();
        if waited.timed_out() {
            return Err(TimedOut { waited: patience, stats: Box::new(stats) });
        }
        Ok(stats)
    }

    pub(crate) fn scan_for<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> PlaintextScanner {
        self.plaintext.add(texts)
    }
}
