//! The text of a cursor: `levi-changes-2:` and base64url of its fields, integers as LEB128. A text of version 1 is read, too:
//! its spans have no sums.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use levi_types::{SessionId, UserId, is_canonical_uuid};

use super::cursor::{ChangeCursor, Delivered, Span};

const PREFIX: &str = "levi-changes-2:";
const VERSION_1: &str = "levi-changes-1:";

/// The bits of a span.
const HAS_SUM: u8 = 1;
const IS_MERGED: u8 = 2;

/// The text is not that of a [`ChangeCursor`]: it was cut, altered, or written by a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the text of a cursor of this version; read from the beginning to get a new one")]
pub struct BadCursor;

impl fmt::Display for ChangeCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(32 + 24 * self.sessions.len());
        write_uuid(&mut out, self.user.as_str());
        write_option(&mut out, self.position);
        out.push(u8::from(self.has_forgotten));
        write_unsigned(&mut out, self.sessions.len() as u64);
        for (session, known) in &self.sessions {
            write_uuid(&mut out, session.as_str());
            write_option(&mut out, known.highest);
            write_signed(&mut out, known.last);
            write_option(&mut out, known.tried_to);
            write_unsigned(&mut out, known.unreadable.len() as u64);
            for span in &known.unreadable {
                write_span(&mut out, span);
            }
        }
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(out))
    }
}

impl FromStr for ChangeCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let text = text.trim();
        let (encoded, version) = match (text.strip_prefix(PREFIX), text.strip_prefix(VERSION_1)) {
            (Some(encoded), _) => (encoded, Version::Two),
            (None, Some(encoded)) => (encoded, Version::One),
            (None, None) => return Err(BadCursor),
        };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadCursor)?;
        let mut bytes = Bytes(&bytes);
        let user = UserId::from(bytes.uuid()?);
        let position = bytes.option()?;
        let has_forgotten = bytes.byte()? == 1;
        let mut sessions = BTreeMap::new();
        for _ in 0..bytes.unsigned()? {
            let session = SessionId::from(bytes.uuid()?);
            sessions.insert(session, bytes.delivered(version)?);
        }
        if bytes.0.is_empty() { Ok(Self { user, position, sessions, has_forgotten }) } else { Err(BadCursor) }
    }
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

fn write_span(out: &mut Vec<u8>, span: &Span) {
    write_signed(out, span.first);
    write_signed(out, span.last);
    let has_sum = if span.sum.is_some() { HAS_SUM } else { 0 };
    out.push(has_sum | if span.is_merged { IS_MERGED } else { 0 });
    if let Some(sum) = span.sum {
        write_signed(out, sum);
    }
}

/// The 16 bytes of a canonical uuid. Nothing else gets into a cursor; it would be all zeros.
fn write_uuid(out: &mut Vec<u8>, uuid: &str) {
    let digits = uuid.bytes().filter(|byte| *byte != b'-');
    let nibbles = digits.map(|byte| char::from(byte).to_digit(16).unwrap_or_default());
    let number = nibbles.fold(0_u128, |number, nibble| number.wrapping_shl(4) | u128::from(nibble));
    let number = if is_canonical_uuid(uuid) { number } else { 0 };
    out.extend_from_slice(&number.to_be_bytes());
}

