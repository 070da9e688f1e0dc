use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use levi_types::{Clock, Monotonic, Now, Wall};

/// The machine's clocks. The only place where Levi reads them.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A clock before 1970 is wrong anyway; it counts as 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        Now { monotonic: Monotonic::from_start(self.start.elapsed()), wall: Wall::from_millis(millis) }
    }
}
