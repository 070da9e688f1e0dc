use std::time::{Duration, UNIX_EPOCH};

use levi_types::Wall;

/// The longest wait that is believed: one needless request an hour is cheap, a server or proxy that asks for
/// years is wrong.
const MAX: Duration = Duration::from_secs(3600);

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, of which a past one means now. `None` for
/// anything else. Never more than an hour.
pub(super) fn parse(value: &str, now: Wall) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits, so the only way to fail is to be too large.
        return Some(value.parse().map_or(MAX, |seconds| Duration::from_secs(seconds).min(MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let date = Wall::from_millis(i64::try_from(date.as_millis()).ok()?);
    Some(date.since(now).min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense() {
        let now = Wall::from_millis(784_111_777_500); // Sun, 06 Nov 1994 08:49:37.5 GMT
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120_000)),
            ("3601", Some(3_600_000)),
            ("99999999999999999999999999", Some(3_600_000)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(9_500)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(9_500)),
            ("Sun Nov  6 08:49:47 1994", Some(9_500)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600_000)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ];
        for (value, millis) in table {
            assert_eq!(parse(value, now), millis.map(Duration::from_millis), "{value:?}");
        }
    }
}
