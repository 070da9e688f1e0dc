use levi_types::Wall;

const MILLIS_PER_DAY: i64 = 86_400_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z: the range of RFC 3339.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 253_402_300_799_999;

/// `at` as RFC 3339 in UTC with milliseconds, such as `2026-02-03T04:05:06.789Z`, which PostgreSQL
/// reads as `timestamptz`. Times outside the years 1 to 9999 are clamped to them.
pub fn rfc3339(at: Wall) -> String {
    let millis = at.as_millis().clamp(FIRST, LAST);
    let (year, month, day) = civil(millis.div_euclid(MILLIS_PER_DAY));
    let in_day = millis.rem_euclid(MILLIS_PER_DAY);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month and day of the proleptic Gregorian calendar, from days since 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year and month lengths
/// repeat every five months (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`).
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_770_091_506_789, "2026-02-03T04:05:06.789Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0001-01-01T00:00:00.000Z"),
        ];
        for (millis, expected) in table {
            assert_eq!(rfc3339(Wall::from_millis(millis)), expected);
        }
    }

    #[test]
    fn every_second_day_for_a_thousand_years_agrees_with_http_dates() {
        // httpdate knows the years 1970 to 9999 and is independent of this code.
        for day in (0..365_000_u64).step_by(2) {
            let ours = rfc3339(Wall::from_millis(i64::try_from(day).unwrap() * MILLIS_PER_DAY));
            let theirs =
                httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(day * 86_400));
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = months.iter().position(|name| *name == &theirs[8..11]).unwrap() + 1;
            assert_eq!(&ours[..10], format!("{}-{month:02}-{}", &theirs[12..16], &theirs[5..7]));
        }
    }
}
