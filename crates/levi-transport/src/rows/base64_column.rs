use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A column of base64 (RFC 4648, standard alphabet, padded), decoded while its row is read, so that its text is not kept
/// beside it. Text that is something else is kept as received. NULL is no bytes.
///
/// ```
/// use levi_transport::rows::Base64Column;
///
/// let columns: Vec<Base64Column> = serde_json::from_str(r#"["c2VhbGVk", null, "sealed?"]"#)?;
/// assert_eq!(columns[0].bytes(), Some(&b"sealed"[..]));
/// assert_eq!(columns[1].bytes(), Some(&b""[..]));
/// assert_eq!((columns[2].bytes(), &*columns[2].text()), (None, "sealed?"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Base64Column(Received);

#[derive(Clone, PartialEq, Eq)]
enum Received {
    Bytes(Vec<u8>),
    OtherText(String),
}

impl Base64Column {
    /// The bytes; `None` if the column is not base64.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Received::Bytes(bytes) => Some(bytes),
            Received::OtherText(_) => None,
        }
    }

    /// The column's text.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Received::Bytes(bytes) => Cow::Owned(base64_simd::STANDARD.encode_to_string(bytes)),
            Received::OtherText(text) => Cow::Borrowed(text),
        }
    }
}

impl From<&str> for Base64Column {
    fn from(text: &str) -> Self {
        Self(match base64_simd::STANDARD.decode_to_vec(text) {
            Ok(bytes) => Received::Bytes(bytes),
            Err(_) => Received::OtherText(text.to_owned()),
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
        }
    }
}

impl<'de> Deserialize<'de> for Base64Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Column;

        impl<'de> de::Visitor<'de> for Column {
            type Value = Base64Column;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or null")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64Column, E> {
                Ok(text.into())
            }

            fn visit_unit<E: de::Error>(self) -> Result<Base64Column, E> {
                Ok(Base64Column::default())
            }

            fn visit_none<E: de::Error>(self) -> Result<Base64Column, E> {
                Ok(Base64Column::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<Base64Column, D::Error> {
                some.deserialize_str(self)
            }
        }

        deserializer.deserialize_option(Column)
    }
}
