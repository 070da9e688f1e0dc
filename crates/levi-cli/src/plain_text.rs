//! Plain text as messages, for `levi sync --text`.

use std::io::{self, BufRead, Read as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::ndjson::{InputMessage, Line, LineError, Lines, MAX_LINE_BYTES};

/// What of a plain text is one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Text {
    /// Each line that is not blank.
    Lines,
    /// The whole input, with all its line breaks.
    Whole,
}

/// A message that says who wrote it, as the text of a message.
#[derive(Serialize)]
struct Spoken<'a> {
    role: &'a str,
    content: &'a str,
}

/// How the lines of an input become messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineFormat {
    Ndjson,
    Text { of: Text, role: Option<String> },
}

/// Reads an input message by message.
pub(crate) enum Messages<R> {
    Ndjson(Lines<R>),
    Lines {
        lines: Lines<R>,
        role: Option<String>,
    },
    /// `None` once it was read.
    Whole {
        input: Option<R>,
        role: Option<String>,
    },
}

impl<R: BufRead> Messages<R> {
    pub(crate) fn new(input: R, format: LineFormat) -> Self {
        match format {
            LineFormat::Ndjson => Self::Ndjson(Lines::new(input)),
            LineFormat::Text { of: Text::Lines, role } => Self::Lines { lines: Lines::new(input), role },
            LineFormat::Text { of: Text::Whole, role } => Self::Whole { input: Some(input), role },
        }
    }

    /// The next message, or why there is none on its line; `None` at the end of the input.
    pub(crate) fn next_message(&mut self) -> io::Result<Option<Line>> {
        match self {
            Self::Ndjson(lines) => lines.next_line(),
            Self::Lines { lines, role } => {
                let line = lines.next_text()?;
                Ok(line.map(|(number, text)| Line { number, message: text.map(|text| message(text, role)) }))
            }
            Self::Whole { input, role } => {
                let Some(input) = input.take() else { return Ok(None) };
                let mut bytes = Vec::new();
                input.take(MAX_LINE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
                if bytes.is_empty() {
                    return Ok(None);
                }
                Ok(Some(Line { number: 1, message: whole(bytes).map(|text| message(text, role)) }))
            }
        }
    }
}

fn whole(bytes: Vec<u8>) -> Result<String, LineError> {
    if bytes.len() > MAX_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    String::from_utf8(bytes)
        .map_err(|error| LineError::NotUtf8 { column: error.utf8_error().valid_up_to() + 1 })
}

fn message(text: String, role: &Option<String>) -> InputMessage {
    let content = match role {
        // Two texts always make JSON.
        Some(role) => serde_json::to_string(&Spoken { role, content: &text }).unwrap_or(text),
        None => text,
    };
    InputMessage { session_id: None, message_id: None, sequence_number: None, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], of: Text, role: Option<&str>) -> Vec<(u64, Result<String, LineError>)> {
        let format = LineFormat::Text { of, role: role.map(str::to_owned) };
        let mut messages = Messages::new(input, format);
        std::iter::from_fn(|| messages.next_message().unwrap())
            .map(|line| (line.number, line.message.map(|message| message.content)))
            .collect()
    }

    #[test]
    fn a_line_is_a_message_as_it_stands_and_keeps_its_number() {
        let input = b"  {\"content\": 1} \r\n\n \xf0\x9f\x9a\x80\nb\xff\nend";
        let expected = [
            (1, Ok("  {\"content\": 1} ".to_owned())),
            (3, Ok(" \u{1F680}".to_owned())),
            (4, Err(LineError::NotUtf8 { column: 2 })),
            (5, Ok("end".to_owned())),
        ];
        assert_eq!(read(input, Text::Lines, None), expected);
    }

    #[test]
    fn the_whole_input_is_one_message_byte_for_byte_unless_it_is_too_long() {
        assert_eq!(read(b"a\r\n\nb\n", Text::Whole, None), [(1, Ok("a\r\n\nb\n".to_owned()))]);
        assert_eq!(read(b"", Text::Whole, None), []);
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(read(&long, Text::Whole, None), [(1, Err(LineError::TooLong))]);
        assert!(read(&long[1..], Text::Whole, None)[0].1.is_ok());
    }

    #[test]
    fn a_role_makes_the_text_a_json_object() {
        let expected = [(1, Ok("{\"role\":\"user\",\"content\":\"say \\\"hi\\\"\"}".to_owned()))];
        assert_eq!(read(b"say \"hi\"\n", Text::Lines, Some("user")), expected);
    }
}
