//! `timestamptz` in the ISO forms that clients send, kept as microseconds since the Unix epoch.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::Offset;

static PARSER: DateTimeParser = DateTimeParser::new();

/// Reads a date with an optional time and an optional offset, which is UTC by default.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let pieces = PARSER.parse_pieces(text.trim()).ok()?;
    if pieces.time_zone_annotation().is_some() {
        // RFC 9557 appends `[Europe/Paris]`, which PostgreSQL does not read.
        return None;
    }
    let time = pieces.time().unwrap_or_default();
    let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
    let timestamp = offset.to_timestamp(pieces.date().to_datetime(time)).ok()?;
    Some(timestamp.as_microsecond())
}

/// As PostgREST writes it: `2026-01-02T03:04:05.678+00:00`.
pub(crate) fn format(micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(timestamp) => timestamp.display_with_offset(Offset::UTC).to_string(),
        Err(_) if micros < 0 => "-infinity".to_owned(),
        Err(_) => "infinity".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_forms_come_back_in_postgrests_form() {
        let table = [
            ("2026-11-22T17:08:31Z", Some("2026-11-22T17:08:31+00:00")),
            ("2026-11-22 17:08:31.250+01:00", Some("2026-11-22T16:08:31.25+00:00")),
            ("2024-02-29", Some("2024-02-29T00:00:00+00:00")),
            ("1969-12-31T23:59:59.999999-0000", Some("1969-12-31T23:59:59.999999+00:00")),
            ("2000-03-01T00:00:00.123456789Z", Some("2000-03-01T00:00:00.123456+00:00")),
            ("2023-02-29", None),
            ("2026-13-01", None),
            ("yesterday", None),
            ("", None),
            ("2026-11-22T25:00:00Z", None),
            ("2026-11-22T17:08:31+01", Some("2026-11-22T16:08:31+00:00")),
            ("2026-11-22T17:08", Some("2026-11-22T17:08:00+00:00")),
            ("2026-11-22T17:08:31+\u{20ac}1", None),
            ("2026-11-22T17:08:31Z[UTC]", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).map(format).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_time_that_no_calendar_holds_is_written_as_postgresql_writes_infinity() {
        assert_eq!((format(i64::MAX), format(i64::MIN)), ("infinity".to_owned(), "-infinity".to_owned()));
    }
}
