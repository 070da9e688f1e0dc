//! What is requested next: a control row, a batch of messages, or more rows from the outbox.

use levi_types::Monotonic;

use super::io::{Action, Batch, BatchId, Part};
use super::lane_windows::Limits;
use super::{Batcher, MAX_LANES, flush_at};

/// What a request has of the rows that it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Rows,
    Nothing,
}

impl Batcher {
    /// Requests go before loads, because a load waits for the disk. They are decided here and not in `handle`,
    /// so that a commit in between, which may block lanes, is taken into account.
    pub(super) fn next_request(&mut self) -> Option<Action> {
        if !self.is_open() {
            return None;
        }
        self.next_send().or_else(|| self.next_load())
    }

    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < self.breaker.max_in_flight(self.config.max_in_flight)
    }

    fn next_send(&mut self) -> Option<Action> {
        if !self.has_room() {
            return None;
        }
        // By turns, so that many new sessions do not hold up the messages of the others.
        if self.control_row_was_last {
            self.next_messages().or_else(|| self.next_control_row())
        } else {
            self.next_control_row().or_else(|| self.next_messages())
        }
    }

    /// Where there are several requests, messages keep one for themselves: a control row may take long, because
    /// it asks this device's keychain and store.
    fn has_room_for_control_row(&self) -> bool {
        let max_in_flight = self.breaker.max_in_flight(self.config.max_in_flight);
        let control_rows = self.in_flight.values().filter(|batch| batch.control_row().is_some()).count();
        control_rows < max_in_flight.saturating_sub(1).max(1)
    }

    fn next_control_row(&mut self) -> Option<Action> {
        if !self.has_room_for_control_row() {
            return None;
        }
        let part = self.windows.next_control_row()?;
        self.control_row_was_last = true;
        Some(Action::SendControl(self.launch(vec![part], Content::Rows)))
    }

    fn next_messages(&mut self) -> Option<Action> {
        let parts = self.next_parts();
        if parts.is_empty() {
            return None;
        }
        self.control_row_was_last = false;
        let content = if self.lone_failures.need_probe(&parts) { Content::Nothing } else { Content::Rows };
        Some(Action::Send(self.launch(parts, content)))
    }

    /// The messages of the next batch: once there is a whole batch, or the first of them has waited long enough.
    fn next_parts(&mut self) -> Vec<Part> {
        let now = self.now;
        let backlog = self.config.batch_size.saturating_mul(2);
        let ready = self.windows.ready_rows(backlog);
        let waited = self.next_flush().is_some_and(|at| at <= now.monotonic);
        if ready == 0 || !(waited || self.stopping || ready >= self.config.batch_size) {
            return Vec::new();
        }
        let catching_up = ready >= backlog || self.windows.ready_lane_has_more();
        let rows = if self.breaker.has_failed_repeatedly() {
            self.breaker.reduced_limit(self.config.batch_size)
        } else if catching_up {
            self.config.catch_up_batch_size
        } else {
            self.config.batch_size
        };
        let limits = Limits { rows, bytes: self.breaker.reduced_limit(self.config.max_batch_bytes) };
        let flush_interval = self.config.flush_interval;
        let most = self.breaker.max_in_flight(self.config.max_in_flight);
        let requests = most.saturating_sub(self.in_flight.len());
        let parts = self.windows.next_batch(limits, requests, |row| flush_at(now, row, flush_interval));
        if ready < self.config.batch_size {
            self.flush_rate.incomplete_batch_left(now.monotonic);
        }
        parts
    }

    /// When the messages that are ready stop waiting for a fuller batch.
    pub(super) fn next_flush(&self) -> Option<Monotonic> {
        self.windows.flush_at().map(|at| self.flush_rate.leaves_at(at))
    }

    fn launch(&mut self, parts: Vec<Part>, content: Content) -> Batch {
        self.last_batch += 1;
        let batch = Batch {
            id: BatchId(self.last_batch),
            epoch: self.auth.epoch(),
            user: self.user.clone(),
            user_changes: self.user_changes,
            parts,
            is_probe: content == Content::Nothing,
        };
        self.in_flight.insert(batch.id, batch.clone());
        batch
    }

    fn next_load(&mut self) -> Option<Action> {
        let most = self.config.catch_up_batch_size;
        self.actions.extend(self.windows.lanes_to_refill(most, most.saturating_mul(2)));
        if let Some(load) = self.actions.pop_front() {
            return Some(load);
        }
        let room = MAX_LANES.saturating_sub(self.windows.len());
        if !self.dirty || self.loading || room == 0 {
            return None;
        }
        self.loading = true;
        self.windows.begin_load();
        Some(Action::Load {
            max_lanes: room,
            heads_per_lane: most.saturating_mul(2),
            max_heads: most.saturating_mul(4).saturating_mul(self.config.max_in_flight),
        })
    }
}
