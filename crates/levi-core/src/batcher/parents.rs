//! Rows whose parent the server does not know. The parent's row is sent first, at no cost to the child;
//! only a child that is refused again after that uses up attempts.

use std::collections::HashMap;
use std::time::Duration;

use levi_outbox::{LaneId, LaneKey};
use levi_transport::{ApiError, Verdict};
use levi_types::Now;

use super::Batcher;
use super::io::{Action, Batch, Parent, Part};
use super::notice::reason;

/// The refusals of a lane's first row, until a row of the lane is accepted or parked.
#[derive(Debug, Default)]
struct Refusal {
    /// The row and its error, while the engine looks for the parent.
    unresolved: Option<(Part, ApiError)>,
    /// Whether the parent's row was written after an earlier refusal. The lane was blocked since, so the
    /// server has that row now.
    parent_was_sent: bool,
    /// Refusals by row level security that count. Apart from the lane's attempts, because those of an outage
    /// say nothing about this row.
    forbidden: u32,
}

#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<LaneKey, Refusal>);

impl Refusals {
    pub(super) fn forget(&mut self, lane: &LaneKey) {
        if !self.0.is_empty() {
            self.0.remove(lane);
        }
    }

    /// The lane's row was replaced, and begins afresh.
    pub(super) fn replaced(&mut self, lane: &LaneKey) {
        if let Some(refusal) = self.0.get_mut(lane) {
            *refusal = Refusal { unresolved: refusal.unresolved.take(), ..Refusal::default() };
        }
    }

    fn of(&mut self, lane: &LaneKey) -> &mut Refusal {
        self.0.entry(lane.clone()).or_default()
    }
}

impl Batcher {
    pub(super) fn missing_parent(&mut self, now: Now, mut batch: Batch, error: &ApiError) {
        match batch.parts.pop() {
            Some(part) if batch.parts.is_empty() => self.refused_for_parent(now, part, error),
            Some(part) => {
                batch.parts.push(part);
                self.isolate(batch, error);
            }
            None => {}
        }
    }

    /// The server refused the first row of one lane, and its parent may be missing.
    pub(super) fn refused_for_parent(&mut self, now: Now, part: Part, error: &ApiError) {
        let can_have_parent = !matches!(part.key, LaneKey::Repository(_));
        if can_have_parent && !self.refusals.of(&part.key).parent_was_sent {
            self.ask_for_parent(&part);
            let key = part.key.clone();
            self.refusals.of(&key).unresolved = Some((part, error.clone()));
            return;
        }
        let ask = part.clone();
        if self.count_refusal(now, part, error) && can_have_parent {
            self.ask_for_parent(&ask);
        }
    }

    fn ask_for_parent(&mut self, part: &Part) {
        let Some(row) = part.rows.first() else { return };
        self.actions.push_back(Action::EnsureParent { key: part.key.clone(), row: row.key });
    }

    pub(super) fn parent_ensured(&mut self, now: Now, key: &LaneKey, parent: Parent) {
        let refusal = self.refusals.of(key);
        let Some((part, error)) = refusal.unresolved.take() else { return };
        refusal.parent_was_sent = parent == Parent::Ensured;
        let is_outdated = self.windows.lane(part.lane).is_some_and(|lane| lane.is_outdated);
        match parent {
            // It is blocked on disk, and loaded again when the server has the parent.
            Parent::Ensured => self.load_again(part.lane),
            _ if is_outdated => self.load_again(part.lane),
            // Nothing is known of the parent, so the refusal does not count.
            Parent::CannotSay(reason) => self.defer(now, part.lane, reason, Duration::ZERO),
            Parent::Unknown => {
                self.count_refusal(now, part, &error);
            }
        }
    }

    fn load_again(&mut self, lane: LaneId) {
        self.windows.remove(lane);
        self.dirty = true;
    }

    /// Says whether the lane waits, rather than its row being parked.
    fn count_refusal(&mut self, now: Now, part: Part, error: &ApiError) -> bool {
        if error.verdict == Verdict::Forbidden {
            let refusal = self.refusals.of(&part.key);
            refusal.forbidden = refusal.forbidden.saturating_add(1);
            if refusal.forbidden >= self.config.max_attempts_rejected {
                self.park(now, &part, error);
                return false;
            }
        }
        self.defer(now, part.lane, reason(part.key.kind(), error), Duration::ZERO);
        true
    }
}
