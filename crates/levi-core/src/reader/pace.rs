//! When a follower asks again. Pure.

use std::time::Duration;

use levi_outbox::backoff::Backoff;

/// The least time between two requests of a follower, whatever wakes it up.
const LEAST: Duration = Duration::from_millis(100);

/// How often a follower asks while nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long it waits after something came. Default: 1 s.
    pub first: Duration,
    /// How long it waits at most. Each time that nothing came the wait doubles up to this. Default: 30 s.
    pub longest: Duration,
}

/// The longest wait while changes are pushed, because a push may be lost.
const WHILE_PUSHED: Duration = Duration::from_secs(60);

impl Pace {
    /// The pace while a notifier is connected: a poll at rest only has to find what was not pushed.
    pub(super) fn while_pushed(self) -> Self {
        Self { longest: self.longest.max(WHILE_PUSHED), ..self }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polled {
    /// There were changes, and there may be more.
    Changes,
    /// There was nothing new.
    Nothing,
    /// It failed. The server or the sign-in server asked for this wait.
    Failed { retry_after: Option<Duration> },
}

/// How long to wait before the next poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wait {
    /// Not less than this, even if something may have changed.
    pub(super) least: Duration,
    /// Not longer than this.
    pub(super) most: Duration,
}

/// How the last polls ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Polls {
    quiet: u32,
    failures: u32,
}

impl Polls {
    /// The wait after a poll. `draw` is a random number from 0 up to but not including 1.
    ///
    /// Failures wait as uploads do, but not longer than a poll at rest, which a server that is well must bear anyway. What
    /// a server asks for is kept, up to the longest delay of an upload: one answer must not stop everything for longer.
    pub(super) fn ended(&mut self, polled: Polled, pace: Pace, backoff: Backoff, draw: f64) -> Wait {
        match polled {
            Polled::Changes => {
                *self = Self::default();
                Wait::default()
            }
            Polled::Nothing => {
                self.failures = 0;
                let factor = 1_u32.checked_shl(self.quiet).unwrap_or(u32::MAX);
                self.quiet = self.quiet.saturating_add(1);
                let most = pace.first.saturating_mul(factor).min(pace.longest);
                Wait { least: LEAST.min(most), most }
            }
            Polled::Failed { retry_after } => {
                self.failures = self.failures.saturating_add(1);
                let most = backoff.delay(self.failures, draw).min(pace.longest);
                // As for uploads, a wait that a server asks for is bounded by the longest delay.
                let least = retry_after.map_or(LEAST.min(most), |asked| asked.min(backoff.longest()));
                Wait { least, most: most.max(least) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(polls: &[Polled]) -> Vec<f64> {
        let mut state = Polls::default();
        let wait = |polled: &Polled| state.ended(*polled, Pace::default(), Backoff::default(), 0.0);
        polls.iter().map(wait).map(|wait| wait.most.as_secs_f64()).collect()
    }

    #[test]
    fn it_waits_one_second_after_something_came_and_up_to_thirty_while_nothing_does() {
        use Polled::{Changes, Nothing};
        let failed = Polled::Failed { retry_after: None };
        let asked = Polled::Failed { retry_after: Some(Duration::from_secs(90)) };
        let an_hour = Polled::Failed { retry_after: Some(Duration::from_secs(3_600)) };
        let longest = Backoff::default().longest().as_secs_f64();
        let table: [(&[Polled], &[f64]); 6] = [
            (&[an_hour, Nothing], &[longest, 1.0]),
            (&[Nothing; 7], &[1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
            (&[Nothing, Nothing, Changes, Changes, Nothing, Nothing], &[1.0, 2.0, 0.0, 0.0, 1.0, 2.0]),
            (&[failed; 6], &[2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
            (&[Nothing, Nothing, failed, Nothing, failed], &[1.0, 2.0, 2.0, 4.0, 2.0]),
            (&[asked, failed, Nothing], &[90.0, 4.0, 1.0]),
        ];
        for (polls, expected) in table {
            assert_eq!(waits(polls), expected, "{polls:?}");
        }
        assert_eq!(waits(&[Nothing; 80]).last(), Some(&30.0));
    }

    #[test]
    fn while_changes_are_pushed_a_poll_every_minute_remains() {
        let pace = Pace::default().while_pushed();
        let mut state = Polls::default();
        let waits =
            (0..8).map(|_| state.ended(Polled::Nothing, pace, Backoff::default(), 0.0).most.as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
        let slow = Pace { longest: Duration::from_secs(600), ..pace };
        assert_eq!(slow.while_pushed(), slow, "what the daemon asked for");
    }

    #[test]
    fn nothing_cuts_a_wait_short_that_a_server_asked_for() {
        let (pace, backoff) = (Pace::default(), Backoff::default());
        let least = |polled| Polls::default().ended(polled, pace, backoff, 0.0).least;
        let asked = Duration::from_secs(3);
        assert_eq!(least(Polled::Failed { retry_after: Some(asked) }), asked);
        let hour = Duration::from_secs(3600);
        assert_eq!(least(Polled::Failed { retry_after: Some(hour) }), Duration::from_secs(330));
        assert_eq!(least(Polled::Failed { retry_after: None }), LEAST);
        assert_eq!(least(Polled::Nothing), LEAST, "a notifier that always wakes does not spin");
    }
}
