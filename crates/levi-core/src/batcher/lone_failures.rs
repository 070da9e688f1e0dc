//! Lone failures: rows that the server never answers for, while it takes others.
//!
//! `Unreachable` and `Busy` say nothing about a row, so its lane waits and tries again. But a row that is too large for
//! the line, for a gateway or for the server's time limit fails like that every time, and its session waits for ever.
//! If other requests were accepted since a lane's last failure, the lane is sent apart from others, then with half as
//! many rows after each further failure, until one row is alone. After as many failures alone as row level security may
//! refuse a row, it is parked. If a request at least as large was accepted meanwhile, its size does not explain the
//! failures, a bad line may, and it takes four times as many.

use std::collections::HashMap;

use levi_outbox::{LaneId, RowKey};

use super::io::{Batch, Part};

/// The most lanes that are watched at a time. Others are watched once one of these is sent.
const MAX_LANES: usize = 1024;

/// How many times more failures it takes where the size explains nothing.
const PATIENCE: u32 = 4;

/// What a failure proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing: the lane is tried again.
    None,
    /// The row never gets through: it failed alone so many times.
    Never(u32),
}

/// A lane whose last request failed.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// With its version: a newer payload may fit.
    first: RowKey,
    /// How many rows from the first on had requests of their own and failed; `usize::MAX` while others were in them.
    rows: usize,
    bytes: usize,
    /// How often the first row failed alone while others were accepted.
    alone: u32,
    /// How many requests had been accepted at the last failure.
    accepted_before: u64,
    /// Whether others were accepted since the first failure.
    is_lone: bool,
    /// Whether a request at least as large was accepted.
    is_surpassed: bool,
}

#[derive(Debug, Default)]
pub(super) struct LoneFailures {
    failing: HashMap<LaneId, Failing>,
    accepted: u64,
}

impl LoneFailures {
    /// The server accepted the request.
    pub(super) fn accepted(&mut self, batch: &Batch) {
        // A control row says nothing about the table of messages.
        if batch.control_row().is_some() {
            return;
        }
        self.accepted = self.accepted.wrapping_add(1);
        if self.failing.is_empty() {
            return;
        }
        for part in &batch.parts {
            self.failing.remove(&part.lane);
        }
        let bytes = batch.parts.iter().map(bytes_of).fold(0, usize::saturating_add);
        for failing in self.failing.values_mut() {
            failing.is_surpassed |= bytes >= failing.bytes;
        }
    }

    /// A request with this part failed, and nothing is known about its rows. `most`: failures alone before it is parked.
    pub(super) fn failed(&mut self, part: &Part, company: Company, most: u32) -> Proof {
        let Some(first) = part.rows.first().map(|row| row.key) else { return Proof::None };
        let known = self.failing.get_mut(&part.lane).filter(|failing| failing.first == first);
        let Some(failing) = known else {
            self.watch(part, first);
            return Proof::None;
        };
        let others_accepted = failing.accepted_before != self.accepted;
        failing.accepted_before = self.accepted;
        if !others_accepted {
            return Proof::None;
        }
        failing.is_lone = true;
        if company == Company::Apart {
            failing.rows = part.rows.len();
        }
        if failing.rows > 1 {
            return Proof::None;
        }
        failing.bytes = bytes_of(part);
        failing.alone += 1;
        let most = if failing.is_surpassed { most.saturating_mul(PATIENCE) } else { most };
        if failing.alone < most {
            return Proof::None;
        }
        let times = failing.alone;
        self.failing.remove(&part.lane);
        Proof::Never(times)
    }

    fn watch(&mut self, part: &Part, first: RowKey) {
        if self.failing.len() >= MAX_LANES && !self.failing.contains_key(&part.lane) {
            return;
        }
        let failing = Failing {
            first,
            rows: usize::MAX,
            bytes: bytes_of(part),
            alone: 0,
            accepted_before: self.accepted,
            is_lone: false,
            is_surpassed: false,
        };
        self.failing.insert(part.lane, failing);
    }

