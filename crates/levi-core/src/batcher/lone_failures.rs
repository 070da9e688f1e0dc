//! Lone failures: rows that the server never answers for, while it takes others.
//!
//! `Unreachable` and `Busy` say nothing about a row, so its lane waits and tries again. But a row that is too large for
//! the line, for a gateway or for the server's time limit fails like that every time, and its session waits for ever.
//! If other requests were accepted since a lane's last failure, the lane is sent apart from others, then with half as
//! many rows after each further failure, until one row is alone. After as many failures alone as row level security may
//! refuse a row, it is parked. If a request at least as large was accepted meanwhile, its size does not explain the
//! failures, a bad line may, and it takes four times as many.
//!
//! Where no other messages get through, a probe stands in for them: before such a row is sent again, a request to the same
//! table without a row. If that fails, it was the attempt, so that an outage sees no more requests than before. It says
//! less than a message, because a project may accept nothing but probes. So each row that is parked on their word alone
//! doubles the number of failures that the next one takes, until a message is accepted.

use std::collections::HashMap;

use levi_outbox::{LaneId, LoneFailure, RowKey};

use super::io::{Batch, Part};

/// The most lanes that are watched at a time. Others are watched once one of these is sent.
const MAX_LANES: usize = 1024;

/// How many times more failures it takes where the size explains nothing.
const PATIENCE: u32 = 4;

/// A probe's headers are about as large as a row of so many bytes.
const PROBE_BYTES: usize = 1024;

/// After so many rows were parked on the evidence of probes, the number of failures is no longer doubled.
const MAX_DOUBLINGS: u32 = 8;

/// What a failure proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing: the lane is tried again.
    None,
    /// The lane alone fails, and is tried again. This is kept on disk.
    Alone(LoneFailure),
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
    /// Whether nothing was accepted since the last of several failures.
    is_doubtful: bool,
    /// Whether messages were accepted since the first failure, and not only probes.
    messages_accepted: bool,
}

#[derive(Debug, Default)]
pub(super) struct LoneFailures {
    failing: HashMap<LaneId, Failing>,
    accepted: u64,
    /// Rows that were parked on the evidence of probes since a message was accepted.
    parked_on_probes: u32,
    /// The same, as the outbox keeps it.
    kept: u32,
}

impl LoneFailures {
    /// What an earlier process found out.
    pub(super) fn restore(&mut self, lanes: Vec<LoneFailure>, parked_on_probes: u32) {
        (self.parked_on_probes, self.kept) = (parked_on_probes, parked_on_probes);
        for LoneFailure { lane, row, together, failures, is_surpassed } in lanes.into_iter().take(MAX_LANES) {
            let rows = if together == u32::MAX { usize::MAX } else { together as usize };
            let failing = Failing {
                first: row,
                rows,
                bytes: usize::MAX,
                alone: failures,
                accepted_before: self.accepted,
                is_lone: true,
                is_surpassed,
                // Whether others get through now must be known before the row fails again.
                is_doubtful: true,
                messages_accepted: false,
            };
            self.failing.insert(lane, failing);
        }
    }

    /// The server accepted a request with messages.
    pub(super) fn accepted(&mut self, batch: &Batch) {
        // A control row says nothing about the table of messages.
        if batch.control_row().is_some() {
            return;
        }
        self.parked_on_probes = 0;
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
            (failing.messages_accepted, failing.is_doubtful) = (true, false);
        }
    }

    /// How many rows were parked on the evidence of probes, if that is another number than the outbox has.
    pub(super) fn parked_on_probes_if_changed(&mut self) -> Option<u32> {
        let kept = std::mem::replace(&mut self.kept, self.parked_on_probes);
        (kept != self.parked_on_probes).then_some(self.parked_on_probes)
    }

    /// The server accepted a probe.
    pub(super) fn probe_accepted(&mut self) {
        self.accepted = self.accepted.wrapping_add(1);
        for failing in self.failing.values_mut() {
            failing.is_surpassed |= PROBE_BYTES >= failing.bytes;
            failing.is_doubtful = false;
        }
    }

    /// The server does not take requests without rows.
    pub(super) fn probe_refused(&mut self) {
        self.failing.values_mut().for_each(|failing| failing.is_doubtful = false);
    }

    /// Whether a probe is to be sent before these parts: all of them failed more than once, and nothing was accepted since.
    pub(super) fn need_probe(&self, parts: &[Part]) -> bool {
        let is_doubtful = |part: &Part| {
            let failing = self.failing.get(&part.lane);
            failing.is_some_and(|failing| failing.is_doubtful && part.starts_with(failing.first))
        };
        !self.failing.is_empty() && parts.iter().all(is_doubtful)
    }

    /// Whether the rows of this part failed alone before, and others were accepted since: what the server says now, it
    /// says about them.
    pub(super) fn is_alone(&self, part: &Part) -> bool {
        let failing = self.failing.get(&part.lane);
        failing.is_some_and(|failing| {
            part.starts_with(failing.first) && failing.alone > 0 && failing.accepted_before != self.accepted
        })
    }

    /// A request with this part failed, and nothing is known about its rows. `most`: failures alone before it is parked.
    pub(super) fn failed(&mut self, part: &Part, company: Company, most: u32) -> Proof {
        let Some(first) = part.rows.first().map(|row| row.key) else { return Proof::None };
        let known = self.failing.get_mut(&part.lane).filter(|failing| failing.first == first);
        let Some(failing) = known else {
            self.watch(part, first);
            return Proof::None;
        };
        failing.is_doubtful = true;
        let others_accepted = failing.accepted_before != self.accepted;
        failing.accepted_before = self.accepted;
        if !others_accepted {
            return Proof::None;
        }
        failing.is_lone = true;
        if company == Company::Apart {
            failing.rows = part.rows.len();
        }
        failing.bytes = bytes_of(part);
        if failing.rows > 1 {
            return Proof::Alone(failing.to_keep(part.lane));
        }
        failing.alone = failing.alone.saturating_add(1);
        let most = if failing.is_surpassed { most.saturating_mul(PATIENCE) } else { most };
        let doublings = if failing.messages_accepted { 0 } else { self.parked_on_probes.min(MAX_DOUBLINGS) };
        if failing.alone < most.saturating_mul(1 << doublings) {
            return Proof::Alone(failing.to_keep(part.lane));
        }
        let times = failing.alone;
        if !failing.messages_accepted {
            self.parked_on_probes = self.parked_on_probes.saturating_add(1);
        }
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
            is_doubtful: false,
            messages_accepted: false,
        };
        self.failing.insert(part.lane, failing);
    }

    /// For a lane that is sent apart because it fails while others are accepted: how many rows of it failed last.
    pub(super) fn rows_that_failed(&self, lane: LaneId, first: RowKey) -> Option<usize> {
        let failing = self.failing.get(&lane)?;
        (failing.is_lone && failing.first == first).then_some(failing.rows)
    }
}

impl Failing {
    fn to_keep(self, lane: LaneId) -> LoneFailure {
        LoneFailure {
            lane,
            row: self.first,
            together: u32::try_from(self.rows).unwrap_or(u32::MAX),
            failures: self.alone,
            is_surpassed: self.is_surpassed,
        }
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
mod tests;
