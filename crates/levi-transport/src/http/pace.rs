//! How long a request may take: as long as it makes progress.

use std::io;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::Timeout;
use ureq::typestate::HttpCrateScope;

use super::options::Timeouts;

/// Bytes in a second below which a transfer counts as stopped, so that a server that trickles
/// cannot hold a request for ever.
pub(super) const SLOWEST: u32 = 2 << 10;

/// Bytes that may be under way when the last write has ended: this device's send buffer, and the
/// buffers of the peer and of proxies.
const UNDER_WAY: u64 = 512 << 10;

/// The rate at which they are expected to arrive, in bytes a second.
const UNDER_WAY_RATE: u32 = 16 << 10;

/// The greatest number of body bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// The most bytes for which a server's word is enough to reserve them at once. A body that grows
/// beyond is moved meanwhile.
const MOST_RESERVED: u64 = 4 << 20;

/// In effect no limit. ureq adds limits to the present time, and the sum must not overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The time limits of one request with a body of `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    stall: Duration,
    send_body: Duration,
    response: Duration,
}

impl Pace {
    pub(super) fn new(timeouts: Timeouts, bytes: usize) -> Self {
        let bytes = bytes as u64;
        Self {
            stall: timeouts.stall.min(LONGEST),
            send_body: timeouts.stall.saturating_add(at(SLOWEST, bytes)).min(LONGEST),
            response: timeouts.response.saturating_add(at(UNDER_WAY_RATE, bytes.min(UNDER_WAY))).min(LONGEST),
        }
    }

    /// Sets the limits that ureq keeps.
    pub(super) fn apply<S: ureq::AsSendBody>(
        self,
        config: ureq::config::ConfigBuilder<HttpCrateScope<S>>,
    ) -> ureq::http::Request<S> {
        config
            .timeout_per_write(Some(self.stall))
            .timeout_per_read(Some(self.stall.max(self.response)))
            .timeout_send_request(Some(self.stall))
            .timeout_send_body(Some(self.send_body))
            .timeout_recv_response(Some(self.response))
            .build()
    }

    /// Reads to the end, as long as the body keeps coming. `length` is what the server says of it.
    pub(super) fn read_to_end(
        self,
        mut body: impl io::Read,
        length: Option<u64>,
        into: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let announced = length.unwrap_or_default().min(MOST_RESERVED);
        into.reserve(usize::try_from(announced).unwrap_or_default() + CHUNK);
        loop {
            let before = into.len();
            into.resize(before + CHUNK, 0);
            let read = body.read(&mut into[before..]);
            into.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(()),
                Ok(_) if self.is_too_slow(start.elapsed(), into.len() as u64) => {
                    return Err(Error::Timeout(Timeout::RecvBody));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_too_slow(self, elapsed: Duration, bytes: u64) -> bool {
        elapsed > self.stall.saturating_add(at(SLOWEST, bytes))
    }
}

/// How long `bytes` take at `rate` bytes a second.
fn at(rate: u32, bytes: u64) -> Duration {
    Duration::from_secs(bytes) / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_slow_line_has_time_and_a_line_that_trickles_has_an_end() {
        let pace = Pace::new(Timeouts::default(), MIB as usize);
        let over_30_kb = at(30_000, MIB);
        assert!(pace.send_body > 10 * over_30_kb);
        assert!(pace.response > at(30_000, UNDER_WAY) + Timeouts::default().response);
        assert!(!pace.is_too_slow(over_30_kb, MIB));
        assert!(pace.is_too_slow(over_30_kb, 1024));
        assert!(!pace.is_too_slow(Duration::from_secs(10), 0));
        let small = Pace::new(Timeouts::default(), 300);
        assert!(small.response < Timeouts::default().response + Duration::from_secs(1));
    }

    #[test]
    fn no_setting_is_too_large() {
        let most = Timeouts { connect: Duration::MAX, response: Duration::MAX, stall: Duration::MAX };
        let pace = Pace::new(most, usize::MAX);
        assert!(!pace.is_too_slow(Duration::from_secs(3600), u64::MAX));
        assert_eq!((pace.response, pace.send_body, pace.stall), (LONGEST, LONGEST, LONGEST));
    }
}
