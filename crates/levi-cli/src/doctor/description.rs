//! What PostgREST says of the project's tables (`GET /rest/v1/`, OpenAPI), read without building the rest: of Levi's
//! tables the first columns, of everything else nothing.

use std::collections::BTreeMap;
use std::fmt;

use levi::transport::Table;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The most columns of a table that are looked at. Levi's have a dozen.
const MOST_COLUMNS: usize = 400;

/// The tables by name.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Description {
    #[serde(default)]
    definitions: Definitions,
}

/// Of everything that is described, Levi's tables.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Definitions {
    devices: Option<Definition>,
    repositories: Option<Definition>,
    agent_coding_sessions: Option<Definition>,
    agent_coding_session_messages: Option<Definition>,
    agent_coding_session_secrets: Option<Definition>,
    levi_device_list: Option<Definition>,
    levi_keyrings: Option<Definition>,
    levi_pairings: Option<Definition>,
}

/// One table.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Definition {
    /// The columns that must not be NULL.
    #[serde(deserialize_with = "first_names")]
    pub(super) required: Vec<String>,
    #[serde(deserialize_with = "first_columns")]
    pub(super) properties: BTreeMap<String, Property>,
}

/// One column.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Property {
    /// PostgreSQL's name of the type.
    pub(super) format: String,
    /// Holds a note for each key.
    description: Option<String>,
    #[serde(rename = "default", deserialize_with = "is_there")]
    pub(super) has_default: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

fn first_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_seq(FirstNames)
}

fn first_columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Property>, D::Error> {
    deserializer.deserialize_map(FirstColumns)
}

/// Keeps as many as a table has columns, because what others send must stay small when it is read.
struct FirstNames;

impl<'de> Visitor<'de> for FirstNames {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while names.len() < MOST_COLUMNS {
            match seq.next_element()? {
                Some(name) => names.push(name),
                None => return Ok(names),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(names)
    }
}

/// As [`FirstNames`].
struct FirstColumns;

impl<'de> Visitor<'de> for FirstColumns {
    type Value = BTreeMap<String, Property>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut columns = BTreeMap::new();
        while columns.len() < MOST_COLUMNS {
            match map.next_entry()? {
                Some((name, column)) => columns.insert(name, column),
                None => return Ok(columns),
            };
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(columns)
    }
}

impl Description {
    pub(super) fn parse(document: &[u8]) -> Option<Self> {
        serde_json::from_slice(document).ok()
    }

    /// `None`: this user may not touch the table, or it is not there.
    pub(super) const fn table(&self, table: Table) -> Option<&Definition> {
        let definitions = &self.definitions;
        match table {
            Table::Devices => definitions.devices.as_ref(),
            Table::Repositories => definitions.repositories.as_ref(),
            Table::Sessions => definitions.agent_coding_sessions.as_ref(),
            Table::Messages => definitions.agent_coding_session_messages.as_ref(),
            Table::Secrets => definitions.agent_coding_session_secrets.as_ref(),
            Table::DeviceList => definitions.levi_device_list.as_ref(),
            Table::Keyrings => definitions.levi_keyrings.as_ref(),
            Table::Pairings => definitions.levi_pairings.as_ref(),
        }
    }
}

impl Definition {
    /// The columns of the primary key.
    pub(super) fn primary_key(&self) -> Vec<&str> {
        let keys = self.properties.iter().filter(|(_, property)| property.notes("<pk/>"));
        keys.map(|(name, _)| name.as_str()).collect()
    }
}

impl Property {
    /// Whether the column by itself refers to the column `id` of the table.
    pub(super) fn refers_to(&self, parent: &str) -> bool {
        self.notes(&format!("<fk table='{parent}' column='id'/>"))
    }

    fn notes(&self, note: &str) -> bool {
        self.description.as_ref().is_some_and(|description| description.contains(note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_a_table_has_columns() {
        let names: Vec<String> = (0..100_000).map(|number| format!("\"c{number}\"")).collect();
        let columns: Vec<String> = names.iter().map(|name| format!("{name}:{{}}")).collect();
        let (names, columns) = (names.join(","), columns.join(","));
        let document = format!(
            r#"{{"definitions":{{"other":[{{}}],"devices":{{"required":[{names}],"properties":{{{columns}}}}}}}}}"#
        );
        let description = Description::parse(document.as_bytes()).unwrap();
        let devices = description.table(Table::Devices).unwrap();
        assert_eq!((devices.required.len(), devices.properties.len()), (MOST_COLUMNS, MOST_COLUMNS));
        assert!(description.table(Table::Messages).is_none());
        for nonsense in ["", "[]", "{\"definitions\":7}", &"[".repeat(10_000)] {
            assert!(
                Description::parse(nonsense.as_bytes()).is_none_or(|it| it.table(Table::Devices).is_none())
            );
        }
    }
}
