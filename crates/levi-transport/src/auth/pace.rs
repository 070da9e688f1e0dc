//! The waits that the sign-in server asks for (`Retry-After`). Once the token has expired, such a
//! wait stops all sending, so it is never longer than Levi's longest delay. It is stored beside the
//! sign-in, because every process that uses the sign-in, now or after a restart, must observe it.

use std::time::Duration;

use levi_types::{Monotonic, Now, Timeline, Wall};
use serde::{Deserialize, Serialize};

/// When the next request to the sign-in server may be sent. Pure: time is a parameter, and the
/// caller does the storing.
#[derive(Debug)]
pub struct SignInPace {
    longest: Duration,
    timeline: Timeline,
    /// The newest wait that is known, and when it is over.
    current: Option<(StoredWait, Monotonic)>,
}

/// A wait as it is stored, by the wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredWait {
    /// When the server asked for it, in milliseconds since the Unix epoch.
    asked_at: i64,
    /// When it is over, likewise.
    until: i64,
    /// The server's code.
    code: String,
}

/// What is left of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitLeft {
    /// How long.
    pub left: Duration,
    /// The code of the answer that asked for it.
    pub code: String,
    /// The text to store if the clock was set back since the wait was stored: the remaining wait,
    /// counted from now. Otherwise every new process would wait for the whole of it, until the
    /// clock shows that time again.
    pub to_store: Option<String>,
}

impl SignInPace {
    /// No wait is longer than `longest`.
    pub fn new(longest: Duration) -> Self {
        Self { longest, timeline: Timeline::default(), current: None }
    }

    /// What is left of the newest wait; `stored` is the text that is stored now, perhaps by another
    /// process.
    pub fn left(&mut self, read: Now, stored: Option<&str>) -> Option<WaitLeft> {
        let now = self.timeline.advance(read).now;
        if let Some(stored) = stored.and_then(StoredWait::parse)
            && self.current.as_ref().is_none_or(|(current, _)| *current != stored)
        {
            let until = now.monotonic.after(stored.left(now.wall).min(self.longest));
            self.current = Some((stored, until));
        }
        let (wait, until) = self.current.as_ref()?;
        let left = until.since(now.monotonic);
        let restated = || StoredWait::new(now.wall, left, &wait.code).to_text();
        let to_store = wait.is_ahead_of(now.wall).then(restated);
        (!left.is_zero()).then(|| WaitLeft { left, code: wait.code.clone(), to_store })
    }

    /// The server asked for a wait. Returns the text to store.
    pub fn asked(&mut self, read: Now, wait: Duration, code: &str) -> String {
        let now = self.timeline.advance(read).now;
        let wait = wait.min(self.longest);
        let stored = StoredWait::new(now.wall, wait, code);
        let text = stored.to_text();
        self.current = Some((stored, now.monotonic.after(wait)));
        text
    }
}

impl StoredWait {
    fn new(now: Wall, wait: Duration, code: &str) -> Self {
        Self { asked_at: now.as_millis(), until: now.after(wait).as_millis(), code: code.to_owned() }
    }

