//! Row level security, as in `supabase/migrations`.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::error::RestError;
use crate::supabase::role::Role;
use crate::supabase::schema::{Owner, TableDef};
use crate::supabase::value::{Cell, Uuid};

/// The SQL condition that hides other users' rows, and its value.
pub(crate) fn visible(table: &TableDef, role: Role) -> (String, Option<Uuid>) {
    match (role, table.owner) {
        (Role::Service, _) => ("1".to_owned(), None),
        (Role::Anon, _) => ("0".to_owned(), None),
        (Role::Authenticated(user), Owner::UserId) => ("user_id = ?".to_owned(), Some(user)),
        (Role::Authenticated(user), Owner::ThroughSession) => {
            let own = "session_id IN (SELECT id FROM agent_coding_sessions WHERE user_id = ?)";
            (own.to_owned(), Some(user))
        }
    }
}

/// The policies for one request. It looks up the owner of each session and device once.
pub(crate) struct Policy<'c> {
    connection: &'c Connection,
    role: Role,
    sessions: HashMap<Uuid, Option<Uuid>>,
    devices: HashMap<Uuid, Option<Uuid>>,
}

impl<'c> Policy<'c> {
    pub(crate) fn new(connection: &'c Connection, role: Role) -> Self {
        Self { connection, role, sessions: HashMap::new(), devices: HashMap::new() }
    }

    /// `with check`: whether the user may write this row.
    pub(crate) fn check_new(&mut self, table: &TableDef, row: &[Cell<'_>]) -> Result<(), RestError> {
        let user = match self.role {
            Role::Service => return Ok(()),
            Role::Anon => return Err(RestError::row_level_security(table, self.role)),
            Role::Authenticated(user) => user,
        };
        let value = |name: &str| table.column(name).and_then(|index| row.get(index)?.uuid());
        let allowed = match table.owner {
            Owner::UserId => value("user_id") == Some(user),
            Owner::ThroughSession => {
                self.owns_session(value("session_id"), user)?
                    && self.owns_device_if_named(value("device_id"), user)?
                    && self.owns_device_if_named(value("sender_device_id"), user)?
            }
        };
        if allowed { Ok(()) } else { Err(RestError::row_level_security(table, self.role)) }
    }

    /// `using`: whether the user may change the existing row of an upsert.
    pub(crate) fn check_existing(&mut self, table: &TableDef, row: &[Cell<'_>]) -> Result<(), RestError> {
        let Role::Authenticated(user) = self.role else { return Ok(()) };
        let value = |name: &str| table.column(name).and_then(|index| row.get(index)?.uuid());
        let allowed = match table.owner {
            Owner::UserId => value("user_id") == Some(user),
            Owner::ThroughSession => self.owns_session(value("session_id"), user)?,
        };
        if allowed { Ok(()) } else { Err(RestError::row_level_security_using(table, self.role)) }
    }

    /// The owner of the session, if this role sees the session.
    pub(crate) fn visible_owner(&mut self, session: Option<Uuid>) -> Result<Option<Uuid>, RestError> {
        let Some(session) = session else { return Ok(None) };
        let owner = self.owner_of(session)?;
        Ok(owner.filter(|owner| match self.role {
            Role::Service => true,
            Role::Authenticated(user) => *owner == user,
            Role::Anon => false,
        }))
    }

    fn owner_of(&mut self, session: Uuid) -> Result<Option<Uuid>, RestError> {
        let sql = "SELECT user_id FROM agent_coding_sessions WHERE id = ?";
        owner(self.connection, &mut self.sessions, sql, session)
    }

    fn owns_session(&mut self, session: Option<Uuid>, user: Uuid) -> Result<bool, RestError> {
        let Some(session) = session else { return Ok(false) };
        Ok(self.owner_of(session)? == Some(user))
    }

    /// A missing column or value is allowed.
    fn owns_device_if_named(&mut self, device: Option<Uuid>, user: Uuid) -> Result<bool, RestError> {
        let Some(device) = device else { return Ok(true) };
        let sql = "SELECT user_id FROM devices WHERE id = ?";
        Ok(owner(self.connection, &mut self.devices, sql, device)? == Some(user))
    }
}

fn owner(
    connection: &Connection,
    known: &mut HashMap<Uuid, Option<Uuid>>,
    sql: &str,
    id: Uuid,
) -> Result<Option<Uuid>, RestError> {
    if let Some(owner) = known.get(&id) {
        return Ok(*owner);
    }
    let mut statement = connection.prepare_cached(sql)?;
    let found: Option<[u8; 16]> = statement.query_row([&id.0[..]], |row| row.get(0)).optional()?;
    let owner = found.map(Uuid);
    known.insert(id, owner);
    Ok(owner)
}
