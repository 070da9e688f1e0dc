//! Counts of everything.

use levi_types::Wall;
use serde::Serialize;

use super::RowKind;

/// Counts whose cost does not grow with the backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Messages that wait to be sent.
    pub pending_rows: u64,
    /// Payload bytes of all pending rows, control rows included.
    pub pending_bytes: u64,
    /// Messages that are parked.
    pub parked_rows: u64,
    /// Payload bytes of all parked rows, control rows included.
    pub parked_bytes: u64,
    /// Rows of repositories, sessions and secrets that wait to be sent.
    pub control_rows: u64,
    /// Rows of repositories, sessions and secrets that are parked.
    pub parked_control_rows: u64,
    /// Lanes with pending rows, blocked ones included.
    pub lanes: u64,
    /// When the pending row with the lowest id was enqueued.
    pub oldest: Option<Wall>,
}

/// Saturating throughout: the counts of a damaged file may be anything, and are no reason to panic.
impl Totals {
    pub(crate) fn add_pending(&mut self, kind: RowKind, bytes: u64) {
        let rows = if kind.is_control() { &mut self.control_rows } else { &mut self.pending_rows };
        *rows = rows.saturating_add(1);
        self.pending_bytes = self.pending_bytes.saturating_add(bytes);
    }

    pub(crate) fn remove_pending(&mut self, kind: RowKind, rows: u64, bytes: u64) {
        let count = if kind.is_control() { &mut self.control_rows } else { &mut self.pending_rows };
        *count = count.saturating_sub(rows);
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
    }

    pub(crate) fn add_parked(&mut self, kind: RowKind, bytes: u64) {
        let rows = if kind.is_control() { &mut self.parked_control_rows } else { &mut self.parked_rows };
        *rows = rows.saturating_add(1);
        self.parked_bytes = self.parked_bytes.saturating_add(bytes);
    }

    pub(crate) fn remove_parked(&mut self, kind: RowKind, bytes: u64) {
        let rows = if kind.is_control() { &mut self.parked_control_rows } else { &mut self.parked_rows };
        *rows = rows.saturating_sub(1);
        self.parked_bytes = self.parked_bytes.saturating_sub(bytes);
    }

    /// Whether `growth` more bytes are more than `max_pending_bytes` lets one user have, of which `held_bytes` wait for
    /// users who are not signed in: the backlog of an earlier user does not use up the room of the present one. All users
    /// together have twice that.
    pub const fn would_exceed(&self, max_pending_bytes: u64, held_bytes: u64, growth: u64) -> bool {
        let all = self.stored_bytes().saturating_add(growth);
        all.saturating_sub(held_bytes) > max_pending_bytes || all > max_pending_bytes.saturating_mul(2)
    }

    /// The bytes that count against `max_pending_bytes`.
    pub(crate) const fn stored_bytes(&self) -> u64 {
        self.pending_bytes.saturating_add(self.parked_bytes)
    }
}
