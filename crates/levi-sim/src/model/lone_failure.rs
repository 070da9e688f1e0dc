//! Rows that fail alone while other requests are accepted. Such a row may be parked; no other row
//! may be parked for a failure that does not concern rows.

use levi_transport::{ApiError, Verdict};

use super::Model;
use crate::content::Content;

/// How often a row failed alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailedAlone {
    /// Each time after another request was accepted since the time before.
    pub(crate) times: u32,
    /// How many requests had been accepted at the last one.
    accepted: Option<u64>,
    /// Whether a request failed that had the row, alone or with others.
    is_doubtful: bool,
}

impl Model {
    /// Whether nothing but a row that fails alone is in the request: what the server asks for then,
    /// it asks of that row.
    pub(crate) fn is_alone(&self, rows: &[(usize, i64, Content)]) -> bool {
        let [(session, place, _)] = rows else { return false };
        let id = self.sessions.get(*session).and_then(|session| session.pending.get(place));
        let row = id.and_then(|id| self.rows.get(id));
        row.is_some_and(|row| row.failed_alone.times > 0 && row.failed_alone.accepted != Some(self.accepted))
    }

    /// Whether a request failed, so that Levi may ask whether anything gets through.
    pub(crate) const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The sessions for which a request without rows may be sent: those that failed, and those with a
    /// row that did before one with a lower number came, was refused and made the session start anew.
    pub(crate) fn sessions_that_failed(&self) -> Vec<usize> {
        let is_doubtful = |id| self.rows.get(id).is_some_and(|row| row.failed_alone.is_doubtful);
        let sessions = self.sessions.iter().enumerate();
        let failed =
            sessions.filter(|(_, session)| session.attempts > 0 || session.pending.values().any(is_doubtful));
        failed.map(|(number, _)| number).collect()
    }

    /// A request without rows failed, and was an attempt of sessions that had failed before.
    pub(crate) fn probe_failed(&mut self) {
        for number in self.sessions_that_failed() {
            self.sessions[number].causes += 1;
        }
    }

    /// A request with these rows ended.
    pub(crate) fn ended(&mut self, rows: &[(usize, i64, Content)], result: &Result<(), ApiError>) {
        let Err(error) = result else {
            self.accepted += 1;
            return;
        };
        let is_silent = matches!(error.verdict, Verdict::Unreachable | Verdict::Busy | Verdict::Unexpected);
        self.has_failed |= is_silent && !rows.is_empty();
        if is_silent {
            self.doubt(rows);
        }
        let [(session, place, _)] = rows else { return };
        if !is_silent || error.is_rate_limit() {
            return;
        }
        let id = self.sessions.get(*session).and_then(|session| session.pending.get(place)).copied();
        let Some(row) = id.and_then(|id| self.rows.get_mut(&id)) else { return };
        if row.failed_alone.accepted != Some(self.accepted) {
            row.failed_alone.times += 1;
            row.failed_alone.accepted = Some(self.accepted);
        }
    }

    fn doubt(&mut self, rows: &[(usize, i64, Content)]) {
        for (session, place, _) in rows {
            let id = self.sessions.get(*session).and_then(|session| session.pending.get(place)).copied();
            if let Some(row) = id.and_then(|id| self.rows.get_mut(&id)) {
                row.failed_alone.is_doubtful = true;
            }
        }
    }
}
