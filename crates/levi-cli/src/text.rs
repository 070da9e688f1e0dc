//! Numbers, and texts of others, formatted for people.

use jiff::Timestamp;
use levi::devices::is_unprintable;

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 message`, `2 messages`, `3 batches`, `4 entries`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    if let Some(stem) = noun.strip_suffix("ry").filter(|_| number != 1) {
        return format!("{} {stem}ries", count(number));
    }
    let ending = match noun {
        _ if number == 1 => "",
        noun if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", count(number))
}

/// `812 B`, `1.4 MB`.
pub(crate) fn bytes(number: u64) -> String {
    let (unit, scale) = match number {
        0..1_000 => return format!("{number} B"),
        1_000..1_000_000 => ("kB", 1e3),
        1_000_000..1_000_000_000 => ("MB", 1e6),
        _ => ("GB", 1e9),
    };
    format!("{:.1} {unit}", number as f64 / scale)
}

/// `0.34 s`, `12.1 s`, `3 min 5 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{seconds:.2} s")
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
    }
}

/// `2026-11-27 11:50 UTC`, from milliseconds since 1970.
pub(crate) fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(
        |_| "at no known time".to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// A text of another device or of the server as one word of a line: it may not move the cursor of
/// this terminal, nor pass for another text.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if is_unprintable(character) { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [plural(1, "batch"), plural(2, "batch"), plural(0, "line")],
            ["1 batch", "2 batches", "0 lines"]
        );
        assert_eq!([812, 1_400_000, 2_000_000_000].map(bytes), ["812 B", "1.4 MB", "2.0 GB"]);
        assert_eq!([plural(1, "entry"), plural(2, "entry")], ["1 entry", "2 entries"]);
        assert_eq!(time(1_795_780_200_000), "2026-11-27 11:50 UTC");
        assert_eq!(time(i64::MAX), "at no known time");
        assert_eq!([0.344, 12.06, 185.0].map(seconds), ["0.34 s", "12.1 s", "3 min 5 s"]);
    }
}
