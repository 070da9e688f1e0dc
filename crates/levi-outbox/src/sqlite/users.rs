//! For whom lanes wait.

use levi_types::UserId;
use rusqlite::{Connection, OptionalExtension, Result};

use super::columns::unsigned;
use super::counters::Counters;
use crate::model::Held;

/// Stands for the user in a file in which nobody has signed in yet. No user has this number.
pub(super) const NOBODY: i64 = 0;

pub(super) const FIND: &str = "SELECT user FROM levi_users WHERE user_id = ?1";
pub(super) const NAME: &str = "SELECT user_id FROM levi_users WHERE user = ?1";
const ADD: &str = "INSERT INTO levi_users (user_id) VALUES (?1)";
/// Once in a file's life: nobody's lanes become those of the first user.
const CLAIM: &str = "UPDATE levi_lanes SET user = ?1 WHERE user = 0";
pub(super) const TAKE_OVER: &str = "UPDATE levi_lanes SET user = ?2 WHERE lane = ?1";
/// Rare, so a pass over all lanes and the held rows is fine.
const HELD: &str = "SELECT user_id, \
     sum((SELECT count(*) FROM levi_outbox AS o WHERE o.lane = l.lane)) AS pending, \
     sum((SELECT count(*) FROM levi_outbox AS o WHERE o.lane = l.lane) * (l.kind = 3)) AS messages, \
     sum((SELECT count(*) FROM levi_parked AS p WHERE p.lane = l.lane)) AS parked \
     FROM levi_lanes AS l LEFT JOIN levi_users AS u ON u.user = l.user \
     WHERE l.user <> (SELECT user FROM levi_totals WHERE id = 1) \
     GROUP BY l.user HAVING pending + parked > 0 ORDER BY user_id";

pub(super) fn find(conn: &Connection, user: &UserId) -> Result<Option<i64>> {
    conn.prepare_cached(FIND)?.query_row([user.as_str()], |row| row.get(0)).optional()
}

pub(super) fn find_or_add(conn: &Connection, user: &UserId) -> Result<i64> {
    match find(conn, user)? {
        Some(known) => Ok(known),
        None => conn.prepare_cached(ADD)?.insert([user.as_str()]),
    }
}

/// The user's id; `None` for nobody.
pub(super) fn name(conn: &Connection, user: i64) -> Result<Option<UserId>> {
    let name: Option<String> = conn.prepare_cached(NAME)?.query_row([user], |row| row.get(0)).optional()?;
    Ok(name.map(UserId::from))
}

/// Reads every user's id as the readers do.
pub(super) fn decode_all(conn: &Connection) -> Result<()> {
    let mut users = conn.prepare("SELECT user_id FROM levi_users NOT INDEXED")?;
    let mut rows = users.query([])?;
    while let Some(row) = rows.next()? {
        let _: String = row.get(0)?;
    }
    Ok(())
}

/// Who signed in last.
pub(super) fn signed_in_user(conn: &Connection) -> Result<Option<UserId>> {
    name(conn, Counters::load(conn)?.user())
}

/// `user` is signed in from now on. The first one takes over what was written before.
pub(super) fn signed_in(conn: &Connection, counters: &mut Counters, user: &UserId) -> Result<()> {
    let user = find_or_add(conn, user)?;
    if counters.user() == NOBODY {
        conn.execute(CLAIM, [user])?;
    }
    counters.set_user(user);
    Ok(())
}

/// The lane was nobody's, and somebody adds a row to it. The sign-in that makes nobody's lanes the
/// first user's may still be on its way to the disk.
pub(super) fn take_over(conn: &Connection, lane: i64, user: i64) -> Result<()> {
    conn.prepare_cached(TAKE_OVER)?.execute([lane, user]).map(drop)
}

/// What waits for users other than the one who signed in last.
pub(super) fn held(conn: &Connection) -> Result<Vec<Held>> {
    let held = |row: &rusqlite::Row<'_>| {
        Ok(Held {
            user_id: row.get::<_, Option<String>>(0)?.map(UserId::from),
            pending: unsigned(row.get(1)?),
            messages: unsigned(row.get(2)?),
            parked: unsigned(row.get(3)?),
        })
    };
    conn.prepare_cached(HELD)?.query_map([], held)?.collect()
}
