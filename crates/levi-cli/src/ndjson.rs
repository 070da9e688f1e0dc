//! Messages as lines of JSON (NDJSON).
//!
//! A line that is not a message is reported with its number and the reason, never with its content,
//! and reading continues with the next line.

mod given;

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use self::given::Given;

/// The longest line that is accepted, in bytes: 1 MiB of content with every byte escaped
/// (`\u0000`), plus the ids.
pub const MAX_LINE_BYTES: usize = (6 << 20) + 4096;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A message as the input gives it. The caller fills in the ids and the number where the input has
/// none.
#[derive(Debug, PartialEq, Eq)]
pub struct InputMessage {
    /// Not empty, but not checked to be a uuid.
    pub session_id: Option<String>,
    /// Not empty.
    pub message_id: Option<String>,
    /// Zero or more.
    pub sequence_number: Option<i64>,
    /// The text to encrypt; may be empty.
    pub content: String,
}

/// Why a line is not a message. The text names the field and what to do, and quotes nothing of the
/// line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The first byte that is not UTF-8, counted from 1.
    #[error("not UTF-8 (byte {column}); write the file in UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        column: usize,
    },
    /// Where the JSON parser stopped.
    #[error("not JSON (column {column}); write one JSON object per line, control characters as \\u0000")]
    NotJson {
        /// Counted from 1.
        column: usize,
    },
    /// The line holds the beginning of a JSON value only.
    #[error("the line ends inside the JSON; write each message on one line")]
    CutOff,
    /// Another JSON value than an object, or an object that has a field twice.
    #[error("not a JSON object with each field once; write {{\"content\": \"...\"}}")]
    NotAnObject,
    /// `content` is absent or null.
    #[error(
        "content is missing; every message needs one, \"\" for an empty message{}",
        unknown.as_ref().map_or_else(String::new, |field| format!("; a message has no field {field:?}"))
    )]
    NoContent {
        /// A field of the line that no message has, if its name is a word: it may be meant.
        unknown: Option<String>,
    },
    /// A field that must be a string holds another JSON value.
    #[error("{field} is not text; put it in quotes")]
    NotText {
        /// The field's name.
        field: &'static str,
    },
    /// An id is the empty string.
    #[error("{field} is empty; leave it out, or give it a value")]
    Empty {
        /// The field's name.
        field: &'static str,
    },
    /// `sequence_number` is not an integer, or does not fit into an `i64`.
    #[error("sequence_number is not a whole number from 0 to 9223372036854775807")]
    NotANumber,
    /// `sequence_number` is below zero.
    #[error("sequence_number is {0}; it must be zero or more")]
    Negative(i64),
    /// The line is longer than [`MAX_LINE_BYTES`].
    #[error("the line is longer than {MAX_LINE_BYTES} bytes; a message holds at most 1 MiB")]
    TooLong,
}

/// One line of the input that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The line's number in the input, counted from 1; blank lines count.
    pub number: u64,
    /// What the line holds, or why it is not a message.
    pub message: Result<InputMessage, LineError>,
}

/// Reads an input line by line. Memory is bounded by [`MAX_LINE_BYTES`], however long a line is.
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `input`, whose next line is line 1.
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank; `None` at the end of the input.
    ///
    /// # Errors
    /// The input's error. Nothing can be read after it.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        if !self.advance()? {
            return Ok(None);
        }
        let message = if self.is_too_long() { Err(LineError::TooLong) } else { parse(&self.buffer) };
        Ok(Some(Line { number: self.number, message }))
    }

    /// The next line that is not blank as it stands, without its line break, and its number.
    pub(crate) fn next_text(&mut self) -> io::Result<Option<(u64, Result<String, LineError>)>> {
        if !self.advance()? {
            return Ok(None);
        }
        if self.is_too_long() {
            return Ok(Some((self.number, Err(LineError::TooLong))));
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map(str::to_owned);
        let text = text.map_err(|error| LineError::NotUtf8 { column: error.valid_up_to() + 1 });
        Ok(Some((self.number, text)))
    }

    /// How many calls of [`next_line`](Self::next_line) would return a line. Parses none of them.
    ///
    /// # Errors
    /// The input's error.
    pub fn count(mut self) -> io::Result<u64> {
        let mut lines = 0;
        while self.advance()? {
            lines += 1;
        }
        Ok(lines)
    }

    /// Reads the next line that is not blank into the buffer. `false` at the end of the input.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            self.buffer.clear();
            let limit = MAX_LINE_BYTES as u64 + 1;
            if self.input.by_ref().take(limit).read_until(b'\n', &mut self.buffer)? == 0 {
                return Ok(false);
            }
            self.number += 1;
            if self.is_too_long() {
                self.skip_rest()?;
                return Ok(true);
            }
            if !trimmed(&self.buffer).is_empty() {
                return Ok(true);
            }
        }
    }

    fn is_too_long(&self) -> bool {
        self.buffer.len() > MAX_LINE_BYTES && !self.buffer.ends_with(b"\n")
    }

    fn skip_rest(&mut self) -> io::Result<()> {
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

/// The line without the white space around it and without a byte order mark, which some editors
/// write at the start of a file.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii()
}

/// The fields whatever they hold, so that a wrong one is named here. The parser's own error would
/// quote it.
#[derive(Deserialize)]
struct Fields {
    session_id: Option<Given>,
    message_id: Option<Given>,
    sequence_number: Option<Given>,
    content: Option<Given>,
}