    /// Whether the clock was set back since.
    fn is_ahead_of(&self, now: Wall) -> bool {
        Wall::from_millis(self.asked_at) > now
    }

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn to_text(&self) -> String {
        // Two numbers and a text always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The remaining time at `now`. If the clock was set back since, that is the whole wait.
    fn left(&self, now: Wall) -> Duration {
        let (asked_at, until) = (Wall::from_millis(self.asked_at), Wall::from_millis(self.until));
        until.since(now).min(until.since(asked_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(330);

    fn at(monotonic: u64, wall: u64) -> Now {
        Now {
            monotonic: Monotonic::from_start(Duration::from_secs(monotonic)),
            wall: Wall::from_millis(1_800_000_000_000).after(Duration::from_secs(wall)),
        }
    }

    fn left(pace: &mut SignInPace, now: Now, stored: Option<&str>) -> u64 {
        pace.left(now, stored).map_or(0, |wait| wait.left.as_secs())
    }

    #[test]
    fn a_wait_is_over_when_either_clock_says_so_and_survives_a_restart() {
        let mut pace = SignInPace::new(LONGEST);
        assert_eq!(left(&mut pace, at(0, 0), None), 0);
        let text = pace.asked(at(10, 10), Duration::from_secs(60), "429");
        assert_eq!(left(&mut pace, at(30, 30), Some(&text)), 40);
        // A new process: its monotonic clock starts anew.
        assert_eq!(left(&mut SignInPace::new(LONGEST), at(0, 30), Some(&text)), 40);
        assert_eq!(left(&mut SignInPace::new(LONGEST), at(0, 71), Some(&text)), 0);
        // The machine slept; its clock was set back.
        assert_eq!(left(&mut pace, at(31, 71), Some(&text)), 0);
        let mut pace = SignInPace::new(LONGEST);
        let text = pace.asked(at(10, 100_010), Duration::from_secs(60), "429");
        assert_eq!(left(&mut pace, at(69, 5), Some(&text)), 1);
        assert_eq!(left(&mut pace, at(70, 6), Some(&text)), 0);
    }

    #[test]
    fn a_wait_that_a_clock_ahead_stored_is_waited_for_once_more_and_not_in_every_process() {
        let ahead = SignInPace::new(LONGEST).asked(at(10, 100_010), Duration::from_secs(60), "429");
        let first = SignInPace::new(LONGEST).left(at(0, 5), Some(&ahead)).unwrap();
        assert_eq!(first.left.as_secs(), 60, "never more than all of it");
        let stored = first.to_store.unwrap();
        let second = SignInPace::new(LONGEST).left(at(0, 35), Some(&stored)).unwrap();
        assert_eq!((second.left.as_secs(), second.to_store), (30, None));
        assert_eq!(left(&mut SignInPace::new(LONGEST), at(0, 65), Some(&stored)), 0);
    }

    #[test]
    fn a_wait_of_a_clock_ahead_that_cannot_be_stored_again_ends_in_this_process() {
        let ahead = SignInPace::new(LONGEST).asked(at(10, 100_010), Duration::from_secs(60), "429");
        let mut pace = SignInPace::new(LONGEST);
        assert_eq!(left(&mut pace, at(0, 5), Some(&ahead)), 60);
        assert_eq!(left(&mut pace, at(59, 64), Some(&ahead)), 1);
        assert_eq!(left(&mut pace, at(60, 65), Some(&ahead)), 0);
    }

    #[test]
    fn no_wait_is_longer_than_the_longest_and_nonsense_is_none() {
        let mut pace = SignInPace::new(LONGEST);
        let text = pace.asked(at(0, 0), Duration::from_secs(3_600), "429");
        assert_eq!(left(&mut pace, at(1, 1), Some(&text)), 329);
        let forged = r#"{"asked_at":-9223372036854775808,"until":9223372036854775807,"code":"x"}"#;
        assert_eq!(left(&mut SignInPace::new(LONGEST), at(0, 0), Some(forged)), 330);
        for text in ["", "{}", "7", r#"{"asked_at":1.5,"until":2,"code":"x"}"#] {
            assert_eq!(left(&mut SignInPace::new(LONGEST), at(0, 0), Some(text)), 0, "{text}");
        }
    }

    #[test]
    fn the_wait_that_another_process_stored_last_counts() {
        let (mut one, mut other) = (SignInPace::new(LONGEST), SignInPace::new(LONGEST));
        let first = one.asked(at(0, 0), Duration::from_secs(10), "429");
        let second = other.asked(at(5, 5), Duration::from_secs(30), "429");
        assert_eq!(left(&mut one, at(6, 6), Some(&first)), 4);
        assert_eq!(left(&mut one, at(6, 6), Some(&second)), 29);
    }
}
