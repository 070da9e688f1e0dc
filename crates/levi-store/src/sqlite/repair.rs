//! A damaged file is kept under another name, and what a scan found in it goes into a fresh one.
//!
//! Every sealed record is bound to its table and id, so that a record tells by opening what it is of.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::sqlite::records::FoundRecord;
use rusqlite::types::Value;

use super::SqliteSessionStore;
use super::copy::Copy;
use super::failure::Failure;

/// The fresh file while records are copied into it.
const REPAIRING: &str = ".repairing";
/// The same when it is whole: from then on the repair is completed, now or by the next open.
const REPAIRED: &str = ".repaired";
/// The files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What a repair copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairedStore {
    /// What was wrong with the damaged file.
    pub cause: String,
    /// The damaged file, unchanged. Its log is beside it.
    pub quarantined: PathBuf,
    /// Repositories in the new file.
    pub repositories: u64,
    /// Sessions in the new file.
    pub sessions: u64,
    /// Sessions whose secret is in the new file.
    pub secrets: u64,
    /// Records that may have been replaced or deleted before, and were taken for want of a later one.
    pub uncertain: u64,
    /// Records of which there is a trace and that cannot be read: those that an index names, and those that the key does
    /// not open.
    pub lost: u64,
}

impl fmt::Display for RepairedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, quarantined, repositories, sessions, secrets, uncertain, lost } = self;
        write!(
            f,
            "the session store was damaged ({cause}): {sessions} sessions, {secrets} secrets and {repositories} \
             repositories were recovered, {uncertain} records of which may be older ones; {lost} records are lost; the \
             damaged file is now {}",
            quarantined.display()
        )
    }
}

/// A file beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Puts what was found into a fresh file in the place of the one at `path`, which nobody has open.
pub(super) fn rebuild(
    path: &Path,
    key: DatabaseKey,
    cause: String,
    found: Vec<FoundRecord>,
) -> Result<RepairedStore, Failure> {
    if found.iter().any(is_other_table) {
        return Err(Failure::OtherTables);
    }
    let fail = |source| Failure::CannotOpen { path: path.to_owned(), source };
    let fresh = beside(path, REPAIRING);
    remove_with_companions(&fresh).map_err(fail)?;
    let repaired = fill(&fresh, key, found)?;
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(fail)?;
    let quarantined = quarantine(path).map_err(fail)?;
    fs::rename(&fresh, beside(path, REPAIRED)).map_err(fail)?;
    sync_folder(path).map_err(fail)?;
    finish(path).map_err(fail)?;
    Ok(RepairedStore { cause, quarantined, ..repaired })
}

/// Whether a repair was interrupted after the damaged file had its second name.
pub(super) fn is_interrupted(path: &Path) -> bool {
    beside(path, REPAIRED).exists()
}

/// Completes a repair that was interrupted so. Nobody else may have the file open: this removes the logs beside it.
pub(super) fn finish(path: &Path) -> io::Result<()> {
    if !is_interrupted(path) {
        return Ok(());
    }
    // Before the rename: SQLite would apply the old log to the fresh file.
    for companion in COMPANIONS {
        remove(&beside(path, companion))?;
    }
    sync_folder(path)?;
    fs::rename(beside(path, REPAIRED), path)?;
    sync_folder(path)
}

/// Fills a new file at `fresh`, and leaves no log beside it.
fn fill(fresh: &Path, key: DatabaseKey, mut found: Vec<FoundRecord>) -> Result<RepairedStore, Failure> {
    // A record that is certainly there replaces one that may be older.
    found.sort_by_key(|record| record.is_current);
    let store = SqliteSessionStore::create(fresh, key)?;
    let mut connection = store.lock();
    let transaction = connection.transaction()?;
    let mut copy = Copy::new(&transaction, &store.cipher);
    for record in &found {
        copy.add(record)?;
    }
    let copied = copy.end()?;
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let lost = copied.unreadable + not_found(&found);
    Ok(RepairedStore { lost, ..copied.into_report(&connection)? })
}

/// How many records the indexes of the ids name beyond those that were found.
fn not_found(found: &[FoundRecord]) -> u64 {
    let mut missing: HashMap<&str, i64> = HashMap::new();
    for record in found {
        match (record.in_index, record.columns.as_slice()) {
            (true, [Value::Text(id), Value::Integer(_)]) if record.is_current => {
                *missing.entry(id).or_default() += 1;
            }
            (false, [Value::Text(id), ..]) => *missing.entry(id).or_default() -= 1,
            _ => {}
        }
    }
    missing.into_values().filter_map(|count| u64::try_from(count).ok()).sum()
}

/// Whether the record defines a table besides this store's: the file is the daemon's own database. The name is there twice,
/// and damage to one of them makes no table of the daemon's.
fn is_other_table(record: &FoundRecord) -> bool {
    let is_ours = |name: &str| name.starts_with("levi_store_") || name.starts_with("sqlite_");
    match record.columns.as_slice() {
        [Value::Text(kind), Value::Text(name), Value::Text(again), Value::Integer(_), ..] => {
            record.is_current && kind == "table" && !is_ours(name) && !is_ours(again)
        }
        _ => false,
    }
}

/// Gives the damaged file and its log second names and returns the file's. No byte is changed.
fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let free = |name: &PathBuf| !name.exists() && !beside(name, "-wal").exists();
    let mut names = (1_u32..).map(|number| beside(path, &format!(".damaged-{number}")));
    let quarantined = names.find(free).ok_or(ErrorKind::AlreadyExists)?;
    for companion in ["", "-wal", "-journal"] {
        let (from, to) = (beside(path, companion), beside(&quarantined, companion));
        if from.exists() && fs::hard_link(&from, &to).is_err() {
            // A file system without hard links.
            fs::copy(&from, &to)?;
        }
    }
    sync_folder(path)?;
    Ok(quarantined)
}

fn remove_with_companions(path: &Path) -> io::Result<()> {
    remove(path)?;
    COMPANIONS.iter().try_for_each(|companion| remove(&beside(path, companion)))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames in the folder of `path` survive power loss, where folders can be synced.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
