//! What the children reported, and what the server must therefore have.

use std::collections::{BTreeMap, BTreeSet};

use levi::SessionId;

use crate::Error;
use crate::child::Line;
use crate::environment::TestEnvironment;

/// Every message that was enqueued and every one that was acknowledged.
#[derive(Debug, Default)]
pub(super) struct AckLog {
    sessions: BTreeMap<SessionId, SessionLog>,
    /// Sessions whose secret is in the session store.
    pub(super) arrived: BTreeSet<SessionId>,
    /// Broken promises, one sentence each.
    pub(super) violations: Vec<String>,
    /// Messages whose `enqueue_durable` returned.
    pub(super) acknowledged: u64,
}

#[derive(Debug, Default)]
struct SessionLog {
    /// The highest sequence number that was enqueued.
    enqueued: i64,
    /// The sequence numbers that were acknowledged.
    acknowledged: BTreeSet<i64>,
}

impl AckLog {
    pub(super) fn record(&mut self, line: Line) {
        match line {
            Line::Enqueueing(session, number) => {
                let log = self.sessions.entry(session).or_default();
                log.enqueued = log.enqueued.max(number);
            }
            Line::Acknowledged(session, number) => {
                self.sessions.entry(session).or_default().acknowledged.insert(number);
                self.acknowledged += 1;
            }
            Line::Refused(session, number, why) => {
                self.violations.push(format!("{session} {number} was refused: {why}"));
            }
            Line::Secret(session) => {
                self.arrived.insert(session);
            }
            Line::Stopped(_, parked) if parked > 0 => {
                self.violations.push(format!("{parked} messages were parked"));
            }
            Line::Failed(why) => self.violations.push(format!("a child failed: {why}")),
            Line::Opening | Line::Open | Line::Stopping | Line::Stopped(..) => {}
        }
    }

    /// The sequence number after the last acknowledged one. A daemon continues there after a crash.
    pub(super) fn next(&self, session: &SessionId) -> i64 {
        let acknowledged = self.sessions.get(session).and_then(|log| log.acknowledged.last());
        acknowledged.map_or(1, |last| last + 1)
    }

    /// Adds a violation for each difference between this log and the server, and returns how many
    /// messages the server has.
    pub(super) fn compare(&mut self, environment: &TestEnvironment) -> Result<u64, Error> {
        let mut rows = 0;
        for (session, log) in &self.sessions {
            let numbers = match environment.delivered(session) {
                Ok(numbers) => numbers,
                Err(error) => {
                    self.violations.push(error.to_string());
                    continue;
                }
            };
            rows += numbers.len() as u64;
            let delivered: BTreeSet<i64> = numbers.iter().copied().collect();
            if delivered.len() != numbers.len() {
                self.violations.push(format!("{session}: a message was stored twice"));
            }
            if !numbers.is_sorted() {
                self.violations.push(format!("{session}: messages arrived out of order"));
            }
            let lost = log.acknowledged.difference(&delivered);
            self.violations
                .extend(summary(lost).map(|lost| format!("{session}: acknowledged and lost: {lost}")));
            let extra = delivered.iter().filter(|number| **number < 1 || **number > log.enqueued);
            self.violations.extend(summary(extra).map(|extra| format!("{session}: never enqueued: {extra}")));
        }
        self.violations.extend(environment.server.order_violations().iter().map(|late| format!("{late:?}")));
        Ok(rows)
    }
}

/// How many numbers there are, and the first and the last of them. `None` if there are none.
fn summary<'a>(mut numbers: impl Iterator<Item = &'a i64>) -> Option<String> {
    let first = numbers.next()?;
    let (count, last) = numbers.fold((1, first), |(count, _), number| (count + 1, number));
    Some(format!("{count} from {first} to {last}"))
}
