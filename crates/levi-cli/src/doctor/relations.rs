//! The foreign keys of the migrations. PostgREST embeds one table in another by a foreign key's name, so a read of no
//! rows tells whether it is there.

use levi::transport::{Select, Table};

use super::Findings;
use super::columns::ALTER;
use super::description::Definition;
use crate::connection::Connection;
use crate::error::CliError;

/// "Could not find a relationship."
const NO_RELATIONSHIP: &str = "PGRST200";

/// A foreign key to the column `id`.
struct Foreign {
    table: Table,
    column: &'static str,
    parent: Table,
    owner: Owner,
}

/// Whether a foreign key holds that the parent is the same user's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It names `user_id`, too, because a foreign key does not look at policies.
    Named,
    /// The table has no user of its own.
    None,
}

const FOREIGN: [Foreign; 7] = [
    Foreign::new(Table::Repositories, "device_id", Table::Devices, Owner::Named),
    Foreign::new(Table::Sessions, "device_id", Table::Devices, Owner::Named),
    Foreign::new(Table::Sessions, "repository_id", Table::Repositories, Owner::Named),
    Foreign::new(Table::Messages, "session_id", Table::Sessions, Owner::None),
    Foreign::new(Table::Secrets, "session_id", Table::Sessions, Owner::None),
    Foreign::new(Table::Secrets, "device_id", Table::Devices, Owner::None),
    Foreign::new(Table::Secrets, "sender_device_id", Table::Devices, Owner::None),
];

impl Foreign {
    const fn new(table: Table, column: &'static str, parent: Table, owner: Owner) -> Self {
        Self { table, column, parent, owner }
    }

    /// The name that PostgreSQL gives it.
    fn name(&self) -> String {
        let user = if self.owner == Owner::Named { "_user_id" } else { "" };
        format!("{}_{}{user}_fkey", self.table.name(), self.column)
    }

    fn described(&self) -> String {
        let (column, parent) = (self.column, self.parent.name());
        match self.owner {
            Owner::Named => format!("({column}, user_id) to {parent} (id, user_id)"),
            Owner::None => format!("({column}) to {parent} (id)"),
        }
    }
}

/// Whether the foreign keys of `table` are there. `definition`: what PostgREST says of the table, if it does.
pub(super) async fn check(
    connection: &Connection,
    table: Table,
    definition: Option<&Definition>,
    findings: &mut Findings,
) -> Result<(), CliError> {
    for key in FOREIGN.iter().filter(|key| key.table == table) {
        let parent = key.parent.name();
        let named = format!("select={parent}!{}(id)&limit=0", key.name());
        let error = match connection.try_select(Select { table, query: named }).await? {
            Ok(_) => continue,
            Err(error) => error,
        };
        if error.code != NO_RELATIONSHIP {
            let detail = format!("the foreign key of {} cannot be seen: {error}", key.column);
            findings.note(table.name(), detail, "run this again later")?;
            continue;
        }
        missing(connection, key, definition, findings).await?;
    }
    Ok(())
}

/// A foreign key that is not there by its name.
async fn missing(
    connection: &Connection,
    key: &Foreign,
    definition: Option<&Definition>,
    findings: &mut Findings,
) -> Result<(), CliError> {
    let (table, parent) = (key.table, key.parent.name());
    let property = definition.and_then(|definition| definition.properties.get(key.column));
    let by_itself = property.is_some_and(|property| property.refers_to(parent));
    match (key.owner, by_itself) {
        (Owner::None, true) => return Ok(()),
        (Owner::Named, true) => {
            let detail = format!("the foreign key of {} is not tied to the user", key.column);
            let advice =
                format!("a row could name another user's: add a foreign key from {}", key.described());
            return findings.note(table.name(), detail, &advice);
        }
        (_, false) => {}
    }
    let any = Select { table, query: format!("select={parent}(id)&limit=0") };
    let any = connection.try_select(any).await?;
    // A key of one column would be in the description.
    let described = property.is_some() && key.owner == Owner::None;
    if described || any.is_err_and(|error| error.code == NO_RELATIONSHIP) {
        let detail = format!("there is no foreign key from {}", key.described());
        return findings.problem(table.name(), detail, ALTER);
    }
    let detail = format!("there is no foreign key {}, perhaps one by another name", key.name());
    findings.note(table.name(), detail, &format!("it must lead from {}", key.described()))
}
