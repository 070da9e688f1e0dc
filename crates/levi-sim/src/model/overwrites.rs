//! What messages may replace on the server.

use levi_outbox::{NewRow, Overwrite, Reason, RowKey};

use super::{Model, Row, Session};

/// The code of a message whose sequence number another text has.
const TAKEN: &str = "sequence_taken";

impl Session {
    /// A row was stored, which `replaced` a waiting one or not. An edit keeps the permission of a
    /// waiting row.
    pub(super) fn note_overwrite(&mut self, new: &NewRow, key: RowKey, replaced: bool) {
        let number = new.sequence_number;
        if new.overwrite == Overwrite::Anything {
            self.replacing.insert(number, key.version);
            self.ever_replacing.insert(number);
        } else if !replaced {
            self.replacing.remove(&number);
        }
    }

    /// The server has a version of a row, and the row's permission is used up.
    pub(super) fn note_written(&mut self, number: i64, version: u32) {
        if self.replacing.get(&number).is_some_and(|since| *since <= version) {
            self.replacing.remove(&number);
        }
    }
}

impl Model {
    /// A message that may replace any text is not parked for an existing one.
    pub(super) fn check_not_replacing(&mut self, row: &Row, reason: &Reason) {
        let session = self.sessions.get(row.session);
        let is_replacing =
            session.is_some_and(|session| session.replacing.contains_key(&row.sequence_number));
        self.expect(!is_replacing || reason.code != TAKEN, "overwritten", || {
            let (session, number) = (row.session, row.sequence_number);
            format!("s{session}/{number} is parked for a text that it is to replace")
        });
    }

    /// Another device's text is replaced only if the daemon asked for that.
    pub(crate) fn check_overwritten(&mut self, session: usize, number: i64) {
        let known = self.sessions.get(session);
        let is_allowed = known.is_some_and(|session| session.ever_replacing.contains(&number));
        self.expect(is_allowed, "overwritten", || {
            format!("s{session}/{number} of another device is overwritten")
        });
    }
}
