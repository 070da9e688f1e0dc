//! Two clocks with types of their own, and the port that reads them.

use std::time::Duration;

/// Time since an arbitrary start. Only moves forward. Used for flush deadlines and timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The instant `elapsed` after the clock's start.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Time since the clock's start.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// This instant plus `delay`, saturating.
    #[must_use]
    pub const fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds since the Unix epoch. Used for times on disk. May jump in either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Wall(i64);

impl Wall {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time plus `delay`, saturating. Fractions of a millisecond round up, so that nothing is
    /// early.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        let millis = i64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timers.
    pub monotonic: Monotonic,
    /// For times on disk.
    pub wall: Wall,
}

impl Now {
    /// The time from `earlier` to `self` by the clock that shows more of it: the monotonic one may stand still while the
    /// machine sleeps, and the wall clock may be set.
    pub fn since(self, earlier: Self) -> Duration {
        let by_wall = self.wall.since(earlier.wall).max(earlier.wall.since(self.wall));
        self.monotonic.since(earlier.monotonic).max(by_wall)
    }
}

/// Reads both clocks. Pure code does not use it and takes a [`Now`] as a parameter.
pub trait Clock: Send + Sync {
    /// Both clocks' present time.
    fn now(&self) -> Now;
}