fn write_unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// Zigzag, so that small numbers of either sign are short.
fn write_signed(out: &mut Vec<u8>, number: i64) {
    write_unsigned(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn write_option(out: &mut Vec<u8>, number: Option<i64>) {
    out.push(u8::from(number.is_some()));
    if let Some(number) = number {
        write_signed(out, number);
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Result<u8, BadCursor> {
        let (first, rest) = self.0.split_first().ok_or(BadCursor)?;
        self.0 = rest;
        Ok(*first)
    }

    fn unsigned(&mut self) -> Result<u64, BadCursor> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(BadCursor);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BadCursor)
    }

    fn signed(&mut self) -> Result<i64, BadCursor> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn option(&mut self) -> Result<Option<i64>, BadCursor> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(self.signed()?)),
            _ => Err(BadCursor),
        }
    }

    fn uuid(&mut self) -> Result<String, BadCursor> {
        let (bytes, rest) = self.0.split_at_checked(16).ok_or(BadCursor)?;
        self.0 = rest;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
        Ok(parts.map(|part| hex.get(part).unwrap_or_default().to_owned()).join("-"))
    }

    fn span(&mut self, version: Version) -> Result<Span, BadCursor> {
        let (first, last) = (self.signed()?, self.signed()?);
        let bits = match version {
            Version::One => 0,
            Version::Two => self.byte()?,
        };
        if bits > (HAS_SUM | IS_MERGED) {
            return Err(BadCursor);
        }
        let sum = if bits & HAS_SUM == 0 { None } else { Some(self.signed()?) };
        Ok(Span { first, last, sum, is_merged: bits & IS_MERGED != 0 })
    }

    fn delivered(&mut self, version: Version) -> Result<Delivered, BadCursor> {
        let (highest, last, tried_to) = (self.option()?, self.signed()?, self.option()?);
        let mut unreadable = Vec::new();
        for _ in 0..self.unsigned()? {
            let span = self.span(version)?;
            let follows = unreadable.last().is_none_or(|before: &Span| before.last < span.first);
            if !follows || span.last < span.first {
                return Err(BadCursor);
            }
            unreadable.push(span);
        }
        Ok(Delivered { highest, last, unreadable, tried_to })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    proptest! {
        #[test]
        fn a_stored_cursor_is_the_cursor(
            changes in prop::collection::vec((0_u8..4, any::<i64>(), any::<bool>()), 0..60),
            first in any::<i64>(),
        ) {
            let mut cursor = ChangeCursor::beginning(USER.into());
            for (at, (session, number, is_readable)) in changes.into_iter().enumerate() {
                let session = SessionId::from(format!("{session:08x}-0000-4000-8000-00000000000a"));
                let change_id = first.saturating_add(i64::try_from(at).unwrap());
                match is_readable {
                    true => cursor.readable(&session, change_id, number),
                    false => cursor.unreadable(&session, change_id, number),
                };
                cursor.position = Some(change_id);
            }
            prop_assume!(first < i64::MAX - 100);
            let text = cursor.to_string();
            prop_assert_eq!(text.parse::<ChangeCursor>(), Ok(cursor));
            let cut = &text[..text.len() - 1];
            prop_assert!(cut.parse::<ChangeCursor>() != text.parse());
        }

        #[test]
        fn no_text_panics(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = text.parse::<ChangeCursor>();
            let _ = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)).parse::<ChangeCursor>();
        }
    }

    #[test]
    fn its_text_stays_what_it_is() {
        let mut cursor = ChangeCursor::beginning(USER.into());
        cursor.readable(&"00000001-0000-4000-8000-00000000000a".into(), 300, 7);
        cursor.unreadable(&"00000001-0000-4000-8000-00000000000a".into(), 301, 8);
        cursor.position = Some(301);
        let text = cursor.to_string();
        assert_eq!(
            text,
            "levi-changes-2:oO68mZwLTvi7bWu5vTgKEQHaBAABAAAAAQAAQACAAAAAAAAACgEO2gQAAdoE2gQB2gQ"
        );
        assert_eq!(
            format!("{text}\n").parse(),
            Ok(cursor.clone()),
            "an editor or `echo` added the line break"
        );
        let before = "levi-changes-1:oO68mZwLTvi7bWu5vTgKEQHaBAABAAAAAQAAQACAAAAAAAAACgEO2gQAAdoE2gQ";
        for known in cursor.sessions.values_mut() {
            known.unreadable.iter_mut().for_each(|span| span.sum = None);
        }
        assert_eq!(before.parse(), Ok(cursor), "what is stored already");
    }
}
