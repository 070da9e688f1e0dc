//! When free space of the outbox goes back to the file system: a little at a time, while nothing else happens.

use std::time::Duration;

use levi_outbox::{GivenBack, Progress, Space};
use levi_types::Monotonic;

use super::Engine;

/// Free bytes and log together, beyond which space is given back.
const KEPT: u64 = 8 << 20;

/// The log's size beyond which a reader that holds it is named.
pub(super) const LOG_BYTES: u64 = 16 << 20;

/// How long one step takes: a message that comes in during it waits for its end.
const STEP: Duration = Duration::from_millis(1);

/// The pause after a step. A million rows of 1 KiB take half a minute.
const PAUSE: Duration = Duration::from_millis(2);

/// The pause while a thread of the outbox's own is at work.
const UNDERWAY: Duration = Duration::from_millis(5);

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

    /// The outbox takes `space` now.
    fn looked(&mut self, now: Monotonic, space: Space) {
        if !is_excess(space) {
            self.stop();
        } else if space.log_is_held {
            self.hold(now);
        } else {
            (self.next, self.held_for) = (Some(now.after(PAUSE)), None);
        }
    }

    /// A thread of the outbox's own is at work.
    fn wait(&mut self, now: Monotonic) {
        self.next = Some(now.after(UNDERWAY));
    }

    /// A step gave nothing back, and no reader is the reason. That is tried again until the pause is
    /// at its longest; then only a look begins anew.
    fn got_nowhere(&mut self, now: Monotonic, space: Space) {
        if !is_excess(space) || self.held_for == Some(HELD_AT_MOST) {
            self.stop();
        } else {
            self.hold(now);
        }
    }

    /// The next step is taken after a pause that is longer each time.
    fn hold(&mut self, now: Monotonic) {
        let pause = self.held_for.map_or(HELD, |pause| pause.saturating_mul(2).min(HELD_AT_MOST));
        (self.next, self.held_for) = (Some(now.after(pause)), Some(pause));
    }

    /// Something else happens: the step waits.
    fn postpone(&mut self, now: Monotonic) {
        self.next = self.next.map(|at| at.max(now.after(PAUSE)));
    }

    fn stop(&mut self) {
        (self.next, self.held_for) = (None, None);
    }
}

/// Whether there is enough to give back.
const fn is_excess(space: Space) -> bool {
    space.free_bytes.saturating_add(space.log_bytes) > KEPT
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
            Ok(None) => self.give_back.stop(),
            Ok(Some(GivenBack { space, progress })) => {
                match progress {
                    Progress::Underway => self.give_back.wait(now),
                    Progress::None if !space.log_is_held => self.give_back.got_nowhere(now, space),
                    Progress::Made | Progress::None => self.give_back.looked(now, space),
                }
                self.show(Some(space));
            }
            Err(error) => {
                tracing::warn!("the outbox gives no space back: {error}");
                self.give_back.hold(now);
            }
        }
    }

    fn look(&mut self, now: Monotonic) {
        if let Ok(space) = self.store.space()
            && self.give_back.timeout().is_none()
        {
            self.give_back.looked(now, space.unwrap_or_default());
            self.show(space);
        }
    }

    fn show(&mut self, space: Option<Space>) {
        let is_held = |space: Option<Space>| {
            space.is_some_and(|space| space.log_is_held && space.log_bytes > LOG_BYTES)
        };
        if is_held(space) && !is_held(self.status.space) {
            let process = space.and_then(|space| space.log_reader);
            tracing::warn!(
                ?process,
                "another process reads the outbox and keeps its log from being shortened"
            );
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
        Space {
            file_bytes: free_bytes,
            free_bytes,
            log_bytes,
            quarantined_bytes: 0,
            log_is_held,
            log_reader: None,
        }
    }

    #[test]
    fn there_is_a_timer_only_while_there_is_something_to_give_back() {
        let (mut give_back, now) = (GiveBack::default(), Monotonic::default());
        give_back.looked(now, space(KEPT, 0, false));
        assert_eq!(give_back.timeout(), None);
        give_back.looked(now, space(KEPT, 1, false));
        assert_eq!(give_back.timeout(), Some(now.after(PAUSE)));
        give_back.looked(now, space(0, 0, false));
        assert_eq!(give_back.timeout(), None);
    }

    #[test]
    fn a_log_that_a_reader_holds_is_tried_less_and_less_often() {
        let (mut give_back, now) = (GiveBack::default(), Monotonic::default());
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            give_back.looked(now, space(0, 2 * LOG_BYTES, true));
            assert_eq!(give_back.timeout(), Some(now.after(Duration::from_secs(pause))));
        }
        give_back.looked(now, space(2 * KEPT, 2 * LOG_BYTES, false));
        assert_eq!(give_back.timeout(), Some(now.after(PAUSE)), "the reader is gone");
    }

    #[test]
    fn steps_that_get_nowhere_are_rarer_each_time_and_end() {
        let (mut give_back, now) = (GiveBack::default(), Monotonic::default());
        let full = space(2 * KEPT, 0, false);
        give_back.looked(now, full);
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300] {
            give_back.got_nowhere(now, full);
            assert_eq!(give_back.timeout(), Some(now.after(Duration::from_secs(pause))));
        }
        give_back.got_nowhere(now, full);
        assert_eq!(give_back.timeout(), None);
    }
}
