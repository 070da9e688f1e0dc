//! The PostgreSQL types of the tables: parses their text, stores them, and writes JSON.

use std::borrow::Cow;
use std::fmt;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::timestamp;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Uuid,
    Text,
    BigInt,
    Integer,
    Bool,
    Timestamp,
}

impl Kind {
    /// The type's name as PostgreSQL prints it in errors.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::BigInt => "bigint",
            Self::Integer => "integer",
            Self::Bool => "boolean",
            Self::Timestamp => "timestamp with time zone",
        }
    }

    /// The type of the SQLite column.
    pub(crate) const fn stored_as(self) -> &'static str {
        match self {
            Self::Uuid => "BLOB",
            Self::Text => "TEXT",
            Self::BigInt | Self::Integer | Self::Bool | Self::Timestamp => "INTEGER",
        }
    }

    /// Parses the text of a value like the type's input function in PostgreSQL.
    pub(crate) fn parse(self, text: Cow<'_, str>) -> Result<Cell<'_>, BadInput> {
        match self {
            Self::Text => Ok(Cell::Text(text)),
            Self::Uuid => Uuid::parse(&text).map(Cell::Uuid).ok_or(BadInput::Syntax),
            Self::BigInt => parse_bigint(&text).map(Cell::Int),
            Self::Integer => parse_integer(&text).map(Cell::Int),
            Self::Bool => parse_bool(&text).map(Cell::Bool).ok_or(BadInput::Syntax),
            Self::Timestamp => timestamp::parse(&text).map(Cell::Time).ok_or(BadInput::Date),
        }
    }
}

/// Why a text is not a value of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadInput {
    /// 22P02
    Syntax,
    /// 22003
    Range,
    /// 22007
    Date,
}

fn parse_bigint(text: &str) -> Result<i64, BadInput> {
    let digits = text.trim();
    digits.parse().map_err(|_| {
        let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        let is_integer = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
        if is_integer { BadInput::Range } else { BadInput::Syntax }
    })
}

fn parse_integer(text: &str) -> Result<i64, BadInput> {
    parse_bigint(text).and_then(|n| i32::try_from(n).map(i64::from).map_err(|_| BadInput::Range))
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// One value of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Text(Cow<'a, str>),
    Uuid(Uuid),
    /// Microseconds since the Unix epoch.
    Time(i64),
}

impl Cell<'_> {
    /// Converts a value from a SQLite column of `kind`.
    pub(crate) fn from_stored(kind: Kind, stored: ValueRef<'_>) -> Cell<'_> {
        match (kind, stored) {
            (Kind::Uuid, ValueRef::Blob(bytes)) => {
                bytes.try_into().map_or(Cell::Null, |b| Cell::Uuid(Uuid(b)))
            }
            (Kind::Bool, ValueRef::Integer(n)) => Cell::Bool(n != 0),
            (Kind::Timestamp, ValueRef::Integer(n)) => Cell::Time(n),
            (_, ValueRef::Integer(n)) => Cell::Int(n),
            (_, ValueRef::Text(bytes)) => Cell::Text(String::from_utf8_lossy(bytes)),
            _ => Cell::Null,
        }
    }

    pub(crate) fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Bool(b) => Cell::Bool(b),
            Cell::Int(n) => Cell::Int(n),
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Cell::Uuid(uuid) => Cell::Uuid(uuid),
            Cell::Time(micros) => Cell::Time(micros),
        }
    }

    pub(crate) const fn uuid(&self) -> Option<Uuid> {
        if let Cell::Uuid(uuid) = self { Some(*uuid) } else { None }
    }

    /// Appends the value in PostgREST's form.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Null => out.extend_from_slice(b"null"),
            Cell::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
            Cell::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Cell::Text(text) => write_json_text(text, out),
            Cell::Uuid(_) | Cell::Time(_) => {
                out.push(b'"');
                out.extend_from_slice(self.to_string().as_bytes());
                out.push(b'"');
            }
        }
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn write_json_text(text: &str, out: &mut Vec<u8>) {
    // Writing a string into a Vec has no way to fail.
    let _ = serde_json::to_writer(out, text);
}

/// As PostgreSQL prints the value, for `details` of its errors.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("null"),
            Cell::Bool(b) => f.write_str(if *b { "t" } else { "f" }),
            Cell::Int(n) => n.fmt(f),
            Cell::Text(text) => f.write_str(text),
            Cell::Uuid(uuid) => uuid.fmt(f),
            Cell::Time(micros) => f.write_str(&timestamp::format(*micros)),
        }
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Null => ValueRef::Null,
            Cell::Bool(b) => ValueRef::Integer(i64::from(*b)),
            Cell::Int(n) | Cell::Time(n) => ValueRef::Integer(*n),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
            Cell::Uuid(uuid) => ValueRef::Blob(&uuid.0),
        }))
    }
}

/// A uuid as bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

impl Uuid {
    /// Accepts what PostgreSQL accepts: any case, optional braces, hyphens after any group of four
    /// digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let inner = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}')?,
            None => text,
        };
        let mut bytes = [0_u8; 16];
        let mut digits = 0;
        let mut hyphen_before = false;
        for c in inner.bytes() {
            if c == b'-' {
                if hyphen_before || digits == 0 || digits % 4 != 0 || digits == 32 {
                    return None;
                }
                hyphen_before = true;
                continue;
            }
            hyphen_before = false;
            let nibble = u8::try_from(char::from(c).to_digit(16)?).ok()?;
            let slot = bytes.get_mut(digits / 2)?;
            *slot = (*slot << 4) | nibble;
            digits += 1;
        }
        (digits == 32).then_some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_as_postgresql_reads_them() {
        let canonical = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        for form in [
            canonical,
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
        ] {
            assert_eq!(Uuid::parse(form).map(|u| u.to_string()).as_deref(), Some(canonical), "{form}");
        }
        for bad in [
            "",
            "-",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
            "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
            " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn bigints_keep_every_digit_and_tell_range_from_syntax() {
        assert_eq!(parse_bigint("9007199254740993"), Ok(9_007_199_254_740_993));
        assert_eq!(parse_bigint("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_bigint("9223372036854775808"), Err(BadInput::Range));
        for bad in ["", "1.5", "1e3", "x", "-"] {
            assert_eq!(parse_bigint(bad), Err(BadInput::Syntax), "{bad}");
        }
        assert_eq!(parse_integer("2147483647"), Ok(2_147_483_647));
        assert_eq!(parse_integer("2147483648"), Err(BadInput::Range));
    }
}