/// Parses one line; a line break at its end, white space and a byte order mark are ignored.
///
/// # Errors
/// [`LineError`], which quotes nothing of the line.
pub fn parse(line: &[u8]) -> Result<InputMessage, LineError> {
    let text = std::str::from_utf8(trimmed(line))
        .map_err(|error| LineError::NotUtf8 { column: error.valid_up_to() + 1 })?;
    // serde would fill the fields from an array in order, but only an object is a message.
    if !text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Err(LineError::NotAnObject);
    }
    let fields: Fields = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Eof => LineError::CutOff,
        Category::Data => LineError::NotAnObject,
        _ => LineError::NotJson { column: error.column() },
    })?;
    let content = match fields.content {
        Some(Given::Text(content)) => content,
        Some(_) => return Err(LineError::NotText { field: "content" }),
        None => return Err(LineError::NoContent { unknown: unknown_field(text) }),
    };
    Ok(InputMessage {
        session_id: id("session_id", fields.session_id)?,
        message_id: id("message_id", fields.message_id)?,
        sequence_number: fields.sequence_number.as_ref().map(number).transpose()?,
        content,
    })
}

/// The first field of the object in `text` that no message has, if its name is a word.
fn unknown_field(text: &str) -> Option<String> {
    const KNOWN: [&str; 4] = ["session_id", "message_id", "sequence_number", "content"];
    const LONGEST: usize = 24;
    let fields: HashMap<String, IgnoredAny> = serde_json::from_str(text).ok()?;
    let is_word = |name: &String| {
        name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    fields.into_keys().filter(|name| !KNOWN.contains(&name.as_str()) && is_word(name)).min()
}

fn id(field: &'static str, value: Option<Given>) -> Result<Option<String>, LineError> {
    match value {
        None => Ok(None),
        Some(Given::Text(text)) if text.is_empty() => Err(LineError::Empty { field }),
        Some(Given::Text(text)) => Ok(Some(text)),
        Some(_) => Err(LineError::NotText { field }),
    }
}

const fn number(value: &Given) -> Result<i64, LineError> {
    match value {
        Given::Integer(number) if *number < 0 => Err(LineError::Negative(*number)),
        Given::Integer(number) => Ok(*number),
        Given::Text(_) | Given::Other => Err(LineError::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &str) -> InputMessage {
        InputMessage { session_id: None, message_id: None, sequence_number: None, content: content.into() }
    }

    #[test]
    fn each_bad_line_is_named_and_the_next_one_is_read() {
        let table: Vec<(&[u8], Result<InputMessage, LineError>)> = vec![
            (b"{\"content\":\"a\"}", Ok(message("a"))),
            (b"\xef\xbb\xbf{\"content\":\"\"}\r", Ok(message(""))),
            (b" \xef\xbb\xbf \t{\"content\":\"b\"}", Ok(message("b"))),
            (b"{\"content\":\"\\u0000 \xf0\x9f\x9a\x80\",\"other\":[1]}", Ok(message("\0 \u{1F680}"))),
            (b"{\"content\":\"\xff\"}", Err(LineError::NotUtf8 { column: 13 })),
            (b"{\"content\":\"a\"", Err(LineError::CutOff)),
            (b"{\"content\":\"\\ud800\"}", Err(LineError::NotJson { column: 19 })),
            (b"hello", Err(LineError::NotJson { column: 1 })),
            (b"[\"a\",\"b\",1,\"c\"]", Err(LineError::NotAnObject)),
            (b"{\"content\":\"a\",\"content\":\"b\"}", Err(LineError::NotAnObject)),
            (b"{}", Err(LineError::NoContent { unknown: None })),
            (b"{\"content\":null}", Err(LineError::NoContent { unknown: None })),
            (b"{\"contents\":\"a\"}", Err(LineError::NoContent { unknown: Some("contents".into()) })),
            (b"{\"words of a person\":\"a\"}", Err(LineError::NoContent { unknown: None })),
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
        assert_eq!(Lines::new(&file[..]).count().unwrap(), table.len() as u64);
        let mut lines = Lines::new(&file[..]);
        for (place, (bytes, expected)) in table.into_iter().enumerate() {
            let expected = Line { number: place as u64 * 2 + 1, message: expected };
            assert_eq!(lines.next_line().unwrap(), Some(expected), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(lines.next_line().unwrap().is_none());
    }

    #[test]
    fn a_byte_order_mark_alone_is_a_blank_line() {
        let file = b"\xef\xbb\xbf \r\n\xef\xbb\xbf\n";
        assert_eq!(Lines::new(&file[..]).next_line().unwrap(), None);
        assert_eq!(Lines::new(&file[..]).count().unwrap(), 0);
    }

    #[test]
    fn an_endless_line_is_skipped_in_bounded_memory() {
        let endless = io::repeat(b'x').take(20 << 20);
        let file = endless.chain(&b"\n{\"content\":\"after\"}"[..]);
        let mut lines = Lines::new(io::BufReader::new(file));
        let expected = Line { number: 1, message: Err(LineError::TooLong) };
        assert_eq!(lines.next_line().unwrap(), Some(expected));
        assert!(lines.buffer.capacity() <= 2 * MAX_LINE_BYTES);
        assert_eq!(lines.next_line().unwrap(), Some(Line { number: 2, message: Ok(message("after")) }));
    }
}
