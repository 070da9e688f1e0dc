//! Clocks: one that a test advances, and the machine's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use levi_types::{Clock, Monotonic, Now, Wall};

/// A monotonic and a wall clock that only the test moves.
#[derive(Debug)]
pub struct VirtualClock(Mutex<Now>);

impl VirtualClock {
    /// Starts the monotonic clock at zero and the wall clock at `wall`.
    pub const fn starting_at(wall: Wall) -> Self {
        Self(Mutex::new(Now { monotonic: Monotonic::from_start(Duration::ZERO), wall }))
    }

    fn inner(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Advances both clocks by `time`.
    pub fn advance(&self, time: Duration) {
        let mut now = self.inner();
        *now = Now { monotonic: now.monotonic.after(time), wall: now.wall.after(time) };
    }

    /// Advances both clocks until the monotonic one shows `until`. Does nothing if it is past that.
    pub fn advance_to(&self, until: Monotonic) {
        let time = until.since(self.inner().monotonic);
        self.advance(time);
    }

    /// Sets the wall clock, as a user or a time server does. The monotonic clock is not affected.
    pub fn set_wall(&self, wall: Wall) {
        self.inner().wall = wall;
    }

    /// Moves the wall clock by `millis` milliseconds, which may be negative. Saturates.
    pub fn jump_wall(&self, millis: i64) {
        let mut now = self.inner();
        now.wall = Wall::from_millis(now.wall.as_millis().saturating_add(millis));
    }

    /// Advances the wall clock only, as when a laptop sleeps and its monotonic clock stops.
    pub fn sleep_through(&self, time: Duration) {
        let mut now = self.inner();
        now.wall = now.wall.after(time);
    }
}

impl Default for VirtualClock {
    /// At 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::starting_at(Wall::from_millis(1_767_225_600_000))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        *self.inner()
    }
}

/// The machine's clocks. The monotonic one starts at the creation of this value.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Starts the monotonic clock.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Wall::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
        Now { monotonic: Monotonic::from_start(self.0.elapsed()), wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_jump_leaves_the_monotonic_clock_alone() {
        let clock = VirtualClock::default();
        let start = clock.now();
        clock.advance(Duration::from_secs(5));
        clock.jump_wall(-86_400_000);
        let now = clock.now();
        assert_eq!(now.monotonic, start.monotonic.after(Duration::from_secs(5)));
        assert_eq!(now.wall.as_millis(), start.wall.as_millis() + 5_000 - 86_400_000);
        clock.advance_to(start.monotonic);
        assert_eq!(clock.now(), now, "time does not run backwards");
        clock.sleep_through(Duration::from_secs(1));
        assert_eq!(clock.now().monotonic, now.monotonic);
    }
}
