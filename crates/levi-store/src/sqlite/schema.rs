//! Tables, their versions, and the check that the key fits.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::failure::Failure;
use super::vault::Vault;

/// Each script takes the schema one version up, from zero (no tables).
const SCRIPTS: &[&str] = &[include_str!("schema-1.sql")];

/// Wrapped once when the tables are made; whoever opens it has the right key.
const KEY_CHECK: &[u8] = b"levi";

/// Brings the tables up to date, or refuses the file untouched.
pub(super) fn prepare(connection: &mut Connection, vault: &Vault) -> Result<(), Failure> {
    if check(connection, vault)? == known() {
        return Ok(());
    }
    // Two processes may get here at once: the second waits, and finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = check(&transaction, vault)?;
    upgrade(&transaction, vault, found)?;
    Ok(transaction.commit()?)
}

/// The file's version, zero without tables. Fails for a newer file and for the wrong key.
fn check(connection: &Connection, vault: &Vault) -> Result<i64, Failure> {
    // By a statement and not by `table_exists`, which believes this connection's cache of the schema: it would not
    // see what another process has made since.
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'levi_store_schema'";
    if connection.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let (found, wrapped): (i64, Vec<u8>) =
        connection.query_row("SELECT version, key_check FROM levi_store_schema", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if found > known() {
        return Err(Failure::NewerSchema { found, known: known() });
    }
    match vault.unwrap(key_slot(), &wrapped) {
        Ok(_) => Ok(found),
        Err(_) => Err(Failure::WrongKey),
    }
}

fn upgrade(transaction: &Transaction<'_>, vault: &Vault, found: i64) -> Result<(), Failure> {
    for script in SCRIPTS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(script)?;
    }
    let there = transaction.query_row("SELECT 1 FROM levi_store_schema", [], |_| Ok(())).optional()?;
    if there.is_none() {
        let wrapped = vault.wrap(key_slot(), KEY_CHECK)?;
        transaction.execute(
            "INSERT INTO levi_store_schema (only_row, version, key_check) VALUES (1, 0, ?1)",
            [wrapped],
        )?;
    }
    transaction.execute("UPDATE levi_store_schema SET version = ?1", [known()])?;
    Ok(())
}

fn key_slot() -> levi_crypto::at_rest::Slot<'static> {
    levi_crypto::at_rest::Slot { table: "levi_store_schema", row_key: "1", column: "key_check" }
}

fn known() -> i64 {
    i64::try_from(SCRIPTS.len()).unwrap_or(i64::MAX)
}
