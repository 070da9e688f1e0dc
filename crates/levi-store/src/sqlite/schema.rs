//! The schema, its versions, and the check of the database key.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::cipher::Cipher;
use super::failure::Failure;

/// Script `n` migrates version `n` to `n + 1`. Version zero has no tables.
const SCRIPTS: &[&str] = &[
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];

/// Sealed when the tables are created. A key that opens it is the right key.
const KEY_CHECK: &[u8] = b"levi";

/// Migrates the tables, or returns an error and leaves the file unchanged.
pub(super) fn prepare(connection: &mut Connection, cipher: &Cipher) -> Result<(), Failure> {
    if check(connection, cipher)? == known() {
        return Ok(());
    }
    // Of two processes that get here at once, the second waits and then finds the new version.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = check(&transaction, cipher)?;
    upgrade(&transaction, cipher, found)?;
    Ok(transaction.commit()?)
}

/// A statement and not `table_exists`, which uses this connection's cache of the schema and does not see tables that
/// another process has created since.
pub(super) fn has_table(connection: &Connection, name: &str) -> Result<bool, Failure> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.query_row(table, [name], |_| Ok(())).optional()?.is_some())
}

/// The version that the file names, if it has tables.
pub(super) fn version(connection: &Connection) -> Result<Option<i64>, Failure> {
    if !has_table(connection, "levi_store_schema")? {
        return Ok(None);
    }
    Ok(Some(connection.query_row("SELECT version FROM levi_store_schema", [], |row| row.get(0))?))
}

/// The file's version, zero if there are no tables. Fails for a newer file and for the wrong key.
pub(super) fn check(connection: &Connection, cipher: &Cipher) -> Result<i64, Failure> {
    if !has_table(connection, "levi_store_schema")? {
        return Ok(0);
    }
    let (found, sealed): (i64, Vec<u8>) =
        connection.query_row("SELECT version, key_check FROM levi_store_schema", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if found > known() {
        return Err(Failure::NewerSchema { found, known: known() });
    }
    match cipher.open(key_slot(), &sealed) {
        Ok(_) => Ok(found),
        Err(_) => Err(Failure::WrongKey),
    }
}

fn upgrade(transaction: &Transaction<'_>, cipher: &Cipher, found: i64) -> Result<(), Failure> {
    for script in SCRIPTS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(script)?;
    }
    let exists = transaction.query_row("SELECT 1 FROM levi_store_schema", [], |_| Ok(())).optional()?;
    if exists.is_none() {
        let sealed = cipher.seal(key_slot(), KEY_CHECK)?;
        transaction.execute(
            "INSERT INTO levi_store_schema (only_row, version, key_check) VALUES (1, 0, ?1)",
            [sealed],
        )?;
    }
    transaction.execute("UPDATE levi_store_schema SET version = ?1", [known()])?;
    Ok(())
}

pub(super) fn key_slot() -> levi_crypto::at_rest::Slot<'static> {
    levi_crypto::at_rest::Slot { table: "levi_store_schema", row_key: "1", column: "key_check" }
}

pub(super) fn known() -> i64 {
    i64::try_from(SCRIPTS.len()).unwrap_or(i64::MAX)
}
