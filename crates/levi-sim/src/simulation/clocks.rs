//! Clocks that jump, and a machine that sleeps.

use std::time::Duration;

use levi_core::batcher::PauseReason;

use super::{Occurrence, Simulation};
use crate::model::Session;

/// With a timer set, Levi looks at its clocks at least this often.
const LOOKS_EVERY: u64 = 30_000;

/// If the clocks differ by at least this much, one of them jumped.
const JUMP: i64 = 5_000;

/// Levi's clocks at its last turn.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// Who was signed in.
    user: usize,
    monotonic: i64,
    wall: i64,
}

impl Simulation {
    pub(super) fn sleep(&mut self, seconds: u64) {
        let slept = Duration::from_secs(seconds);
        self.server.sleep(slept);
        if slept > Duration::from_secs(3_600) {
            self.token_expires();
        }
        self.jump_wall(i64::try_from(slept.as_millis()).unwrap_or(i64::MAX));
    }

    pub(super) fn jump_wall(&mut self, millis: i64) {
        self.jumped = true;
        self.wall_offset = self.wall_offset.saturating_add(millis);
        self.model(|model| {
            model.void_delays();
            model.delays_void = true;
        });
        self.publish_time();
        let look = self.random.below(LOOKS_EVERY);
        self.schedule(Duration::from_millis(look), Occurrence::Looks);
    }

    /// Time as far as either clock says so.
    pub(super) fn elapsed(&self) -> Duration {
        self.now + self.lead
    }

    /// Before a turn: did the clocks jump since the last one?
    pub(super) fn read_clocks(&mut self) {
        let monotonic = i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        let reading = Reading { user: self.user, monotonic, wall: self.clocks().wall.as_millis() };
        let last = self.reading.replace(reading).unwrap_or(reading);
        let drift = (reading.wall - last.wall) - (reading.monotonic - last.monotonic);
        self.awake = drift.abs() >= JUMP;
        if drift >= JUMP {
            self.lead += Duration::from_millis(drift.unsigned_abs());
        }
        if self.awake {
            self.end_waits();
        }
    }

    /// After a turn that only found that the clocks had jumped: no wait goes on but those that the
    /// server asked for.
    pub(super) fn check_awake(&mut self) {
        let was_asked = self.silence > self.elapsed();
        let waits = match self.paused {
            Some(PauseReason::SignInUnavailable | PauseReason::TokenNotAccepted) => true,
            Some(PauseReason::RetryAfter { .. } | PauseReason::Project { .. }) => !was_asked,
            _ => false,
        };
        self.expect(!waits, "awake", || format!("the machine is awake again, and Levi is {:?}", self.paused));
        if self.disk_fault.is_some() || self.stop_at.is_some() {
            return;
        }
        let wall = self.clocks().wall;
        // Somebody else may have signed in since the turn began, whose rows were held in it.
        let user = self.reading.map_or(self.user, |reading| reading.user);
        let waiting = self.model(|model| {
            let sessions =
                model.sessions.iter().enumerate().filter(|(number, _)| self.user_of(*number) == user);
            // A session without a key is tried again, and waits again.
            let waits = |session: &Session| session.key_here && session.due_at.is_some_and(|at| at > wall);
            let waiting = sessions.filter(|(_, session)| !session.pending.is_empty() && waits(session));
            waiting.map(|(number, _)| number).collect::<Vec<_>>()
        });
        self.expect(waiting.is_empty(), "awake", || {
            format!("the machine is awake again, and the sessions {waiting:?} wait")
        });
    }
}
