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
}

impl Model {
    /// A request with these rows ended.
    pub(crate) fn ended(&mut self, rows: &[(usize, i64, Content)], result: &Result<(), ApiError>) {
        let Err(error) = result else {
            self.accepted += 1;
            return;
        };
        let is_silent = matches!(error.verdict, Verdict::Unreachable | Verdict::Busy | Verdict::Unexpected);
        let [(session, place, _)] = rows else { return };
        if !is_silent || error.retry_after.is_some() {
            return;
        }
        let id = self.sessions.get(*session).and_then(|session| session.pending.get(place)).copied();
        let Some(row) = id.and_then(|id| self.rows.get_mut(&id)) else { return };
        if row.failed_alone.accepted != Some(self.accepted) {
            row.failed_alone.times += 1;
            row.failed_alone.accepted = Some(self.accepted);
        }
    }
}
