//! A value of each wrong kind in each column of each table: what the check calls sound, every reader reads.

use std::fs;
use std::path::Path;

use levi_types::Wall;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{acknowledge, due, messages, reason, repository, row, session};
use crate::error::OutboxError;
use crate::model::{Change, LaneKey, LoneFailure, RecoveryReport, SyncedText, TextDigest};
use crate::sqlite::{Inspector, SqliteOptions, SqliteOutbox};
use crate::store::OutboxStore;

/// Wrong in most columns: texts that are no UTF-8 or of another type, and numbers out of range.
const VALUES: [&str; 6] =
    ["CAST(x'6dff' AS TEXT)", "x'00ff'", "-1", "4294967296", "9223372036854775807", "NULL"];

/// An outbox with something in every table.
fn filled(path: &Path) {
    let mut outbox = SqliteOutbox::open(path, SqliteOptions::default()).unwrap();
    let user = "ada".into();
    outbox.commit(&[Change::SignedIn { user }, Change::Pause { until: Wall::from_millis(5) }], &[]).unwrap();
    let rows = [row("a", 1), row("a", 2), row("b", 1), row("c", 1), row("c", 2)];
    outbox.commit(&[], &rows).unwrap();
    outbox.commit(&[], &[repository("r"), session("b")]).unwrap();
    let lanes = due_for_ada(&outbox);
    let lane = |key: &LaneKey| lanes.iter().find(|lane| lane.key == *key).unwrap();
    let (a, c) = (lane(&messages("a")), lane(&messages("c")));
    let park = Change::Park { lane: c.lane, row: c.heads[0].key, reason: reason(), at: Wall::from_millis(7) };
    let defer = Change::Defer { lane: a.lane, due_at: Wall::from_millis(9), attempts: 2, reason: reason() };
    let alone =
        LoneFailure { lane: a.lane, row: a.heads[1].key, together: 1, failures: 2, is_surpassed: false };
    let text = SyncedText { sequence_number: 1, digest: TextDigest([7; 8]) };
    let synced = Change::NoteSynced { user: Some("ada".into()), session: "a".into(), texts: vec![text] };
    let first = acknowledge(a, vec![a.heads[0].key]);
    // Fewer than the failures of the row, so that a wrong number is put here.
    let parked = Change::NoteParkedOnProbes { rows: 1 };
    outbox.commit(&[first, park, defer, Change::NoteLoneFailure(alone), parked, synced], &[]).unwrap();
}

fn due_for_ada(outbox: &SqliteOutbox) -> Vec<crate::model::DueLane> {
    let user = "ada".into();
    let query = crate::store::DueQuery {
        user: Some(&user),
        now: Wall::from_millis(1 << 50),
        horizon: Wall::from_millis(1 << 51),
        except: &[],
        max_lanes: 100,
        heads_per_lane: 100,
        max_heads: 1_000,
    };
    outbox.due(query).unwrap().lanes
}

/// The tables, and the columns of each.
fn columns(path: &Path) -> Vec<(String, String)> {
    let conn = Connection::open(path).unwrap();
    let mut found = conn
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c \
             WHERE t.type = 'table' AND t.name GLOB 'levi_*' AND t.name <> 'levi_schema'",
        )
        .unwrap();
    found.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// Puts the value into one row, that with the lowest one, whatever types and constraints the table has. Says whether it could.
fn put(path: &Path, table: &str, column: &str, value: &str) -> bool {
    let open = || {
        let conn = Connection::open(path).unwrap();
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        conn.execute_batch("PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON").unwrap();
        conn
    };
    let conn = open();
    let schema = "SELECT sql FROM sqlite_schema WHERE name = ?1";
    let strict: String = conn.query_row(schema, [table], |row| row.get(0)).unwrap();
    let change = "UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1";
    let lenient = strict.replace("STRICT, ", "").replace("STRICT", "").replace("NOT NULL", "");
    conn.execute(change, (table, lenient)).unwrap();
    drop(conn);
    let update = format!("UPDATE {table} SET {column} = {value}");
    let first = format!("WHERE {column} IS (SELECT {column} FROM {table} ORDER BY 1 LIMIT 1)");
    let changed = open().execute(&format!("{update} {first}"), []);
    open().execute(change, (table, strict)).unwrap();
    changed.is_ok_and(|rows| rows > 0)
}

/// Everything that is ever read, and a row that is written.
fn use_it(outbox: &mut SqliteOutbox) -> Result<usize, OutboxError> {
    outbox.commit(&[], &[row("new", 1)])?;
    let listed = outbox.list(None, 1_000)?;
    for row in &listed {
        outbox.row_state(row.id)?;
        let key = crate::model::RowKey { id: row.id, version: row.version };
        outbox.payloads(&[key], &mut |_, _, _| {})?;
    }
    for lane in due_for_ada(outbox) {
        outbox.heads(lane.lane, None, 100)?;
        outbox.rows_under_database_key(lane.lane, 100)?;
    }
    outbox.waiting(100)?;
    outbox.totals()?;
    outbox.held()?;
    outbox.held_bytes()?;
    outbox.user()?;
    outbox.writer()?;
    outbox.paused_until()?;
    outbox.lone_failures()?;
    outbox.parked_on_probes()?;
    outbox.pending_control_row(&LaneKey::Session("b".into()))?;
    outbox.parked_parents(100)?;
    outbox.parked_reason(&LaneKey::Session("b".into()))?;
    outbox.last_sequence_number(&"a".into())?;
    outbox.session_was_sent(&"a".into())?;
    Ok(listed.len())
}

#[test]
fn what_the_check_calls_sound_every_reader_reads_and_what_is_lost_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.db");
    filled(&sound);
    let rows = Inspector::open(&sound).unwrap().list(None, 1_000).unwrap().len();
    assert!(due(&SqliteOutbox::open(&sound, SqliteOptions::default()).unwrap(), 0).is_empty());
    let (mut tried, mut failures) = (0, Vec::new());
    for (table, column) in columns(&sound) {
        for value in VALUES {
            let path = folder.path().join("damaged.db");
            fs::copy(&sound, &path).unwrap();
            if put(&path, &table, &column, value) {
                tried += 1;
                let failure = failure_of(&path, rows);
                failures.extend(failure.map(|failure| format!("{table}.{column} = {value}: {failure}")));
            }
            for entry in fs::read_dir(folder.path()).unwrap() {
                let path = entry.unwrap().path();
                if !path.file_name().unwrap().to_string_lossy().starts_with("sound") {
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {tried}:\n{}", failures.len(), failures.join("\n"));
    assert!(tried > 200, "{tried}");
}

/// What goes wrong with the outbox at `path`, which had so many rows.
fn failure_of(path: &Path, rows: usize) -> Option<String> {
    let (mut outbox, report) = match SqliteOutbox::open_or_recover(path, SqliteOptions::default()) {
        Ok(opened) => opened,
        Err(error) => return Some(format!("it does not open: {error:?}")),
    };
    let listed = match use_it(&mut outbox) {
        Ok(listed) => listed,
        Err(error) => return Some(format!("it stops: {error:?}")),
    };
    let is_counted = |report: &RecoveryReport| report.lost != Some(0);
    if listed <= rows && !report.as_ref().is_some_and(is_counted) {
        return Some(format!("{listed} of {rows} rows and a new one: {report:?}"));
    }
    drop(outbox);
    let problems = Inspector::open(path).unwrap().problems().unwrap();
    (!problems.is_empty()).then(|| format!("{problems:?}"))
}
