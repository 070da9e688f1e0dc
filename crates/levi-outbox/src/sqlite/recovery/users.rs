//! For whom the rows of a damaged database wait.

use std::collections::HashMap;

use levi_types::UserId;
use rusqlite::Connection;

use super::super::users::NOBODY;

/// Stands for a user whose name is lost. Nobody has this id, so the rows wait until a person exports
/// or discards them: sent for whoever signs in first, they could reach the wrong one.
const LOST: &str = "lost-with-a-damaged-file";

/// The users, as far as they can be read.
pub(in super::super) struct Users {
    names: HashMap<i64, UserId>,
    /// Whether that is all of them.
    is_complete: bool,
}

impl Users {
    /// From the table and from its index. Before schema 4 there were none.
    pub(in super::super) fn read(old: &Connection) -> Self {
        const SCANS: [&str; 2] = [
            "SELECT user, user_id FROM levi_users INDEXED BY sqlite_autoindex_levi_users_1",
            "SELECT user, user_id FROM levi_users NOT INDEXED",
        ];
        let (mut names, mut is_complete) = (HashMap::new(), true);
        for scan in SCANS {
            let Ok(mut statement) = old.prepare(scan) else { continue };
            let user = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, UserId::from(row.get::<_, String>(1)?)));
            let Ok(rows) = statement.query_map([], user) else { continue };
            for row in rows {
                let Ok((user, name)) = row else {
                    is_complete = false;
                    break;
                };
                names.insert(user, name);
            }
        }
        Self { names, is_complete }
    }

    /// The user of a lane with this number; `None` where the number cannot be read, which matters
    /// only if there were several users.
    pub(in super::super) fn of_lane(&self, user: Option<i64>) -> Option<UserId> {
        let known = user.and_then(|user| self.names.get(&user)).cloned();
        let is_nobody = user == Some(NOBODY) || (user.is_none() && self.names.is_empty());
        let only = if user.is_none() && self.names.len() == 1 { self.names.values().next() } else { None };
        match known.or_else(|| only.cloned().filter(|_| self.is_complete)) {
            None if is_nobody && self.is_complete => None,
            None => Some(LOST.into()),
            user => user,
        }
    }

    /// Who signed in last, if that can be read.
    pub(super) fn signed_in(&self, old: &Connection) -> Option<UserId> {
        let user = old.query_row("SELECT user FROM levi_totals", [], |row| row.get(0)).ok()?;
        self.names.get(&user).cloned()
    }
}
