//! Messages as lines of JSON. A line that cannot be taken is named with the reason, never with its content, and the
//! next one is read all the same.

use std::io::{self, BufRead, Read as _};

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

/// The longest line, in bytes: a content of 1 MiB with every byte escaped (`\u0000`), and room for the ids.
pub(crate) const MAX_LINE_BYTES: usize = (6 << 20) + 4096;

/// One message as it was written down; what is absent is filled in by whoever reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) session_id: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) sequence_number: Option<i64>,
    pub(crate) content: String,
}

/// Why a line is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LineError {
    #[error("not UTF-8 (byte {column}); write the file in UTF-8")]
    NotUtf8 { column: usize },
    #[error("not JSON (column {column}); write one JSON object per line, control characters as \\u0000")]
    NotJson { column: usize },
    #[error("the line ends inside the JSON; write each message on one line")]
    CutOff,
    #[error("not a JSON object with each field once; write {{\"content\": \"...\"}}")]
    NotAnObject,
    #[error("content is missing; every message needs one, \"\" for an empty message")]
    NoContent,
    #[error("{field} is not text; put it in quotes")]
    NotText { field: &'static str },
    #[error("{field} is empty; leave it out, or give it a value")]
    Empty { field: &'static str },
    #[error("sequence_number is not a whole number from 0 to 9223372036854775807")]
    NotANumber,
    #[error("sequence_number is {0}; it must be zero or more")]
    Negative(i64),
    #[error("the line is longer than {MAX_LINE_BYTES} bytes; a message holds at most 1 MiB")]
    TooLong,
}

/// Reads lines one at a time, in a bounded buffer.
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, with its number, counted from 1. `None` at the end.
    ///
    /// # Errors
    /// What the system said; nothing can be read after that.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<(u64, Result<Line, LineError>)>> {
        loop {
            self.buffer.clear();
            let limit = MAX_LINE_BYTES as u64 + 1;
            if self.input.by_ref().take(limit).read_until(b'\n', &mut self.buffer)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let ended = self.buffer.last() == Some(&b'\n');
            if !ended && self.buffer.len() > MAX_LINE_BYTES {
                self.skip_rest()?;
                return Ok(Some((self.number, Err(LineError::TooLong))));
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some((self.number, parse(self.buffer.trim_ascii()))));
            }
        }
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        self.buffer = Vec::new();
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                return Ok(());
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

/// The fields as they stand, so that a wrong one can be named without the parser quoting it.
#[derive(Deserialize)]
struct Fields {
    session_id: Option<Value>,
    message_id: Option<Value>,
    sequence_number: Option<Value>,
    content: Option<Value>,
}

fn parse(line: &[u8]) -> Result<Line, LineError> {
    // A byte order mark, as some editors put before the first line.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let text =
        std::str::from_utf8(line).map_err(|error| LineError::NotUtf8 { column: error.valid_up_to() + 1 })?;
    // An array would fill the fields in order; only an object is a message.
    if !text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return Err(LineError::NotAnObject);
    }
    let fields: Fields = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Eof => LineError::CutOff,
        Category::Data => LineError::NotAnObject,
        _ => LineError::NotJson { column: error.column() },
    })?;
    let content = match fields.content {
        Some(Value::String(content)) => content,
        Some(_) => return Err(LineError::NotText { field: "content" }),
        None => return Err(LineError::NoContent),
    };
    Ok(Line {
        session_id: id("session_id", fields.session_id)?,
        message_id: id("message_id", fields.message_id)?,
        sequence_number: fields.sequence_number.as_ref().map(number).transpose()?,
        content,
    })
}

fn id(field: &'static str, value: Option<Value>) -> Result<Option<String>, LineError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(LineError::Empty { field }),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(LineError::NotText { field }),
    }
}

fn number(value: &Value) -> Result<i64, LineError> {
    let number = value.as_i64().ok_or(LineError::NotANumber)?;
    if number < 0 { Err(LineError::Negative(number)) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(content: &str) -> Line {
        Line { session_id: None, message_id: None, sequence_number: None, content: content.into() }
    }

    #[test]
    fn each_bad_line_is_named_and_the_next_one_is_read() {
        let table: Vec<(&[u8], Result<Line, LineError>)> = vec![
            (b"{\"content\":\"a\"}", Ok(line("a"))),
            (b"\xef\xbb\xbf{\"content\":\"\"}\r", Ok(line(""))),
            (b"{\"content\":\"\\u0000 \xf0\x9f\x9a\x80\",\"other\":[1]}", Ok(line("\0 \u{1F680}"))),
            (b"{\"content\":\"\xff\"}", Err(LineError::NotUtf8 { column: 13 })),
            (b"{\"content\":\"a\"", Err(LineError::CutOff)),
            (b"{\"content\":\"\\ud800\"}", Err(LineError::NotJson { column: 19 })),
            (b"hello", Err(LineError::NotJson { column: 1 })),
            (b"[\"a\",\"b\",1,\"c\"]", Err(LineError::NotAnObject)),
            (b"{\"content\":\"a\",\"content\":\"b\"}", Err(LineError::NotAnObject)),
            (b"{}", Err(LineError::NoContent)),
            (b"{\"content\":null}", Err(LineError::NoContent)),
            (b"{\"content\":7}", Err(LineError::NotText { field: "content" })),
            (b"{\"content\":\"\",\"session_id\":\"\"}", Err(LineError::Empty { field: "session_id" })),
            (b"{\"content\":\"\",\"message_id\":3}", Err(LineError::NotText { field: "message_id" })),
            (b"{\"content\":\"\",\"sequence_number\":-4}", Err(LineError::Negative(-4))),
            (b"{\"content\":\"\",\"sequence_number\":1.5}", Err(LineError::NotANumber)),
            (b"{\"content\":\"\",\"sequence_number\":9223372036854775808}", Err(LineError::NotANumber)),
        ];
        let mut file = Vec::new();
        for (bytes, _) in &table {
            file.extend_from_slice(bytes);
            file.extend_from_slice(b"\n \n");
        }
        let mut lines = Lines::new(&file[..]);
        for (place, (bytes, expected)) in table.into_iter().enumerate() {
            let (number, parsed) = lines.next_line().unwrap().unwrap();
            assert_eq!(
                (number, parsed),
                (place as u64 * 2 + 1, expected),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
        assert!(lines.next_line().unwrap().is_none());
    }

    #[test]
    fn an_endless_line_is_passed_over_in_bounded_memory() {
        let endless = io::repeat(b'x').take(20 << 20);
        let file = endless.chain(&b"\n{\"content\":\"after\"}"[..]);
        let mut lines = Lines::new(io::BufReader::new(file));
        assert_eq!(lines.next_line().unwrap(), Some((1, Err(LineError::TooLong))));
        assert!(lines.buffer.capacity() <= 2 * MAX_LINE_BYTES);
        assert_eq!(lines.next_line().unwrap(), Some((2, Ok(line("after")))));
    }
}
