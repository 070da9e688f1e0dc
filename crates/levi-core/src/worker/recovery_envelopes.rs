//! Has the recovery key's envelopes compared once a day, while messages are sent.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use levi_types::Now;

use super::dispatcher::Dispatcher;
use crate::device_list::{INTERVAL, has_passed};

/// How often they are compared: that reads two rows of each session.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// When they are compared again after the server has refused to show or to take them.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);

/// When the envelopes are compared next: so long after that.
pub(super) struct Comparison(Mutex<(Now, Duration)>);

impl Comparison {
    /// For a process that starts at `now`. One that ends soon, such as a command, does without.
    pub(super) const fn new(now: Now) -> Self {
        Self(Mutex::new((now, INTERVAL)))
    }

    /// Whether it is time. The next time is set as if this one failed.
    fn begins(&self, now: Now) -> bool {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = has_passed(next.1, next.0, now);
        if is_due {
            *next = (now, AFTER_FAILURE);
        }
        is_due
    }

    fn ended_well(&self, now: Now) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (now, EVERY);
    }
}

impl Dispatcher {
    /// After a look at the device list.
    pub(super) async fn compare_recovery_envelopes(&self) {
        let Some((watch, user)) = self.device_list().zip(self.signed_in_user()) else { return };
        let sender = self.control_sender(Some(&user)).filter(|_| watch.is_listed());
        let Some(sender) = sender.filter(|_| watch.envelopes.begins(watch.now())) else { return };
        match sender.mend_recovery_envelopes(&user).await {
            Ok(()) => watch.envelopes.ended_well(watch.now()),
            Err(error) => tracing::debug!("the recovery key's envelopes were not compared: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use levi_types::{Monotonic, Wall};

    use super::*;

    #[test]
    fn they_are_compared_after_a_minute_then_daily_and_sooner_after_a_failure() {
        let at = |minutes: u64| {
            let time = Duration::from_secs(60 * minutes);
            Now { monotonic: Monotonic::default().after(time), wall: Wall::from_millis(0) }
        };
        let comparison = Comparison::new(at(0));
        assert!(!comparison.begins(at(0)));
        assert!(comparison.begins(at(1)));
        assert!(!comparison.begins(at(2)), "one at a time");
        assert!(comparison.begins(at(61)), "the one before failed");
        comparison.ended_well(at(62));
        assert!(!comparison.begins(at(62 + 24 * 60 - 1)));
        assert!(comparison.begins(at(62 + 24 * 60)));
    }
}
