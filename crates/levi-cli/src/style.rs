//! Colours. They are written as escape sequences into text for people, and the console's streams
//! take them out again where they do not belong: in pipes and files, with `NO_COLOR`, on a dumb
//! terminal.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use levi::devices::is_unprintable;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The numbers in the escape sequences of this program: colours, and a QR code's black on white.
const OWN: [&str; 8] = ["0", "1", "2", "30", "31", "32", "33", "107"];

/// Lines for a terminal without any escape sequence that this program does not write itself, and
/// without other characters that move the cursor. An error may repeat what a server has said.
pub(crate) fn safe(lines: &str) -> String {
    let mut safe = String::with_capacity(lines.len());
    let mut rest = lines;
    while let Some(character) = rest.chars().next() {
        let own = own_sequence(rest);
        let (taken, behind) = rest.split_at(own.unwrap_or(character.len_utf8()));
        let is_shown = own.is_some() || matches!(character, '\n' | '\t') || !is_unprintable(character);
        safe.push_str(if is_shown { taken } else { "\u{fffd}" });
        rest = behind;
    }
    safe
}

/// The length of the sequence at the beginning of `text`, if this program may have written it.
fn own_sequence(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?.split_once('m')?.0;
    numbers.split(';').all(|number| OWN.contains(&number)).then_some("\x1b[".len() + numbers.len() + 1)
}

/// `text` in `style`.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_moves_no_cursor_and_own_colours_stay() {
        for own in [paint(BAD, "a"), paint(FAINT, "b"), "\x1b[30;107m█\x1b[0m\n\tc".to_owned()] {
            assert_eq!(safe(&own), own);
        }
        for (foreign, shown) in [
            ("\x1b[2J\x1b]0;title\x07", "\u{fffd}[2J\u{fffd}]0;title\u{fffd}"),
            ("\x1b[31;8mhidden", "\u{fffd}[31;8mhidden"),
            ("a\r\u{9b}b\u{202e}c", "a\u{fffd}\u{fffd}b\u{fffd}c"),
            ("\x1b", "\u{fffd}"),
        ] {
            assert_eq!(safe(foreign), shown);
        }
    }
}
