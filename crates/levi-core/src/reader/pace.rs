//! When a follower asks again. Pure.

use std::time::Duration;

use levi_outbox::backoff::Backoff;

/// The least time between two requests of a follower, whatever wakes it up.
const LEAST: Duration = Duration::from_millis(100);

/// How often a follower asks while nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long it waits after something came. Less than 1 ms counts as 1 ms. Default: 1 s.
    pub first: Duration,
    /// How long it goes on waiting [`first`](Self::first) while nothing comes, because what a person or an agent writes
    /// comes with pauses. Default: 1 min.
    pub active_for: Duration,
    /// How long it waits at most. After `active_for` each wait is twice the one before, up to this. Less than 1
    /// ms counts as 1 ms. Default: 30 s.
    pub longest: Duration,
}

/// The least wait of a [`Pace`], because a follower that does not wait at all keeps a processor busy.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest wait while changes are pushed, because a push may be lost.
const WHILE_PUSHED: Duration = Duration::from_secs(60);

impl Pace {
    /// The pace while a notifier is connected: a poll only has to find what was not pushed.
    pub(super) fn while_pushed(self) -> Self {
        Self { active_for: Duration::ZERO, longest: self.longest.max(WHILE_PUSHED), ..self }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            active_for: Duration::from_secs(60),
            longest: Duration::from_secs(30),
        }
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
    doublings: u32,
    failures: u32,
}

impl Polls {
    /// The wait after a poll. `draw` is a random number from 0 up to but not including 1.
    ///
    /// Failures wait as uploads do, but not longer than a poll at rest, which a server that is well must bear anyway. What
    /// a server asks for is kept, up to the longest delay of an upload: one answer must not stop everything for longer.
    pub(super) fn ended(&mut self, polled: Polled, pace: Pace, backoff: Backoff, draw: f64) -> Wait {
        let longest = pace.longest.max(SHORTEST);
        match polled {
            Polled::Changes => {
                *self = Self::default();
                Wait::default()
            }
            Polled::Nothing => {
                self.failures = 0;
                let most = self.quiet_wait(pace).min(longest);
                Wait { least: LEAST.min(most), most }
            }
            Polled::Failed { retry_after } => {
                self.failures = self.failures.saturating_add(1);
                let most = backoff.delay(self.failures, draw).min(longest);
                // As for uploads, a wait that a server asks for is bounded by the longest delay.
                let least = retry_after.map_or(LEAST.min(most), |asked| asked.min(backoff.longest()));
                Wait { least, most: most.max(least) }
            }
        }
    }

    fn quiet_wait(&mut self, pace: Pace) -> Duration {
        let first = pace.first.max(SHORTEST);
        let since_something_came = first.saturating_mul(self.quiet);
        self.quiet = self.quiet.saturating_add(1);
        if since_something_came < pace.active_for {
            return first;
        }
        let factor = 1_u32.checked_shl(self.doublings).unwrap_or(u32::MAX);
        self.doublings = self.doublings.saturating_add(1);
        first.saturating_mul(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(polls: &[Polled], active_for: Duration) -> Vec<f64> {
        let mut state = Polls::default();
        let pace = Pace { active_for, ..Pace::default() };
        let wait = |polled: &Polled| state.ended(*polled, pace, Backoff::default(), 0.0);
        polls.iter().map(wait).map(|wait| wait.most.as_secs_f64()).collect()
    }

    #[test]
    fn it_waits_one_second_for_a_minute_after_something_came_and_then_ever_longer() {
        use Polled::{Changes, Nothing};
        let minute = Pace::default().active_for;
        let mut polls = [Nothing; 66];
        let expected = [&[1.0; 61][..], &[2.0, 4.0, 8.0, 16.0, 30.0]].concat();
        assert_eq!(waits(&polls, minute), expected);
        polls[64] = Changes;
        assert_eq!(waits(&polls, minute)[63..], [8.0, 0.0, 1.0]);
        assert_eq!(waits(&[Nothing; 200], minute).last(), Some(&30.0));
    }

    #[test]
    fn after_that_the_waits_double_up_to_thirty_seconds() {
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
            assert_eq!(waits(polls, Duration::ZERO), expected, "{polls:?}");
        }
        assert_eq!(waits(&[Nothing; 80], Duration::ZERO).last(), Some(&30.0));
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
    fn a_pace_without_a_wait_does_not_spin() {
        let no_first = Pace { first: Duration::ZERO, ..Pace::default() };
        let no_longest = Pace { longest: Duration::ZERO, ..Pace::default() };
        for pace in [no_first, no_longest] {
            let wait = Polls::default().ended(Polled::Nothing, pace, Backoff::default(), 0.0);
            assert_eq!(wait.least, SHORTEST);
        }
        let failed = Polled::Failed { retry_after: None };
        assert_eq!(Polls::default().ended(failed, no_longest, Backoff::default(), 0.0).least, SHORTEST);
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
