//! What arrived: a log, counters, and a way to wait for them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use levi_transport::Table;

use super::auth::AuthEvent;
use super::http::Request;
use super::lock;
use super::plaintext::{Patterns, PlaintextScanner};
use super::rest::{self, Outcome};
use super::stats::Stats;

/// One request, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Counts up from 1 in the order of arrival.
    pub number: u64,
    /// Such as `POST`.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// The table that the path names.
    pub table: Option<Table>,
    /// Headers with names in lower case, tokens and all.
    pub headers: Vec<(String, String)>,
    /// Length of the body.
    pub body_bytes: usize,
    /// The body, where the builder was told to keep bodies.
    pub body: Option<Vec<u8>>,
    /// The status of the answer that was made ready; `None` before that, or if the fault left no room for one.
    pub status: Option<u16>,
}

impl RequestRecord {
    /// A header's value. `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The condition did not come true in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fake Supabase did not get there in {waited:?}; it has {stats:?}")]
pub struct TimedOut {
    /// How long it was waited.
    pub waited: Duration,
    /// What had happened by then.
    pub stats: Box<Stats>,
}

/// How much of what arrives is kept.
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

    /// Takes note of a connection, and gives it its number.
    pub(crate) fn connected(&self) -> u64 {
        let mut kept = lock(&self.kept);
        kept.stats.connections += 1;
        let number = kept.stats.connections;
        drop(kept);
        self.changed.notify_all();
        number
    }

    /// Takes note of a whole request, and gives it its number.
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

    /// Takes note of bytes that never became a request.
    pub(crate) fn unfinished(&self, parts: &[&[u8]]) {
        if parts.iter().all(|part| part.is_empty()) {
            return;
        }
        self.plaintext.scan(parts);
        lock(&self.kept).stats.unfinished += 1;
        self.changed.notify_all();
    }

    /// What a request did to the tables.
    pub(crate) fn carried_out(&self, outcome: &Outcome, event: AuthEvent) {
        let mut kept = lock(&self.kept);
        match event {
            AuthEvent::SignedIn | AuthEvent::SignedUp(_) => kept.stats.sign_ins += 1,
            AuthEvent::Refreshed => kept.stats.refreshes += 1,
            AuthEvent::Other => {}
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

    /// Which status is about to be written.
    pub(crate) fn answering(&self, number: u64, status: u16) {
        let mut kept = lock(&self.kept);
        if status < 400 {
            kept.stats.accepted += 1;
        } else {
            kept.stats.refused += 1;
        }
        // Numbers in the log are consecutive.
        let first = kept.log.front().map_or(number, |first| first.number);
        let place = usize::try_from(number.wrapping_sub(first)).unwrap_or(usize::MAX);
        if let Some(record) = kept.log.get_mut(place) {
            record.status = Some(status);
        }
        drop(kept);
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
