//! One lane at hand: the window on its rows, and what is known about them.

use std::collections::VecDeque;

use levi_outbox::{DueLane, Encryption, LaneKey, RowHead};
use levi_types::Monotonic;

use super::io::LaneRows;

/// Lanes that share batches. Ordinary lanes are in `COMMON`; those with a row that may be bad are kept
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(pub(super) u64);

impl Group {
    pub(super) const COMMON: Self = Self(0);
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    /// Failed attempts at the first row.
    pub(super) attempts: u32,
    /// Rows that are loaded and not in flight, in order.
    pub(super) window: VecDeque<RowHead>,
    /// Whether the outbox has rows beyond the window.
    pub(super) more: bool,
    /// The last row that was loaded, in flight or in the window: loading goes on after it.
    pub(super) last_known: Option<i64>,
    /// Whether a request with rows of this lane is in flight.
    pub(super) in_flight: bool,
    /// Whether a row was written that the window should have had: start over once nothing is in flight.
    pub(super) restart_pending: bool,
    /// Whether the parent's row, or the control row that is in flight, was written since the rows left the
    /// outbox: whatever fails now says nothing about the lane as it is on disk.
    pub(super) is_outdated: bool,
    /// Whether the engine owes a response about this lane.
    pub(super) awaits_response: bool,
    pub(super) group: Group,
    /// The number of rows at the front of which one is bad; 0 if none is known to be.
    pub(super) bisecting: usize,
    /// When the first row stops waiting for a fuller batch.
    pub(super) flush_at: Monotonic,
}

impl Lane {
    pub(super) fn new(due: DueLane, flush_at: Monotonic) -> Self {
        let window: VecDeque<RowHead> = due.heads.into();
        Self {
            key: due.key,
            attempts: due.attempts,
            more: due.more,
            last_known: window.back().map(|row| row.sequence_number),
            window,
            in_flight: false,
            restart_pending: false,
            is_outdated: false,
            awaits_response: false,
            group: Group::COMMON,
            bisecting: 0,
            flush_at,
        }
    }

    pub(super) fn is_control(&self) -> bool {
        self.key.kind().is_control()
    }

    fn is_idle(&self) -> bool {
        !self.in_flight && !self.awaits_response
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_idle() && self.window.front().is_some_and(is_sealed)
    }

    /// Whether the first row waits for its session's key.
    pub(super) fn is_unsealed(&self) -> bool {
        self.is_idle() && self.window.front().is_some_and(|row| !is_sealed(row))
    }

    /// Rows at the front that are ready to send.
    pub(super) fn sealed(&self) -> impl Iterator<Item = &RowHead> {
        self.window.iter().take_while(|row| is_sealed(row))
    }

    /// How many rows a batch may take: half of those among which a bad one is searched.
    pub(super) fn limit(&self) -> usize {
        match self.bisecting {
            0 => usize::MAX,
            rows => (rows / 2).max(1),
        }
    }

    /// The rows on disk may differ from the window.
    pub(super) fn invalidate(&mut self) {
        if self.in_flight { self.restart_pending = true } else { self.start_over() }
    }

    /// The parent's row was written. If the lane is blocked on disk, no rows are loaded any more.
    pub(super) fn block(&mut self) {
        self.invalidate();
        self.is_outdated = !self.is_idle();
    }

    pub(super) fn start_over(&mut self) {
        self.window.clear();
        self.last_known = None;
        self.more = true;
        self.restart_pending = false;
        self.is_outdated = false;
    }

    /// A row was written at `sequence_number`.
    pub(super) fn note_write(&mut self, sequence_number: i64) {
        if self.is_control() {
            // It was replaced, and its attempts are reset.
            self.attempts = 0;
            self.is_outdated |= self.in_flight;
        }
        match self.last_known {
            Some(last) if sequence_number <= last => self.invalidate(),
            _ => self.more = true,
        }
    }

    /// Appends rows that were loaded.
    pub(super) fn extend(&mut self, loaded: LaneRows, flush_at: Monotonic) {
        self.awaits_response = false;
        self.is_outdated = false;
        if loaded.after != self.last_known {
            // The lane started over since: these rows do not follow the ones that are known now.
            self.more = true;
            return;
        }
        if self.window.is_empty() {
            self.flush_at = flush_at;
        }
        if let Some(last) = loaded.rows.last() {
            self.last_known = Some(last.sequence_number);
        }
        self.window.extend(loaded.rows);
        self.more = !loaded.complete;
    }

    /// The request's rows of this lane left the outbox, or came back.
    pub(super) fn landed(&mut self) {
        self.in_flight = false;
        if self.restart_pending {
            self.start_over();
        }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.window.is_empty() && !self.more && self.is_idle()
    }
}

fn is_sealed(row: &RowHead) -> bool {
    row.encryption != Encryption::DatabaseKey
}
