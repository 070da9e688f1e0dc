//! What the fake Supabase knows of a table.

use levi_transport::Table;

use crate::supabase::value::Kind;

/// One table.
pub(crate) struct TableDef {
    pub(crate) table: Table,
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// The primary key first.
    pub(crate) uniques: &'static [Unique],
    pub(crate) foreign: &'static [Foreign],
    pub(crate) owner: Owner,
    pub(crate) grants: Grants,
}

/// One column.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nullable: Nullable,
    pub(crate) default: Default,
    pub(crate) check: Option<Check>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nullable {
    Yes,
    No,
}

/// The default value of a column.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    Null,
    Now,
    True,
    False,
    Text(&'static str),
}

/// A check constraint. The first field is its name.
pub(crate) enum Check {
    OneOf(&'static str, &'static [&'static str]),
    Between(&'static str, i64, i64),
    /// `octet_length`
    MaxBytes(&'static str, usize),
}

/// A unique constraint with its columns in the order of its error text.
pub(crate) struct Unique {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
}

/// A foreign key.
pub(crate) struct Foreign {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    pub(crate) parent: &'static str,
    pub(crate) parent_columns: &'static [&'static str],
    pub(crate) on_delete: OnDelete,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDelete {
    Refuse,
    Cascade,
}

/// What the migrations grant to `authenticated`, together with a policy. Everybody signed in may
/// read and insert.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grants {
    Everything,
    NoDelete,
    AppendOnly,
}

/// How a policy finds the owner of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The user in `user_id`.
    UserId,
    /// The owner of the session. Writing also requires that the devices belong to that user.
    ThroughSession,
}

impl TableDef {
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The unique constraint over exactly these columns, in any order.
    pub(crate) fn unique_over(&self, columns: &[&str]) -> Option<&'static Unique> {
        self.uniques.iter().find(|unique| {
            unique.columns.len() == columns.len() && unique.columns.iter().all(|c| columns.contains(c))
        })
    }
}
