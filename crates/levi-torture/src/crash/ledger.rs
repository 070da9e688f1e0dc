//! What children said, and what the server must therefore have.

use std::collections::{BTreeMap, BTreeSet};

use levi::SessionId;

use crate::Trouble;
use crate::child::Line;
use crate::scene::Scene;

/// Everything that was tried and everything that was promised.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sessions: BTreeMap<SessionId, Promises>,
    /// Sessions whose secret is in the session store.
    pub(super) arrived: BTreeSet<SessionId>,
    /// Broken promises, in words.
    pub(super) violations: Vec<String>,
    pub(super) acknowledged: u64,
}

#[derive(Debug, Default)]
struct Promises {
    tried: i64,
    /// The end of the unbroken run from 1 that was acknowledged.
    acknowledged: BTreeSet<i64>,
}

impl Ledger {
    pub(super) fn note(&mut self, line: Line) {
        match line {
            Line::Try(session, place) => {
                let promises = self.sessions.entry(session).or_default();
                promises.tried = promises.tried.max(place);
            }
            Line::Acknowledged(session, place) => {
                self.sessions.entry(session).or_default().acknowledged.insert(place);
                self.acknowledged += 1;
            }
            Line::Refused(session, place, why) => {
                self.violations.push(format!("{session} {place} was refused: {why}"));
            }
            Line::Secret(session) => {
                self.arrived.insert(session);
            }
            Line::Stopped(_, parked) if parked > 0 => {
                self.violations.push(format!("{parked} messages were set aside"));
            }
            Line::Failed(why) => self.violations.push(format!("a child could not go on: {why}")),
            Line::Opening | Line::Open | Line::Stopping | Line::Stopped(..) => {}
        }
    }

    /// The first place of a session that nobody was promised: a daemon goes on there after a crash.
    pub(super) fn next(&self, session: &SessionId) -> i64 {
        let acknowledged = self.sessions.get(session).and_then(|promises| promises.acknowledged.last());
        acknowledged.map_or(1, |last| last + 1)
    }

    /// Holds the server to what was promised. Says how many messages it has.
    pub(super) fn settle(&mut self, scene: &Scene) -> Result<u64, Trouble> {
        let mut rows = 0;
        for (session, promises) in &self.sessions {
            let places = match scene.delivered(session) {
                Ok(places) => places,
                Err(trouble) => {
                    self.violations.push(trouble.to_string());
                    continue;
                }
            };
            rows += places.len() as u64;
            let there: BTreeSet<i64> = places.iter().copied().collect();
            if there.len() != places.len() {
                self.violations.push(format!("{session}: a message is there twice"));
            }
            if !places.is_sorted() {
                self.violations.push(format!("{session}: messages arrived out of order"));
            }
            let lost = promises.acknowledged.difference(&there);
            self.violations
                .extend(summary(lost).map(|lost| format!("{session}: acknowledged and lost: {lost}")));
            let extra = there.iter().filter(|place| **place < 1 || **place > promises.tried);
            self.violations
                .extend(summary(extra).map(|extra| format!("{session}: never handed over: {extra}")));
        }
        self.violations.extend(scene.server.order_violations().iter().map(|late| format!("{late:?}")));
        Ok(rows)
    }
}

/// How many, and the first and the last of them; nothing for none.
fn summary<'a>(mut places: impl Iterator<Item = &'a i64>) -> Option<String> {
    let first = places.next()?;
    let (count, last) = places.fold((1, first), |(count, _), place| (count + 1, place));
    Some(format!("{count} from {first} to {last}"))
}