    /// For a lane that is sent apart because it fails while others are accepted: how many rows of it failed last.
    pub(super) fn rows_that_failed(&self, lane: LaneId, first: RowKey) -> Option<usize> {
        let failing = self.failing.get(&lane)?;
        (failing.is_lone && failing.first == first).then_some(failing.rows)
    }
}

/// Whether a request had rows of one lane only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    Apart,
    WithOthers,
}

impl Company {
    pub(super) const fn of(batch: &Batch) -> Self {
        if batch.parts.len() == 1 { Self::Apart } else { Self::WithOthers }
    }
}

fn bytes_of(part: &Part) -> usize {
    part.rows.iter().map(|row| row.bytes as usize).fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use levi_outbox::{Encryption, LaneKey, Overwrite, RowHead, RowId};
    use levi_types::Wall;

    use super::*;
    use crate::batcher::io::BatchId;

    fn part(lane: i64, rows: &[u32]) -> Part {
        let row = |(index, bytes): (usize, &u32)| RowHead {
            key: RowKey { id: RowId(lane * 100 + index as i64), version: 1 },
            sequence_number: index as i64,
            bytes: *bytes,
            encryption: Encryption::SessionKey,
            enqueued_at: Wall::from_millis(0),
            overwrite: Overwrite::OwnOnly,
        };
        let key = LaneKey::Messages(lane.to_string().as_str().into());
        Part { lane: LaneId(lane), key, rows: rows.iter().enumerate().map(row).collect() }
    }

    fn batch(parts: Vec<Part>) -> Batch {
        Batch { id: BatchId(1), epoch: 1, user: None, user_changes: 0, parts }
    }

    #[test]
    fn a_row_that_fails_alone_while_others_get_through_is_found() {
        let (mut watched, large, small) = (LoneFailures::default(), part(1, &[900]), part(2, &[10]));
        for failure in 0..=8 {
            let proof = watched.failed(&large, Company::Apart, 8);
            let expected = if failure == 8 { Proof::Never(8) } else { Proof::None };
            assert_eq!(proof, expected, "failure {failure}");
            watched.accepted(&batch(vec![small.clone()]));
        }
    }

    #[test]
    fn an_outage_proves_nothing() {
        let (mut watched, large) = (LoneFailures::default(), part(1, &[900]));
        for _ in 0..100 {
            assert_eq!(watched.failed(&large, Company::Apart, 8), Proof::None);
        }
        assert_eq!(
            watched.rows_that_failed(LaneId(1), large.rows[0].key),
            None,
            "it shares requests as before"
        );
    }

    #[test]
    fn a_small_row_on_a_bad_line_has_longer() {
        let (mut watched, row, other) = (LoneFailures::default(), part(1, &[10]), part(2, &[10]));
        let mut failures = 0;
        while watched.failed(&row, Company::Apart, 8) == Proof::None {
            watched.accepted(&batch(vec![other.clone()]));
            failures += 1;
        }
        assert_eq!(failures, 8 * PATIENCE);
    }

    #[test]
    fn the_lane_is_sent_apart_then_in_halves_and_starts_over_once_it_is_accepted() {
        let (mut watched, small) = (LoneFailures::default(), batch(vec![part(2, &[10])]));
        let first = part(1, &[9]).rows[0].key;
        let apart = |watched: &LoneFailures| watched.rows_that_failed(LaneId(1), first);
        watched.failed(&part(1, &[9; 4]), Company::WithOthers, 8);
        assert_eq!(apart(&watched), None);
        watched.accepted(&small);
        watched.failed(&part(1, &[9; 4]), Company::WithOthers, 8);
        assert_eq!(apart(&watched), Some(usize::MAX));
        watched.accepted(&small);
        watched.failed(&part(1, &[9; 4]), Company::Apart, 8);
        assert_eq!(apart(&watched), Some(4));
        watched.accepted(&batch(vec![part(1, &[9; 2])]));
        assert_eq!(apart(&watched), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut watched = LoneFailures::default();
        for lane in 0..5_000 {
            watched.failed(&part(lane, &[9]), Company::Apart, 8);
        }
        assert_eq!(watched.failing.len(), MAX_LANES);
    }
}
