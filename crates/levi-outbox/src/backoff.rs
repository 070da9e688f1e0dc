//! The backoff schedule, a pure function.
//!
//! ```text
//! unjittered(retry) = base * 2^(retry - 1)   while one more doubling stays within max
//!                   = max                    from there on
//! delay(retry, draw) = unjittered(retry) * (1 + jitter * draw)      0 <= draw < 1
//! ```

use std::time::Duration;

/// How long to wait before each retry.
///
/// ```
/// use levi_outbox::backoff::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::default();
/// assert_eq!(backoff.unjittered(1), Duration::from_secs(2));
/// assert_eq!(backoff.unjittered(7), Duration::from_secs(128));
/// assert_eq!(backoff.unjittered(8), Duration::from_secs(300));
/// assert!(backoff.delay(8, 0.999) <= Duration::from_secs(330));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The delay before the first retry. Default: 2 s.
    pub base: Duration,
    /// The longest delay, before jitter. Default: 300 s.
    pub max: Duration,
    /// Jitter adds at most this share of the delay, and never shortens it. Default: 0.1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(2), max: Duration::from_secs(300), jitter: 0.1 }
    }
}

impl Backoff {
    /// The delay before retry number `retry` (the first is 1) with the jitter of `draw`, a random
    /// number from 0 up to but not including 1. A `draw` or `jitter` outside 0 to 1 counts as the
    /// nearest bound.
    pub fn delay(&self, retry: u32, draw: f64) -> Duration {
        let delay = self.unjittered(retry);
        let share = unit(self.jitter) * unit(draw);
        delay.saturating_add(Duration::try_from_secs_f64(delay.as_secs_f64() * share).unwrap_or_default())
    }

    /// The delay before retry number `retry` (the first is 1), without jitter.
    ///
    /// `base` doubles with each retry. Where one more doubling would pass `max`, the delay is
    /// `max`: with the defaults 2, 4, 8, 16, 32, 64, 128 s and from the 8th retry on 300 s.
    pub fn unjittered(&self, retry: u32) -> Duration {
        let doublings = retry.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let delay = self.base.saturating_mul(factor);
        if delay.saturating_mul(2) > self.max { self.max } else { delay }
    }

    /// The longest delay that [`delay`](Self::delay) returns. A due time further ahead was written
    /// before the clock jumped back.
    pub fn longest(&self) -> Duration {
        self.delay(u32::MAX, 1.0)
    }
}

/// NaN counts as 0.
fn unit(share: f64) -> f64 {
    if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_defaults_give_the_documented_schedule() {
        let table = [2, 4, 8, 16, 32, 64, 128, 300, 300, 300];
        for (retry, seconds) in (1..).zip(table) {
            assert_eq!(Backoff::default().delay(retry, 0.0), Duration::from_secs(seconds), "retry {retry}");
        }
        for retry in [31, 32, 33, 34, 64, 65, u32::MAX] {
            assert_eq!(Backoff::default().unjittered(retry), Duration::from_secs(300), "retry {retry}");
        }
    }

    #[test]
    fn a_base_beyond_the_cap_waits_the_cap() {
        let backoff = Backoff { base: Duration::from_secs(10), max: Duration::from_secs(3), jitter: 0.0 };
        assert_eq!(backoff.unjittered(1), Duration::from_secs(3));
    }

    fn duration() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (0..1_000_000_u64).prop_map(Duration::from_millis),
            (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
        ]
    }

    fn backoff() -> impl Strategy<Value = Backoff> {
        (duration(), duration(), 0.0..=1.0).prop_map(|(base, max, jitter)| Backoff { base, max, jitter })
    }

    proptest! {
        #[test]
        fn delays_grow_and_stay_under_the_cap(backoff in backoff(), retry in any::<u32>()) {
            let delay = backoff.unjittered(retry);
            prop_assert!(delay <= backoff.max);
            prop_assert!(delay <= backoff.unjittered(retry.saturating_add(1)));
        }

        #[test]
        fn jitter_only_adds_and_at_most_its_share(backoff in backoff(), retry in any::<u32>(), draw in 0.0..1.0) {
            let plain = backoff.unjittered(retry);
            let delay = backoff.delay(retry, draw);
            prop_assert!(delay >= plain);
            // A double holds 52 bits: beyond 2^52 ns the comparison itself rounds.
            let most = plain.as_secs_f64() * (1.0 + backoff.jitter);
            prop_assert!(delay.as_secs_f64() <= most * (1.0 + f64::EPSILON * 4.0) + 1e-9);
            prop_assert!(delay <= backoff.longest());
        }

        #[test]
        fn an_invalid_draw_counts_as_the_nearest_bound(draw in any::<f64>(), jitter in any::<f64>(), retry in any::<u32>()) {
            let backoff = Backoff { jitter, ..Backoff::default() };
            let delay = backoff.delay(retry, draw);
            prop_assert!(delay >= backoff.unjittered(retry));
            prop_assert!(delay <= backoff.unjittered(retry) * 2);
        }
    }
}
