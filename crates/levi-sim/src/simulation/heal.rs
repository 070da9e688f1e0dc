//! The end of all faults.

use levi_core::engine::Event;

use super::{Occurrence, Simulation};

impl Simulation {
    /// The sessions that are not on the server because another device deleted them, as Levi can
    /// know.
    fn deleted_sessions(&self) -> Vec<usize> {
        let deleted = |number: &usize| {
            self.model(|model| model.sessions.get(*number).is_some_and(|s| s.is_deleted && s.was_sent))
        };
        let is_gone = |number: &usize| deleted(number) && !self.server.tables.session(*number).known;
        (0..self.plan.setup.sessions.len()).filter(is_gone).collect()
    }

    /// Ends every fault and does the operator's part; the rest is left to Levi.
    pub(super) fn heal(&mut self) {
        self.note(|| "event: everything is mended".to_owned());
        self.healed = true;
        self.mended_at = self.now;
        let deleted = self.deleted_sessions();
        self.server.heal(&self.plan.setup.sessions, |number| deleted.contains(&number));
        self.disk_fault = None;
        self.faults.heal();
        self.daemon.set_silent(false);
        for session in 0..self.plan.setup.sessions.len() {
            // Half of the keys come without a notification, so that Levi must look again by itself.
            let notified = self.random.chance(50);
            self.key_arrives(session, notified);
        }
        // The daemon restores half of the deleted sessions. The others stay deleted, and their rows
        // stay in the outbox.
        for session in deleted {
            if self.random.chance(50) {
                self.restore_session(session);
            }
        }
        if self.unnotified {
            self.tell(Event::WrittenElsewhere);
        }
        self.sign_in.heal();
        self.switches_in_turn = false;
        if self.has_two_users() {
            self.schedule(self.patience(), Occurrence::NextUser);
        }
        if self.user != 0 {
            self.switch_user();
        } else if self.needs_operator {
            self.sign_in();
        }
    }
}
