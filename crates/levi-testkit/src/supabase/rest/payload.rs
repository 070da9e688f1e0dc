//! Parses a body into typed rows.
//!
//! Values borrow from the body unless they contain JSON escapes, so a large batch is not copied.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::RestError;
use crate::supabase::schema::TableDef;
use crate::supabase::value::{BadInput, Cell, Kind};

/// Rows and their columns.
pub(crate) struct Payload<'a> {
    /// Indices into the table's columns.
    pub(crate) columns: Vec<usize>,
    /// For each row a value for each of `columns`, or `None` if the row lacks it.
    pub(crate) rows: Vec<Vec<Option<Cell<'a>>>>,
}

/// Reads `body` as rows of `table`. `columns` is the query's `columns=`.
///
/// Like PostgREST, this checks the body itself only without `columns`. A body that is not JSON is
/// PGRST102 without `columns`, and PostgreSQL's 22P02 with it.
pub(crate) fn parse<'a>(
    table: &'static TableDef,
    columns: Option<&[String]>,
    body: &'a [u8],
) -> Result<Payload<'a>, RestError> {
    let objects = match columns {
        None => read_objects(body).ok_or_else(RestError::unreadable_body)?,
        Some(_) => {
            check_encoding(body)?;
            read_objects(body).ok_or_else(RestError::bad_json)?
        }
    };
    let named: Vec<Cow<'_, str>> = match columns {
        Some(columns) => columns.iter().map(|c| Cow::Borrowed(c.as_str())).collect(),
        None => shared_keys(&objects)?,
    };
    let indices = named
        .iter()
        .map(|name| table.column(name).ok_or_else(|| RestError::unknown_column(table, name)))
        .collect::<Result<Vec<_>, _>>()?;
    let rows = objects
        .iter()
        .map(|object| {
            let cells = named.iter().zip(&indices).map(|(name, index)| {
                let value = object.field(name);
                value.map(|raw| read_cell(table.columns[*index].kind, raw.get())).transpose()
            });
            cells.collect::<Result<Vec<_>, _>>()
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Payload { columns: indices, rows })
}

fn check_encoding(body: &[u8]) -> Result<(), RestError> {
    if let Err(error) = std::str::from_utf8(body) {
        return Err(RestError::bad_utf8(body.get(error.valid_up_to()).copied().unwrap_or_default()));
    }
    if body.contains(&0) { Err(RestError::bad_utf8(0)) } else { Ok(()) }
}

fn read_objects(body: &[u8]) -> Option<Vec<Object<'_>>> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first == b'[' {
        serde_json::from_slice(body).ok()
    } else {
        serde_json::from_slice(body).ok().map(|object| vec![object])
    }
}

fn shared_keys<'a>(objects: &[Object<'a>]) -> Result<Vec<Cow<'a, str>>, RestError> {
    let Some(first) = objects.first() else { return Ok(Vec::new()) };
    let same = |object: &Object<'a>| {
        object.0.len() == first.0.len() && first.0.iter().all(|(name, _)| object.field(name).is_some())
    };
    if objects.iter().all(same) {
        Ok(first.0.iter().map(|(name, _)| name.clone()).collect())
    } else {
        Err(RestError::unequal_keys())
    }
}

/// An object with more fields than this is sorted, because the time to look for each among all
/// others grows with the square of their number.
const FIELDS_IN_ORDER: usize = 16;

/// A JSON object with its values not parsed. Its fields are in the order of the text or, if there
/// are many, sorted and each there once.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The last value of `name`, which is the one that PostgreSQL uses.
    fn field(&self, name: &str) -> Option<&'a RawValue> {
        if self.0.len() > FIELDS_IN_ORDER {
            let index = self.0.binary_search_by(|(key, _)| key.as_ref().cmp(name)).ok()?;
            return self.0.get(index).map(|(_, value)| *value);
        }
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Key(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                if fields.len() > FIELDS_IN_ORDER {
                    // The sort is stable, so that the last of several in the text is kept.
                    fields.reverse();
                    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                    fields.dedup_by(|(later, _), (kept, _)| later == kept);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A key that borrows unless it contains an escape.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn read_cell(kind: Kind, raw: &str) -> Result<Cell<'_>, RestError> {
    if raw == "null" {
        return Ok(Cell::Null);
    }
    cell_from_text(kind, unquote(raw)?)
}

/// Parses `text` as a value of `kind`, with PostgreSQL's errors.
pub(crate) fn cell_from_text(kind: Kind, text: Cow<'_, str>) -> Result<Cell<'_>, RestError> {
    // Text accepts everything, so an error quotes an id, a number or a date, never content.
    if kind == Kind::Text {
        return Ok(Cell::Text(text));
    }
    let shown = text.clone();
    kind.parse(text).map_err(|bad| match bad {
        BadInput::Syntax => RestError::bad_value(kind.name(), &shown),
        BadInput::Range => RestError::out_of_range(kind.name(), &shown),
        BadInput::Date => RestError::bad_date(kind.name(), &shown),
    })
}

/// The content of a JSON string, or the text of any other value, which `json_to_recordset` passes
/// to the type's input function.
fn unquote(raw: &str) -> Result<Cow<'_, str>, RestError> {
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Ok(Cow::Borrowed(raw));
    };
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let text: String = serde_json::from_str(raw).map_err(|_| RestError::bad_json())?;
    if text.contains('\0') { Err(RestError::nul_in_text()) } else { Ok(Cow::Owned(text)) }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// With a look at every other key for each, this many take many minutes.
    #[test]
    fn the_time_for_an_object_does_not_grow_with_the_square_of_its_keys() {
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let mut object = "{\"k0\":1".to_owned();
            (0..200_000).for_each(|number| write!(object, ",\"k{number}\":{number}").unwrap());
            let body = format!("[{object}}},{object}}}]");
            let objects = read_objects(body.as_bytes()).unwrap();
            let keys = shared_keys(&objects).unwrap_or_else(|_| panic!("the keys are alike"));
            let last_of_two = objects[1].field("k0").map(RawValue::get);
            ended.send((keys.len(), last_of_two.map(str::to_owned))).unwrap();
        });
        let (keys, last_of_two) = end.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!((keys, last_of_two.as_deref()), (200_000, Some("0")));
    }
}
