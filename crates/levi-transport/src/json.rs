//! Reads a few text fields of a JSON object without building the rest, so that a large or hostile
//! answer takes no more memory than the fields that are asked for.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field of an object.
#[derive(Debug, Default)]
pub(crate) struct Field<'a> {
    pub(crate) is_there: bool,
    /// If it is text; the last one, if the field is there more than once.
    pub(crate) text: Option<Cow<'a, str>>,
}

/// The fields with these names. `Ok(None)`: JSON other than an object. `Err`: not JSON.
pub(crate) fn fields<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
) -> Result<Option<[Field<'a>; N]>, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    let found = Fields(names).deserialize(&mut parser)?;
    parser.end()?;
    Ok(found)
}

struct Fields<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Fields<N> {
    type Value = Option<[Field<'de>; N]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Fields<N> {
    type Value = Option<[Field<'de>; N]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = [const { Field { is_there: false, text: None } }; N];
        while let Some(index) = map.next_key_seed(Name(&self.0))? {
            match index.and_then(|index| fields.get_mut(index)) {
                Some(field) => *field = Field { is_there: true, text: map.next_value::<Text<'de>>()?.0 },
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A key, as its index among the names.
struct Name<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// A value, if it is text.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Option<[Field<'_>; 2]>, serde_json::Error> {
        fields(body.as_bytes(), ["code", "message"])
    }

    #[test]
    fn texts_are_found_and_everything_else_is_passed_over() {
        let body = r#" {"a":[{"code":"no"}],"code":"old","message":{"code":1},"code":"4\u0032501","":null} "#;
        let [code, message] = read(body).unwrap().unwrap();
        assert_eq!(code.text.as_deref(), Some("42501"), "the last one counts");
        assert!(message.is_there && message.text.is_none());
        let [code, _] = read("{}").unwrap().unwrap();
        assert!(!code.is_there);
        for other in ["[]", "[1,{\"code\":\"x\"}]", "\"code\"", "null", "true", "-1", "1", "1.5"] {
            assert!(read(other).unwrap().is_none(), "{other}");
        }
        for broken in ["", "{", "{\"code\":\"x\"", "{\"code\":\"x\"} x", "<html>", "{\"code\":\"\u{0}\"}"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
        // Either way is fine, as long as it ends.
        let _ = read(&format!("{{\"a\":{deep},\"code\":{deep}}}"));
        let _ = read(&deep);
    }
}
