//! The time between two attempts of a row on the wire: at least the first delay of the backoff after
//! the server refused it, whatever the outbox says about when its lane is due.
//!
//! Twice for each row, and once after each event that gives a reason, the next attempt may come
//! early: the row's parent may have been sent meanwhile, for another of its children and then for this
//! one, or what Levi knew may be lost. A refusal of a session's other lane is such a reason, because
//! the session is looked up for it.

use std::collections::BTreeMap;

use levi_outbox::LaneKey;
use levi_types::Now;

use super::Model;
use super::control::name_of;

/// The attempts at a lane's first row.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    /// The row that the server last refused alone.
    refused: Option<Refused>,
    /// How many further attempts may come early.
    early: u32,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    row: RowVersion,
    at: Now,
}

/// A row of a lane, in one version. One that was replaced begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowVersion {
    pub(crate) sequence_number: i64,
    pub(crate) version: u32,
}

impl RowVersion {
    /// A control row's, whose lane forgets its attempts when the row is replaced.
    pub(crate) const CONTROL: Self = Self { sequence_number: 0, version: 0 };
}

impl Default for Attempts {
    fn default() -> Self {
        Self { refused: None, early: 2 }
    }
}

#[derive(Default)]
pub(crate) struct AttemptTimes(BTreeMap<LaneKey, Attempts>);

impl Model {
    /// The server refused the lane's first row alone, and its parent may have been missing.
    pub(crate) fn refused_alone(&mut self, lane: LaneKey, row: RowVersion) {
        let refused = Refused { row, at: self.now };
        let other = match &lane {
            LaneKey::Messages(session) => Some(LaneKey::Secret(session.clone())),
            LaneKey::Secret(session) => Some(LaneKey::Messages(session.clone())),
            _ => None,
        };
        if let Some(other) = other {
            self.attempt_times.0.entry(other).or_default().early += 1;
        }
        self.attempt_times.0.entry(lane).or_default().refused = Some(refused);
    }

    /// A request with this row and no other is sent.
    pub(crate) fn check_attempt(&mut self, lane: &LaneKey, row: RowVersion) {
        let Some(attempts) = self.attempt_times.0.get_mut(lane) else { return };
        let Some(Refused { at, .. }) = attempts.refused.filter(|refused| refused.row == row) else { return };
        let waited = self.now.monotonic.since(at.monotonic).max(self.now.wall.since(at.wall));
        let least = self.config.backoff().unjittered(1);
        if self.delays_void || waited.as_millis() + 1 >= least.as_millis() {
            return;
        }
        match attempts.early.checked_sub(1) {
            Some(left) => attempts.early = left,
            None => {
                let what = format!("{lane}/{} is sent {waited:?} after it was refused", row.sequence_number);
                self.fail("backoff", what);
            }
        }
    }

    /// The lane's first row left it.
    pub(super) fn forget_attempts(&mut self, lane: &LaneKey) {
        self.attempt_times.0.remove(lane);
    }

    /// What waits in this session may be sent early once.
    pub(crate) fn session_may_be_early(&mut self, number: usize) {
        for lane in [LaneKey::Messages(name_of(number)), LaneKey::Secret(name_of(number))] {
            self.attempt_times.0.entry(lane).or_default().early += 1;
        }
    }

    /// What waits may be sent early once.
    pub(crate) fn all_may_be_early(&mut self) {
        (0..self.sessions.len()).for_each(|number| self.session_may_be_early(number));
    }
}
