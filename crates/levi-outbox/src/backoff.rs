//! The backoff schedule: pure, to the second the table of the seed.

use std::time::Duration;

/// Delay before retry number `retry` (the first is 1), without jitter.
///
/// `base` doubles with each retry. Where one more doubling would pass `max`, the delay is `max`: with the
/// defaults 2, 4, 8, 16, 32, 64, 128 s and from the 8th retry on 300 s.
pub fn delay(retry: u32, base: Duration, max: Duration) -> Duration {
    let doublings = retry.saturating_sub(1);
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let delay = base.saturating_mul(factor);
    if delay.saturating_mul(2) > max { max } else { delay }
}
