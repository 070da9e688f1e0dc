//! The columns that a table of the migrations has: their types, and whether they may be NULL.

use levi::transport::Table;

use super::description::Definition;
use super::{Findings, Severity};
use crate::error::CliError;

/// For what the migrations do not change in a table that exists.
pub(super) const ALTER: &str =
    "the table is older, or not Levi's: add what is missing as in supabase/migrations (`alter table`)";

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uuid,
    Text,
    BigInt,
    Integer,
    Bool,
    Timestamp,
}

/// The types of the columns that Levi writes.
const KINDS: [(&str, Kind); 14] = [
    ("id", Kind::Uuid),
    ("user_id", Kind::Uuid),
    ("device_id", Kind::Uuid),
    ("repository_id", Kind::Uuid),
    ("session_id", Kind::Uuid),
    ("sender_device_id", Kind::Uuid),
    ("member_id", Kind::Uuid),
    ("is_active", Kind::Bool),
    ("is_worktree", Kind::Bool),
    ("sequence_number", Kind::BigInt),
    ("slot", Kind::BigInt),
    ("change_id", Kind::BigInt),
    ("epoch", Kind::Integer),
    ("last_heartbeat_at", Kind::Timestamp),
];

/// The columns that Levi may leave empty.
const OPTIONAL: [&str; 11] = [
    "public_key",
    "remote_url",
    "default_branch",
    "worktree_branch",
    "title",
    "current_branch",
    "working_directory",
    "worktree_path",
    "sender_device_id",
    "cosignature",
    "answer",
];

impl Kind {
    fn of(table: Table, column: &str) -> Self {
        // A pairing has a text for an id.
        if table == Table::Pairings && column == "id" {
            return Self::Text;
        }
        KINDS.iter().find(|(name, _)| *name == column).map_or(Self::Text, |(_, kind)| *kind)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::BigInt => "bigint",
            Self::Integer => "integer",
            Self::Bool => "boolean",
            Self::Timestamp => "timestamp with time zone",
        }
    }

    /// Whether a column of this PostgreSQL type takes every value that Levi writes. Text may be an enum, which has a
    /// name of the project's own.
    fn fits(self, format: &str) -> bool {
        let text = ["text", "character varying", "citext"].contains(&format);
        match self {
            Self::Uuid => format == "uuid" || text,
            Self::Text => text || !self.is_built_in(format),
            Self::BigInt => ["bigint", "numeric"].contains(&format),
            Self::Integer => ["integer", "bigint", "numeric"].contains(&format),
            Self::Bool | Self::Timestamp => format == self.name(),
        }
    }

    fn is_built_in(self, format: &str) -> bool {
        const OTHERS: [&str; 12] = [
            "bytea",
            "uuid",
            "smallint",
            "integer",
            "bigint",
            "numeric",
            "real",
            "double precision",
            "boolean",
            "json",
            "date",
            "timestamp with time zone",
        ];
        OTHERS.contains(&format)
    }
}

/// Compares the columns with those of the migrations. Returns whether nothing is a problem.
pub(super) fn check(
    table: Table,
    definition: &Definition,
    findings: &mut Findings,
) -> Result<bool, CliError> {
    let before = findings.problems;
    for column in table.columns().split(',') {
        let Some(property) = definition.properties.get(column) else { continue };
        let kind = Kind::of(table, column);
        if !kind.fits(&property.format) {
            let detail = format!("the column {column} is {}, and must be {}", property.format, kind.name());
            let (name, kind) = (table.name(), kind.name());
            let advice = format!(
                "`alter table public.{name} alter column {column} type {kind} using {column}::{kind}`"
            );
            findings.problem(name, detail, &advice)?;
        }
        let required = definition.required.iter().any(|name| name == column);
        nullability(table, column, required, findings)?;
    }
    for column in &definition.required {
        let has_default = definition.properties.get(column).is_some_and(|property| property.has_default);
        if !has_default && !is_known(table, column) {
            let detail = format!("the column {column} must not be NULL, and Levi does not know it");
            let advice =
                "unless a trigger fills it, every row is refused: give it a default, or drop `not null`";
            findings.note(table.name(), detail, advice)?;
        }
    }
    Ok(findings.problems == before)
}

fn nullability(table: Table, column: &str, required: bool, findings: &mut Findings) -> Result<(), CliError> {
    let alter = |what: &str| format!("`alter table public.{} alter column {column} {what}`", table.name());
    match (OPTIONAL.contains(&column), required) {
        (true, true) => {
            let detail = format!("the column {column} must not be NULL, and Levi may leave it empty");
            findings.problem(table.name(), detail, &alter("drop not null"))
        }
        (false, false) => {
            let detail = format!("the column {column} may be NULL; Levi fills it, and others may not");
            findings.note(table.name(), detail, &alter("set not null"))
        }
        _ => Ok(()),
    }
}

fn is_known(table: Table, column: &str) -> bool {
    let of_feed = table == Table::Messages && Table::FEED_COLUMNS.contains(&column);
    of_feed || table.columns().split(',').any(|known| known == column)
}

/// In the append-only list of devices, each slot is taken once: that is what its primary key holds.
pub(super) fn primary_key(
    table: Table,
    definition: &Definition,
    findings: &mut Findings,
) -> Result<(), CliError> {
    let mut expected: Vec<&str> = table.conflict_columns().split(',').collect();
    expected.sort_unstable();
    let found = definition.primary_key();
    if found == expected {
        return Ok(());
    }
    let detail = match found.join(",").as_str() {
        "" => format!("there is no primary key; it must be ({})", table.conflict_columns()),
        found => format!("the primary key is ({found}), and must be ({})", table.conflict_columns()),
    };
    let severity = if table == Table::DeviceList { Severity::Problem } else { Severity::Note };
    findings.print(table.name(), severity, detail, Some(ALTER.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_fits_if_it_takes_every_value() {
        let fits = |kind: Kind, format| kind.fits(format);
        for (kind, format) in [
            (Kind::Uuid, "text"),
            (Kind::Text, "public.device_type"),
            (Kind::Text, "character varying"),
            (Kind::BigInt, "numeric"),
            (Kind::Integer, "bigint"),
        ] {
            assert!(fits(kind, format), "{kind:?} {format}");
        }
        for (kind, format) in [
            (Kind::Uuid, "bigint"),
            (Kind::Text, "bytea"),
            (Kind::BigInt, "integer"),
            (Kind::Bool, "text"),
            (Kind::Timestamp, "timestamp without time zone"),
        ] {
            assert!(!fits(kind, format), "{kind:?} {format}");
        }
    }
}
