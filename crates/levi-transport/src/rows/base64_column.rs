use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

/// A column of base64 (RFC 4648, standard alphabet, padded). Text that is something else is kept as received. NULL is no
/// bytes.
///
/// ```
/// use levi_transport::rows::Base64Column;
///
/// let columns: Vec<Base64Column> = serde_json::from_str(r#"["c2VhbGVk", null, "sealed?"]"#)?;
/// assert_eq!(columns[0].bytes().as_deref(), Some(&b"sealed"[..]));
/// assert_eq!(columns[1].bytes().as_deref(), Some(&b""[..]));
/// assert_eq!((columns[2].bytes(), &*columns[2].text()), (None, "sealed?"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Base64Column(Received);

#[derive(Clone)]
enum Received {
    /// Decoded while the row was read, so that the text is not kept beside it.
    Bytes(Vec<u8>),
    OtherText(String),
    /// Decoded when it is asked for.
    InBody(Part),
}

/// A part of a response's body, which is kept as long as one of its rows.
#[derive(Clone)]
struct Part {
    body: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Part {
    /// `None`: the text is no part of this body.
    ///
    /// Addresses decide, because two values share no memory, and to compare the text with itself
    /// would read each byte once more.
    fn of(body: &Arc<Vec<u8>>, text: &[u8]) -> Option<Self> {
        let start = text.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
        let range = start..start.checked_add(text.len())?;
        (range.end <= body.len()).then(|| Self { body: Arc::clone(body), range })
    }

    fn text(&self) -> &[u8] {
        self.body.get(self.range.clone()).unwrap_or_default()
    }
}

impl Base64Column {
    /// The bytes; `None` if the column is not base64.
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match &self.0 {
            Received::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Received::OtherText(_) => None,
            Received::InBody(part) => base64_simd::STANDARD.decode_to_vec(part.text()).ok().map(Cow::Owned),
        }
    }

    /// The column's text.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Received::Bytes(bytes) => Cow::Owned(base64_simd::STANDARD.encode_to_string(bytes)),
            Received::OtherText(text) => Cow::Borrowed(text),
            Received::InBody(part) => String::from_utf8_lossy(part.text()),
        }
    }
}

impl PartialEq for Base64Column {
    fn eq(&self, other: &Self) -> bool {
        match (self.bytes(), other.bytes()) {
            (None, None) => self.text() == other.text(),
            (bytes, others) => bytes == others,
        }
    }
}

impl Eq for Base64Column {}

impl From<&[u8]> for Base64Column {
    fn from(text: &[u8]) -> Self {
        Self(match base64_simd::STANDARD.decode_to_vec(text) {
            Ok(bytes) => Received::Bytes(bytes),
            Err(_) => Received::OtherText(String::from_utf8_lossy(text).into_owned()),
        })
    }
}

impl Default for Base64Column {
    fn default() -> Self {
        Self(Received::Bytes(Vec::new()))
    }
}

impl fmt::Debug for Base64Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Received::Bytes(bytes) => write!(f, "Base64Column({} bytes)", bytes.len()),
            Received::OtherText(text) => write!(f, "Base64Column({} bytes of other text)", text.len()),
            Received::InBody(part) => write!(f, "Base64Column({} bytes of text)", part.range.len()),
        }
    }
}

/// A column as a parser finds it.
#[derive(Default)]
pub(super) enum Found<'a> {
    #[default]
    Null,
    Text(&'a [u8]),
    /// It has escapes.
    Unescaped(Base64Column),
}

impl Found<'_> {
    /// The column, which keeps `body` if it lies there.
    pub(super) fn in_body(self, body: &Arc<Vec<u8>>) -> Base64Column {
        match self {
            Self::Null => Base64Column::default(),
            Self::Unescaped(column) => column,
            Self::Text(text) => match Part::of(body, text) {
                Some(part) => Base64Column(Received::InBody(part)),
                None => text.into(),
            },
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Column;

        impl<'de> de::Visitor<'de> for Column {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or null")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, text: &'de [u8]) -> Result<Found<'de>, E> {
                Ok(Found::Text(text))
            }

            fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<Found<'de>, E> {
                Ok(Found::Unescaped(text.into()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Found<'de>, E> {
                self.visit_bytes(text.as_bytes())
            }

            fn visit_unit<E: de::Error>(self) -> Result<Found<'de>, E> {
                Ok(Found::Null)
            }

            fn visit_none<E: de::Error>(self) -> Result<Found<'de>, E> {
                Ok(Found::Null)
            }

            /// As bytes: base64 is checked when it is decoded, so the parser need not check every
            /// byte of the text before.
            fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<Found<'de>, D::Error> {
                some.deserialize_bytes(self)
            }
        }

        deserializer.deserialize_option(Column)
    }
}

impl<'de> Deserialize<'de> for Base64Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Found::deserialize(deserializer)? {
            Found::Null => Self::default(),
            Found::Text(text) => text.into(),
            Found::Unescaped(column) => column,
        })
    }
}
