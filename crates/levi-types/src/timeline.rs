use std::time::Duration;

use crate::{Monotonic, Now};

/// Clocks that differ by more than this between two readings did not drift: one of them jumped.
const JUMP: Duration = Duration::from_secs(5);

/// One timeline from two clocks, so that a wait is over when either clock says so.
///
/// The monotonic clock of many systems stops while the machine sleeps, and the wall clock jumps
/// when somebody sets it. On this line the monotonic time also advances by what the wall clock
/// jumped ahead.
///
/// ```
/// use std::time::Duration;
/// use levi_types::{Monotonic, Now, Timeline, Wall};
///
/// let mut timeline = Timeline::default();
/// let start = Now { monotonic: Monotonic::from_start(Duration::ZERO), wall: Wall::from_millis(0) };
/// let before = timeline.advance(start).now;
/// // Two hours of sleep, of which the monotonic clock saw a second.
/// let awake = Now { monotonic: start.monotonic.after(Duration::from_secs(1)), wall: Wall::from_millis(7_200_000) };
/// let tick = timeline.advance(awake);
/// assert!(tick.jumped);
/// assert_eq!(tick.now.monotonic.since(before.monotonic), Duration::from_secs(7_200));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    last: Option<Now>,
    /// How far this line is ahead of the monotonic clock.
    lead: Duration,
}

/// A reading of both clocks on a [`Timeline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The present: the monotonic time is this line's, the wall time is as read.
    pub now: Now,
    /// The wall clock jumped against the monotonic one since the last reading, in either direction:
    /// the machine slept, or somebody set its clock.
    pub jumped: bool,
}

impl Timeline {
    /// Takes a reading of both clocks.
    pub fn advance(&mut self, read: Now) -> Tick {
        let (ahead, behind) = self.last.map_or_else(Default::default, |last| drift(last, read));
        self.last = Some(read);
        if ahead >= JUMP {
            self.lead = self.lead.saturating_add(ahead);
        }
        let now = Now { monotonic: read.monotonic.after(self.lead), wall: read.wall };
        Tick { now, jumped: ahead >= JUMP || behind >= JUMP }
    }

    /// What the monotonic clock shows at the time `at` of this line, unless the wall clock jumps
    /// until then.
    pub const fn on_monotonic_clock(&self, at: Monotonic) -> Monotonic {
        Monotonic::from_start(at.since_start().saturating_sub(self.lead))
    }
}

/// How much further the wall clock advanced than the monotonic one, and the reverse. One of them is
/// zero.
fn drift(last: Now, read: Now) -> (Duration, Duration) {
    let steady = read.monotonic.since(last.monotonic);
    let (forward, backward) = (read.wall.since(last.wall), last.wall.since(read.wall));
    (forward.saturating_sub(steady), steady.saturating_add(backward).saturating_sub(forward))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wall;

    fn read(monotonic: u64, wall: i64) -> Now {
        let monotonic = Monotonic::from_start(Duration::from_secs(monotonic));
        Now { monotonic, wall: Wall::from_millis(wall * 1000) }
    }

    #[test]
    fn only_a_jump_ahead_moves_the_line() {
        let table = [
            // Seconds by the monotonic and by the wall clock, on the line, and whether one jumped.
            ((0, 0), 0, false),
            ((10, 10), 10, false),
            ((20, 24), 20, false),
            ((30, 94), 90, true),
            ((40, 4), 100, true),
            ((41, 5), 101, false),
            ((3_641, 6), 3_701, true),
            ((3_642, -100_000), 3_702, true),
        ];
        let mut timeline = Timeline::default();
        for ((monotonic, wall), elapsed, jumped) in table {
            let tick = timeline.advance(read(monotonic, wall));
            assert_eq!(tick.now.monotonic.since_start().as_secs(), elapsed, "{monotonic}");
            assert_eq!(tick.jumped, jumped, "{monotonic}");
            let back = timeline.on_monotonic_clock(tick.now.monotonic);
            assert_eq!(back.since_start().as_secs(), monotonic);
        }
    }
}
