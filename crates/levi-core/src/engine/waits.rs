//! Why what is on disk waits, for the status. Looking is cheap but not free, so it is done when something may differ.

use levi_outbox::{Change, WaitingLane};
use levi_types::{Now, Wall};

use super::Engine;
use crate::batcher::Input;
use crate::waiting::{Conditions, LANES_LOOKED_AT, count_waiting};

/// The lanes as they were last read.
#[derive(Debug, Default)]
pub(super) struct Waits {
    lanes: Vec<WaitingLane>,
    /// Whether lanes may wait for other things by now.
    pub(super) changed: bool,
    /// How many lanes there were.
    counted: u64,
    /// When the last turn began.
    pub(super) now: Wall,
}

impl Waits {
    /// Whether `changes` may make lanes wait, or end their wait.
    pub(super) fn note(&mut self, changes: &[Change], has_control_rows: bool) {
        let only_sends =
            |change: &Change| matches!(change, Change::Acknowledge { .. } | Change::Reseal { .. });
        let nothing_waits = self.lanes.iter().all(|lane| lane.reason.is_none() && lane.blocked_by.is_none());
        self.changed |= has_control_rows || !(nothing_waits && changes.iter().all(only_sends));
    }
}

impl Engine {
    /// Takes over the wait that the server asked an earlier process for, and the rows that it saw fail alone.
    pub(super) fn read_waits(&mut self, now: Now) {
        let read = || {
            let lanes = self.store.lone_failures()?;
            let parked_on_probes = self.store.parked_on_probes()?;
            Ok((self.store.paused_until()?, Input::FailedAlone { lanes, parked_on_probes }))
        };
        match read() {
            Ok((until, failures)) => {
                self.knows_waits = true;
                if let Some(until) = until.filter(|until| *until > now.wall) {
                    self.batcher.handle(now, Input::Paused { until });
                }
                self.batcher.handle(now, failures);
            }
            Err(error) => self.outbox_unreadable(now, error),
        }
    }

    /// Counts the lanes that wait. What cannot be read stays as it was.
    pub(super) fn count_waiting(&mut self) {
        let paused = self.batcher.paused();
        let lanes = self.status.totals.lanes;
        let more_wait = paused.is_some() && lanes != self.waiting.counted;
        if (self.waiting.changed || more_wait)
            && let Ok(found) = self.store.waiting(LANES_LOOKED_AT)
        {
            self.waiting = Waits { lanes: found, changed: false, counted: lanes, now: self.waiting.now };
        }
        let conditions = Conditions {
            now: self.waiting.now,
            paused: paused.as_ref(),
            session_sync: self.batcher.can_send_control_rows(),
            user: self.batcher.user(),
        };
        self.status.waiting = count_waiting(&self.waiting.lanes, conditions);
    }
}
