//! Rows whose parent the server does not know. The parent's row is sent first, at no cost to the child.
//!
//! A child that is refused although its parent is there has itself to blame: a policy, a trigger or a foreign key of the
//! project. Each such refusal counts, and the lane waits for its backoff, whatever becomes of the parent's row meanwhile.
//! The parent may be deleted during that wait, so the server is asked for it again before each further attempt.

use std::collections::HashMap;
use std::time::Duration;

use levi_outbox::{DueLane, LaneId, LaneKey};
use levi_transport::{ApiError, Verdict};
use levi_types::{Now, SessionId};

use super::Batcher;
use super::io::{Action, Batch, Parent, Part};
use super::notice::reason;

/// The refusals of a lane's first row, until a row of the lane is accepted or parked.
#[derive(Debug, Default)]
struct Refusal {
    /// The row and its error, while the engine looks for the parent.
    unresolved: Option<(Part, ApiError)>,
    /// Whether the parent's row was written after an earlier refusal, or looked up. The lane was blocked since, so
    /// the server has that row now.
    parent_was_sent: bool,
    /// Whether the lane was deferred since, so that the parent is to be asked for before the next attempt.
    asks_again: bool,
    /// Refusals that count. Apart from the lane's attempts, because those of an outage say nothing about this row.
    counted: u32,
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

    /// Whether the server has the parent of the lane's first row, and refused the row before.
    pub(super) fn parent_is_there(&self, lane: &LaneKey) -> bool {
        self.0.get(lane).is_some_and(|refusal| refusal.parent_was_sent)
    }

    /// Whether a refusal of the lane's first row has counted.
    pub(super) fn has_counted(&self, lane: &LaneKey) -> bool {
        self.0.get(lane).is_some_and(|refusal| refusal.counted > 0)
    }

    /// The session's row is parked: what the server said about it before is no longer so.
    pub(super) fn parent_is_parked(&mut self, session: &SessionId) {
        for lane in children(session) {
            if let Some(refusal) = self.0.get_mut(&lane) {
                refusal.parent_was_sent = false;
            }
        }
    }

    fn of(&mut self, lane: &LaneKey) -> &mut Refusal {
        self.0.entry(lane.clone()).or_default()
    }
}

/// The lanes of what belongs to a session.
pub(super) fn children(session: &SessionId) -> [LaneKey; 2] {
    [LaneKey::Secret(session.clone()), LaneKey::Messages(session.clone())]
}

impl Batcher {
    pub(super) fn missing_parent(&mut self, now: Now, mut batch: Batch, error: &ApiError) {
        match batch.parts.pop() {
            // Another row is missing than the parent.
            Some(part) if batch.parts.is_empty() && self.refusals.parent_is_there(&part.key) => {
                batch.parts.push(part);
                self.refused(now, batch, error);
            }
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
        if !can_have_parent || self.refusals.parent_is_there(&part.key) {
            return self.count_refusal(now, &part, error);
        }
        if let Some(row) = part.rows.first() {
            self.actions.push_back(Action::EnsureParent { key: part.key.clone(), row: row.key });
        }
        let key = part.key.clone();
        self.refusals.of(&key).unresolved = Some((part, error.clone()));
    }

    /// Whether the lane, which is due, waits until the server was asked for its parent.
    pub(super) fn asks_for_parent(&mut self, lane: &DueLane) -> bool {
        let Some(refusal) = self.refusals.0.get_mut(&lane.key).filter(|refusal| refusal.asks_again) else {
            return false;
        };
        let Some(row) = lane.heads.first() else { return false };
        refusal.asks_again = false;
        self.actions.push_back(Action::EnsureParent { key: lane.key.clone(), row: row.key });
        true
    }

    pub(super) fn parent_ensured(&mut self, now: Now, key: &LaneKey, parent: Parent) {
        let refusal = self.refusals.of(key);
        refusal.parent_was_sent = parent == Parent::Ensured;
        let Some((part, error)) = refusal.unresolved.take() else {
            // It was asked for before an attempt: the lane is loaded again when it is not blocked.
            self.dirty = true;
            return;
        };
        let is_outdated = self.windows.lane(part.lane).is_some_and(|lane| lane.is_outdated);
        match parent {
            // It is blocked on disk, and loaded again when the server has the parent.
            Parent::Ensured => self.load_again(part.lane),
            _ if is_outdated => self.load_again(part.lane),
            // Nothing is known of the parent, so the refusal does not count.
            Parent::CannotSay(reason) => self.defer(now, part.lane, reason, Duration::ZERO),
            Parent::Unknown => self.count_refusal(now, &part, &error),
        }
    }

    fn load_again(&mut self, lane: LaneId) {
        self.windows.remove(lane);
        self.dirty = true;
    }

    /// A parent that nobody knows may come later, so the row is not to blame for its absence.
    fn count_refusal(&mut self, now: Now, part: &Part, error: &ApiError) {
        let refusal = self.refusals.of(&part.key);
        if refusal.parent_was_sent || error.verdict == Verdict::Forbidden {
            refusal.counted = refusal.counted.saturating_add(1);
            if refusal.counted >= self.config.max_attempts_rejected {
                return self.park(now, part, error);
            }
        }
        refusal.asks_again = refusal.parent_was_sent;
        self.defer(now, part.lane, reason(part.key.kind(), error), Duration::ZERO);
    }
}
