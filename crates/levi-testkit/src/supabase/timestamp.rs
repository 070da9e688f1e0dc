//! `timestamptz` in the ISO forms that clients send, kept as microseconds since the Unix epoch.

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Reads `YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]][Z|(+|-)HH[[:]MM]]]`; without an offset, UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let day = parse_date(date)?;
    if rest.is_empty() {
        return day.checked_mul(MICROS_PER_DAY);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let split = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(split);
    let offset = parse_zone(zone.trim())?;
    day.checked_mul(MICROS_PER_DAY)?.checked_add(parse_time(time.trim())?)?.checked_sub(offset)
}

fn parse_date(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let in_range = parts.next().is_none() && (1..=12).contains(&month) && (1..=31).contains(&day);
    let days = days_from_civil(year, month, day);
    // A day that the month does not have comes back as one of the next month.
    (in_range && civil_from_days(days) == (year, month, day)).then_some(days)
}

fn parse_time(time: &str) -> Option<i64> {
    let mut parts = time.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let (second, micros) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (number(seconds)?, 0),
            Some((whole, fraction)) => (number(whole)?, fraction_micros(fraction)?),
        },
    };
    let in_range = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    in_range.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

fn fraction_micros(fraction: &str) -> Option<i64> {
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    number(fraction)?;
    number(&digits)
}

fn parse_zone(zone: &str) -> Option<i64> {
    let sign = match zone.bytes().next() {
        None | Some(b'Z' | b'z') => return (zone.len() <= 1).then_some(0),
        Some(b'-') => -1,
        Some(_) => 1,
    };
    let digits = zone.get(1..)?.replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        _ => return None,
    };
    Some(sign * (hours * 60 + minutes) * 60_000_000)
}

fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// As PostgREST writes it: `2026-01-02T03:04:05.678+00:00`.
pub(crate) fn format(micros: i64) -> String {
    let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if fraction == 0 {
        String::new()
    } else {
        format!(".{fraction:06}").trim_end_matches('0').to_owned()
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, *chrono-compatible date algorithms*).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
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
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).map(format).as_deref(), expected, "{text}");
        }
    }
}
