//! When free space of the outbox goes back to the file system: a little at a time, while nothing else happens.

use std::time::Duration;

use levi_outbox::Space;
use levi_types::Monotonic;

use super::Engine;

/// Free bytes and log together, beyond which space is given back.
const KEPT: u64 = 8 << 20;

/// The log's size beyond which a reader that holds it is named.
pub(super) const LOG_BYTES: u64 = 16 << 20;

/// How long one step takes: a message that comes in during it waits for its end.
const STEP: Duration = Duration::from_millis(1);

/// The pause after a step. A million rows of 1 KiB take half a minute.
const PAUSE: Duration = Duration::from_millis(5);

/// The pause after a failure, or while a reader holds the log, at first. It doubles each time.
const HELD: Duration = Duration::from_secs(1);
const HELD_AT_MOST: Duration = Duration::from_secs(300);

/// Turns with commits after which the space is looked at even without a pause in the work.
const TURNS: u32 = 256;

/// When the next step is taken. There is a timer only while there is something to give back.
#[derive(Debug, Default)]
pub(super) struct GiveBack {
    next: Option<Monotonic>,
    held_for: Option<Duration>,
    turns: u32,
}

impl GiveBack {
    pub(super) const fn timeout(&self) -> Option<Monotonic> {
        self.next
    }

    /// Whether a step is due.
    fn is_due(&self, now: Monotonic) -> bool {
        self.next.is_some_and(|at| at <= now)
    }

    /// Another turn with a commit is over; returns whether it is time to look.
    fn count_turn(&mut self) -> bool {
        self.turns = (self.turns + 1) % TURNS;
        self.turns == 0
    }

    /// The outbox takes `space` now; `None` where it could not be told, or a step failed.
    fn looked(&mut self, now: Monotonic, space: Option<Space>) {
        let excess = space.is_none_or(|space| space.free_bytes.saturating_add(space.log_bytes) > KEPT);
        let is_held = space.is_none_or(|space| space.log_is_held && space.free_bytes <= KEPT);
        if !excess {
            (self.next, self.held_for) = (None, None);
        } else if is_held {
            let pause = self.held_for.map_or(HELD, |pause| pause.saturating_mul(2).min(HELD_AT_MOST));
            (self.next, self.held_for) = (Some(now.after(pause)), Some(pause));
        } else {
            (self.next, self.held_for) = (Some(now.after(PAUSE)), None);
        }
    }

    /// Something else happens: the step waits.
    fn postpone(&mut self, now: Monotonic) {
        self.next = self.next.map(|at| at.max(now.after(PAUSE)));
    }

    fn stop(&mut self) {
        self.next = None;
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Whether something happened outside.
    pub(super) had_events: bool,
    /// Whether rows were removed from the outbox.
    pub(super) removed: bool,
}

impl Engine {
    /// Looks at what an outbox takes that was just opened.
    pub(super) fn look_at_opened(&mut self) {
        self.look(Monotonic::default());
    }

    /// Takes a step if one is due, and looks whether there is something to give back: after the last of the rows in
    /// flight was removed, and now and then.
    pub(super) fn keep_space(&mut self, now: Monotonic, turn: Turn) {
        if self.stop_at.is_some() {
            return self.give_back.stop();
        }
        if turn.had_events || turn.removed {
            self.give_back.postpone(now);
        } else if self.give_back.is_due(now) {
            return self.step(now);
        }
        let is_pause = turn.removed && self.batcher.in_flight().next().is_none();
        if is_pause || (self.committed && self.give_back.count_turn()) {
            self.look(now);
        }
    }

    fn step(&mut self, now: Monotonic) {
        match self.store.give_back(STEP) {
            Ok(space) => self.take_space(now, space),
            Err(error) => {
                tracing::warn!("the outbox gives no space back: {error}");
                self.give_back.looked(now, None);
            }
        }
    }

    fn look(&mut self, now: Monotonic) {
        if let Ok(space) = self.store.space()
            && self.give_back.timeout().is_none()
        {
            self.take_space(now, space);
        }
    }

    fn take_space(&mut self, now: Monotonic, space: Option<Space>) {
        self.give_back.looked(now, Some(space.unwrap_or_default()));
        let is_held = |space: Option<Space>| {
            space.is_some_and(|space| space.log_is_held && space.log_bytes > LOG_BYTES)
        };
        if is_held(space) && !is_held(self.status.space) {
            tracing::warn!("another process reads the outbox and keeps its log from being shortened");
        }
        if self.status.space != space {
            self.status.space = space;
            self.changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn space(free_bytes: u64, log_bytes: u64, log_is_held: bool) -> Space {
        Space { file_bytes: free_bytes, free_bytes, log_bytes, log_is_held }
    }

    #[test]
    fn there_is_a_timer_only_while_there_is_something_to_give_back() {
        let (mut give_back, now) = (GiveBack::default(), Monotonic::default());
        give_back.looked(now, Some(space(KEPT, 0, false)));
        assert_eq!(give_back.timeout(), None);
        give_back.looked(now, Some(space(KEPT, 1, false)));
        assert_eq!(give_back.timeout(), Some(now.after(PAUSE)));
        give_back.looked(now, Some(space(0, 0, false)));
        assert_eq!(give_back.timeout(), None);
    }

    #[test]
    fn a_log_that_a_reader_holds_is_tried_less_and_less_often() {
        let (mut give_back, now) = (GiveBack::default(), Monotonic::default());
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            give_back.looked(now, Some(space(0, 2 * LOG_BYTES, true)));
            assert_eq!(give_back.timeout(), Some(now.after(Duration::from_secs(pause))));
        }
        give_back.looked(now, Some(space(2 * KEPT, 2 * LOG_BYTES, true)));
        assert_eq!(give_back.timeout(), Some(now.after(PAUSE)), "free pages need not wait for the reader");
    }
}
