use std::time::Duration;

use httpdate::parse_http_date;

/// The longest wait that is honoured. One needless request an hour is cheap, and a server or proxy
/// that asks for more than an hour is more likely wrong.
const MAX: Duration = Duration::from_secs(3600);

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. At most [`MAX`]; `None` for
/// anything else.
///
/// A date is compared with `date`, the response's own `Date`, which the same clock wrote. Without
/// one the wait is unknown, because this device's clock may differ from the server's by more than
/// the wait itself.
pub(crate) fn parse(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits, so the only way to fail is to be too large.
        return Some(value.parse().map_or(MAX, |seconds| Duration::from_secs(seconds).min(MAX)));
    }
    let until = parse_http_date(value).ok()?;
    let now = parse_http_date(date?).ok()?;
    // An error means that the date has passed: no wait.
    Some(until.duration_since(now).unwrap_or_default().min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("3601", Some(3_600)),
            ("99999999999999999999999999", Some(3_600)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ];
        for (value, seconds) in table {
            assert_eq!(parse(value, date), seconds.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn a_date_without_the_servers_own_clock_says_nothing() {
        for date in [None, Some("yesterday")] {
            assert_eq!(parse("Sun, 06 Nov 1994 08:49:47 GMT", date), None);
            assert_eq!(parse("12", date), Some(Duration::from_secs(12)));
        }
    }
}
