//! Sessions that another device deletes.

use levi_outbox::{LaneKey, NewRow};

use super::{Model, Session};
use crate::content::{Content, session_number};

impl Session {
    /// What the server shows at a sequence number, or showed before the session was deleted.
    pub(crate) fn shown_once(&self, place: i64) -> Option<Content> {
        self.shown.get(&place).or_else(|| self.shown_before.get(&place)).copied()
    }

    fn is_waiting(&self, place: i64) -> bool {
        self.pending.contains_key(&place) || self.parked.contains_key(&place)
    }
}

impl Model {
    /// The other device deleted the session and its messages from the server.
    pub(crate) fn session_deleted(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        (session.is_deleted, session.is_missing) = (true, true);
        session.refused_while_missing = 0;
        let shown = std::mem::take(&mut session.shown);
        session.shown_before.extend(shown);
        let gone: Vec<i64> =
            session.latest.keys().copied().filter(|place| !session.is_waiting(*place)).collect();
        for place in gone {
            session.latest.remove(&place);
        }
    }

    /// The row with which the daemon restores a session is stored, and with it the permission to
    /// write the session anew.
    pub(super) fn note_restored(&mut self, new: &NewRow) {
        if let (true, LaneKey::Session(session)) = (new.restores_session, &new.lane)
            && let Some(session) = self.sessions.get_mut(session_number(session))
        {
            session.was_sent = false;
        }
    }

    /// The session's row was written anew. If the outbox had recorded that the server once had it,
    /// the daemon must have asked for that.
    pub(crate) fn session_inserted(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        let unasked = session.is_missing && session.was_sent;
        session.is_missing = false;
        self.expect(!unasked, "gone", || {
            format!(
                "s{number} was deleted on another device, and is written again though nobody asked for it"
            )
        });
    }
}
