//! For whom records are made.

use levi_types::{SessionId, UserId};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::failure::Failure;

const SIGNED_IN: &str = "SELECT user_id FROM levi_store_schema";
/// The secret may be stored before the session, or the other way round.
const OWNER: &str = "SELECT user_id FROM levi_store_sessions WHERE id = ?1 AND user_id IS NOT NULL
     UNION ALL SELECT user_id FROM levi_store_secrets WHERE id = ?1 AND user_id IS NOT NULL LIMIT 1";

/// Who signed in last.
fn signed_in_user(connection: &Connection) -> Result<Option<UserId>, Failure> {
    let user: Option<String> = connection.prepare_cached(SIGNED_IN)?.query_row([], |row| row.get(0))?;
    Ok(user.map(UserId::from))
}

pub(super) fn signed_in(connection: &mut Connection, user: &UserId) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = signed_in_user(&transaction)?;
    if before.as_ref() == Some(user) {
        return Ok(());
    }
    if before.is_none() {
        for table in ["levi_store_repositories", "levi_store_sessions", "levi_store_secrets"] {
            let claim = format!("UPDATE {table} SET user_id = ?1 WHERE user_id IS NULL");
            transaction.execute(&claim, [user.as_str()])?;
        }
    }
    transaction.execute("UPDATE levi_store_schema SET user_id = ?1", [user.as_str()])?;
    Ok(transaction.commit()?)
}

pub(super) fn owner(connection: &Connection, session: &SessionId) -> Result<Option<UserId>, Failure> {
    let owner =
        connection.prepare_cached(OWNER)?.query_row([session.as_str()], |row| row.get(0)).optional()?;
    Ok(owner.map(|owner: String| owner.into()))
}

/// Refuses a session of another user than the one who signed in last.
pub(super) fn check_session(connection: &Connection, session: &SessionId) -> Result<(), Failure> {
    check("levi_store_sessions", session.as_str(), owner(connection, session)?, signed_in_user(connection)?)
}

/// Refuses a record of another user.
pub(super) fn check(
    table: &'static str,
    id: &str,
    owner: Option<UserId>,
    signed_in: Option<UserId>,
) -> Result<(), Failure> {
    match owner {
        Some(owner) if Some(&owner) != signed_in.as_ref() => {
            Err(Failure::OtherUser { table, id: id.to_owned(), owner })
        }
        _ => Ok(()),
    }
}
