//! When acknowledged rows are removed from the outbox: those of a backlog a little later than their answers come, together.
//!
//! The rows of sessions that write in turn share pages of the outbox. A page that loses all of its rows in one transaction is
//! freed and never written. Removed session by session, it is written for each of them. Should the process be killed in
//! between, the rows are sent again, and change nothing on the server.

use std::time::Duration;

use levi_outbox::Change;
use levi_types::{Monotonic, Now};

use super::Engine;
use super::commit::Uncommitted;

/// The longest time for which an acknowledgement waits for others.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

impl Uncommitted {
    /// Whether all there is to commit is what the server has taken.
    pub(super) fn is_of_answers(&self) -> bool {
        let is_of_answer =
            |change: &Change| matches!(change, Change::Acknowledge { .. } | Change::NoteSynced { .. });
        self.has_no_rows() && self.changes.iter().all(is_of_answer)
    }
}

impl Engine {
    /// Whether the commit waits for further answers, as it does while a backlog is drained.
    pub(super) fn waits_for_answers(&mut self, now: Now) -> bool {
        let rows = self.uncommitted.affected.len();
        let enough = self.config.catch_up_batch_size.saturating_mul(self.config.max_in_flight);
        // While nothing may be sent, because nobody is signed in for example, Levi sets no timer for this.
        let may_wait = self.stop_at.is_none()
            && self.batcher.is_open()
            && self.batcher.in_flight().len() > 0
            && (self.config.batch_size..enough).contains(&rows)
            && self.uncommitted.is_of_answers()
            && !self.receipts.wait_for_any(&self.uncommitted.affected);
        if !may_wait {
            return false;
        }
        let until = *self.removal_at.get_or_insert(now.monotonic.after(LONGEST_WAIT));
        now.monotonic < until
    }

    /// Removes what waits for further answers: the engine ends.
    pub fn remove_acknowledged(&mut self, read: Now) {
        let now = self.timeline.advance(read).now;
        if self.uncommitted.is_of_answers() && self.batcher.trusts_outbox() {
            self.try_to_commit(now, &mut |_| {});
        }
    }

    /// When acknowledged rows are removed at the latest. While the outbox fails, the batcher's timer tries again.
    pub(super) fn removal_timeout(&self) -> Option<Monotonic> {
        self.removal_at.filter(|_| self.batcher.trusts_outbox())
    }
}
