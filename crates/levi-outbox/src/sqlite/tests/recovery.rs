//! Damaged files: quarantined unchanged, with the rows that can be read in a fresh outbox.

use std::fs;
use std::path::{Path, PathBuf};

use levi_types::Wall;
use rusqlite::Connection;

use super::{due, messages, reason, repository, row, session};
use crate::error::OutboxError;
use crate::model::{Change, NewRow, RecoveryReport};
use crate::sqlite::{Inspector, SqliteOptions, SqliteOutbox};
use crate::store::OutboxStore;

pub(super) const PAGE: usize = 4_096;

/// 400 pending messages in two sessions, one parked message, and two control rows; closed, so that
/// all of it is in the database.
pub(super) fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    fill(&mut outbox);
    path
}

fn fill(outbox: &mut SqliteOutbox) {
    let rows: Vec<NewRow> = (0..400)
        .map(|number| NewRow {
            payload: vec![1; 300],
            ..row(if number % 2 == 0 { "a" } else { "b" }, number)
        })
        .collect();
    outbox.commit(&[], &rows).unwrap();
    outbox.commit(&[], &[row("c", 1)]).unwrap();
    let lane = due(outbox, 1_000).into_iter().find(|lane| lane.key == messages("c")).unwrap();
    let at = Wall::from_millis(1_500);
    let park = Change::Park { lane: lane.lane, row: lane.heads[0].key, reason: reason(), at };
    outbox.commit(&[park], &[repository("r"), session("c")]).unwrap();
}

/// Overwrites `count` pages from the `first` one of a table or index on (0: its root).
pub(super) fn damage(path: &Path, name: &str, first: usize, count: usize) {
    let conn = Connection::open(path).unwrap();
    let pages: Vec<usize> = pages_of(&conn, name);
    drop(conn);
    let mut bytes = fs::read(path).unwrap();
    for page in &pages[first..first + count] {
        bytes[(page - 1) * PAGE..page * PAGE].fill(0xA5);
    }
    fs::write(path, bytes).unwrap();
}

/// The root of a table and then its leaves, read from the root's cells (two levels are enough for
/// these tests).
pub(super) fn pages_of(conn: &Connection, name: &str) -> Vec<usize> {
    let root: usize = conn
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap();
    let bytes = fs::read(conn.path().unwrap()).unwrap();
    let page = &bytes[(root - 1) * PAGE..root * PAGE];
    let number = |at: usize| u32::from_be_bytes(page[at..at + 4].try_into().unwrap()) as usize;
    let cells = u16::from_be_bytes([page[3], page[4]]) as usize;
    let mut pages = vec![root];
    // 5: an inner page of a table. 2: one of an index.
    if page[0] == 5 || page[0] == 2 {
        let cell = |n: usize| u16::from_be_bytes([page[12 + 2 * n], page[13 + 2 * n]]) as usize;
        pages.extend((0..cells).map(|n| number(cell(n))));
        pages.push(number(8));
    }
    pages
}

pub(super) fn reopened(path: &Path) -> (SqliteOutbox, Option<RecoveryReport>) {
    let (outbox, report) = SqliteOutbox::open_or_recover(path, SqliteOptions::default()).unwrap();
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
    (outbox, report)
}

fn in_order(outbox: &SqliteOutbox) -> bool {
    due(outbox, 9_000).iter().all(|lane| lane.heads.is_sorted_by_key(|head| head.sequence_number))
}

#[test]
fn a_sound_outbox_is_opened_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let (outbox, report) = reopened(&path);
    assert_eq!(report, None);
    assert_eq!(outbox.totals().unwrap().pending_rows, 400);
    assert_eq!(names(folder.path()), ["outbox.db", "outbox.db-shm", "outbox.db-wal", "outbox.db.lock"]);
}

#[test]
fn the_totals_say_what_was_lost_where_the_rows_cannot_be_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let last = pages_of(&Connection::open(&path).unwrap(), "levi_outbox").len() - 1;
    damage(&path, "levi_outbox", last, 1);
    damage(&path, "levi_outbox_place", 0, 1);

    let (_, report) = reopened(&path);
    let report = report.unwrap();
    assert!(report.lost.unwrap() > 0);
    assert_eq!(report.rows + report.control_rows + report.lost.unwrap(), 402, "{report}");
}

/// What is damaged is more than one gap, so that neither end alone leads to the rows between them.
#[test]
fn rows_between_two_damaged_pages_are_recovered_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    damage(&path, "levi_outbox", 5, 1);
    damage(&path, "levi_outbox", 15, 1);
    damage(&path, "levi_outbox_place", 0, 1);
    let (_, report) = reopened(&path);
    let report = report.unwrap();
    assert!((1..60).contains(&report.lost.unwrap()), "two pages of some ten rows each: {report}");
    assert_eq!(report.rows + report.control_rows + report.lost.unwrap(), 402, "{report}");
}

/// The ids of an old outbox are high, and no scan tries every number from 1.
#[test]
fn rows_with_high_ids_are_recovered_though_the_first_page_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    outbox.conn.execute("INSERT INTO sqlite_sequence VALUES ('levi_outbox', 50000000)", []).unwrap();
    fill(&mut outbox);
    drop(outbox);
    damage(&path, "levi_outbox", 1, 1);
    let (_, report) = reopened(&path);
    let report = report.unwrap();
    assert!((1..30).contains(&report.lost.unwrap()), "{report}");
}

/// One damaged page with the lanes' names would make every row unreadable.
#[test]
fn lanes_are_recovered_from_the_index_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    damage(&path, "levi_lanes", 0, 1);
    let (outbox, report) = reopened(&path);
    let report = report.unwrap();
    assert_eq!(
        (report.rows, report.parked, report.control_rows, report.lost),
        (400, 1, 2, Some(0)),
        "{report}"
    );
    assert_eq!(due(&outbox, 9_000).len(), 4, "session c is not blocked, because its repository is not known");
}

#[test]
fn a_damaged_outbox_of_the_previous_schema_is_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let path = super::migration::schema_2(folder.path(), super::migration::CONTENT);
    damage(&path, "levi_lanes_due", 0, 1);
    let (outbox, report) = reopened(&path);
    let report = report.unwrap();
    assert_eq!((report.rows, report.parked, report.control_rows), (3, 1, 4), "{report}");
    let parked = outbox.totals().unwrap().parked_control_rows;
    assert_eq!(parked, 1);
}

#[test]
fn rows_on_sound_pages_are_recovered_and_the_others_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    damage(&path, "levi_outbox", 5, 2);
    let damaged = fs::read(&path).unwrap();

    let (outbox, report) = reopened(&path);
    let report = report.unwrap();
    let totals = outbox.totals().unwrap();
    assert_eq!((report.rows, report.parked, report.control_rows), (totals.pending_rows, 1, 2));
    assert_eq!(report.rows + report.lost.unwrap(), 400, "{report}");
    assert!((1..60).contains(&report.lost.unwrap()), "two pages of some ten rows each: {report}");
    assert_eq!((totals.parked_rows, totals.control_rows), (1, 2));
    assert!(in_order(&outbox));
    assert_eq!(fs::read(&report.quarantined).unwrap(), damaged, "quarantined unchanged");
    drop(outbox);
    assert_eq!(reopened(&path).1, None, "and sound from then on");
}

/// Every page in turn: nothing but what was on it is missing, and the outbox opens.
#[test]
fn whichever_page_is_damaged_the_outbox_opens_and_the_report_adds_up() {
    let sound = tempfile::tempdir().unwrap();
    let original = fs::read(filled(sound.path())).unwrap();
    let pages = original.len() / PAGE;
    let mut whole = 0;
    for page in 0..pages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let mut bytes = original.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(&path, bytes).unwrap();
        let (outbox, report) = reopened(&path);
        let totals = outbox.totals().unwrap();
        let Some(report) = report else { panic!("page {page} of zeros was not noticed") };
        assert_eq!((totals.pending_rows, totals.parked_rows), (report.rows, report.parked), "page {page}");
        if let Some(lost) = report.lost {
            assert!(report.rows + report.parked + report.control_rows + lost >= 403, "page {page}: {report}");
        }
        whole += u64::from(report.lost == Some(0));
        assert!(in_order(&outbox), "page {page}");
    }
    assert!(whole > 3, "a damaged index or count costs no row");
}

#[test]
fn a_truncated_file_and_a_file_that_is_no_database_are_quarantined() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let whole = fs::read(&path).unwrap();
    let text = b"this was never a database\n".repeat(400);
    for (number, bytes) in [&whole[..whole.len() / 2], &whole[..100], text.as_slice()].into_iter().enumerate()
    {
        fs::write(&path, bytes).unwrap();
        let (outbox, report) = reopened(&path);
        let report = report.unwrap();
        assert_eq!(fs::read(&report.quarantined).unwrap(), bytes);
        assert!(report.quarantined.ends_with(format!("outbox.db.damaged-{}", number + 1)), "{report}");
        assert_eq!(outbox.totals().unwrap().pending_rows, report.rows);
    }
}

/// A disk that fails makes another one at each start.
#[test]
fn damaged_files_are_kept_up_to_a_bound_that_the_space_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    for number in 1..=6_u8 {
        fs::write(&path, [number; 1_000]).unwrap();
        fs::write(folder.path().join("outbox.db-wal"), [number; 10]).unwrap();
        drop(reopened(&path));
    }
    let kept = names(folder.path());
    let kept: Vec<&str> = kept.iter().filter_map(|name| name.strip_prefix("outbox.db.damaged-")).collect();
    assert_eq!(kept, ["3", "3-wal", "4", "4-wal", "5", "5-wal", "6", "6-wal"]);
    let outbox = reopened(&path).0;
    assert_eq!(outbox.space().unwrap().unwrap().quarantined_bytes, 4 * 1_010);
    assert_eq!(Inspector::open(&path).unwrap().space().unwrap().quarantined_bytes, 4 * 1_010);
}

/// A log that was left by a kill holds acknowledged rows that the database has not.
#[test]
fn what_is_only_in_the_log_is_recovered_too() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    let mut outbox = SqliteOutbox::open(&source, SqliteOptions::default()).unwrap();
    outbox.commit(&[], &[row("a", 1), row("a", 2)]).unwrap();
    let (database, log) =
        (fs::read(&source).unwrap(), fs::read(folder.path().join("source.db-wal")).unwrap());

    let path = folder.path().join("outbox.db");
    fs::write(&path, &database).unwrap();
    fs::write(folder.path().join("outbox.db-wal"), &log).unwrap();
    let report = SqliteOutbox::quarantine_and_recover(&path).unwrap();
    assert_eq!((report.rows, report.lost), (2, Some(0)));
    assert_eq!(fs::read(folder.path().join("outbox.db.damaged-1-wal")).unwrap(), log);
    assert_eq!(reopened(&path).0.totals().unwrap().pending_rows, 2);

    // An empty database beside a log: SQLite would remove the log as a leftover.
    fs::write(&path, b"").unwrap();
    fs::write(folder.path().join("outbox.db-wal"), &log).unwrap();
    let (_, report) = reopened(&path);
    assert_eq!(fs::read(folder.path().join("outbox.db.damaged-2-wal")).unwrap(), log, "{report:?}");
}

/// As a kill in the first minutes leaves it: all that was committed is in the log.
#[test]
fn a_new_outbox_that_was_killed_before_its_first_checkpoint_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    let mut outbox = SqliteOutbox::open(&source, SqliteOptions::default()).unwrap();
    outbox.commit(&[], &[row("a", 1), row("a", 2)]).unwrap();
    let path = folder.path().join("outbox.db");
    fs::copy(&source, &path).unwrap();
    fs::copy(folder.path().join("source.db-wal"), folder.path().join("outbox.db-wal")).unwrap();
    let (outbox, report) = reopened(&path);
    assert_eq!((report, outbox.totals().unwrap().pending_rows), (None, 2));
}

/// What the check costs follows from what it reads: most of it may be in the log.
#[test]
fn a_database_whose_log_is_large_is_not_checked_whole_at_each_open() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    let mut outbox = SqliteOutbox::open(&source, SqliteOptions::default()).unwrap();
    // Keeps the log from being moved into the database.
    let reader = Connection::open(&source).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM levi_outbox").unwrap();
    for number in 0..34 {
        outbox.commit(&[], &[NewRow { payload: vec![1; 1 << 20], ..row("a", number) }]).unwrap();
    }
    let writer = Connection::open(&source).unwrap();
    writer.execute("UPDATE levi_outbox SET bytes = bytes + 1 WHERE id = 1", []).unwrap();
    let path = folder.path().join("outbox.db");
    fs::copy(&source, &path).unwrap();
    fs::copy(folder.path().join("source.db-wal"), folder.path().join("outbox.db-wal")).unwrap();

    let (_, report) = SqliteOutbox::open_or_recover(&path, SqliteOptions::default()).unwrap();
    assert_eq!(report, None, "only a check of the whole file finds a row with a wrong length");
    let report = SqliteOutbox::repair(&path).unwrap().unwrap();
    assert_eq!((report.rows, report.parked), (33, 1), "{report}");
}

/// Killed between any two of its steps: the next opening has everything, from the old file or from
/// the fresh one.
#[test]
fn an_interrupted_recovery_is_begun_again_or_completed_by_the_next_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let leftover = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    // Before the point of no return: leftovers do no harm.
    leftover("outbox.db.reading", b"half a copy");
    leftover("outbox.db.reading-wal", b"half a copy");
    leftover("outbox.db.recovering", b"half an outbox");
    leftover("outbox.db.salvaging", b"half an outbox of a version before schema 3");
    damage(&path, "levi_outbox", 1, 1);
    let (outbox, report) = reopened(&path);
    let recovered = report.unwrap().rows;
    drop(outbox);

    // After it: the fresh one is whole, the old one still has its name, and its log is beside it.
    // Versions before schema 3 gave the fresh one another name.
    for name in ["outbox.db.recovered", "outbox.db.salvaged"] {
        fs::copy(&path, folder.path().join(name)).unwrap();
        leftover("outbox.db", &fs::read(folder.path().join("outbox.db.damaged-1")).unwrap());
        leftover("outbox.db-wal", b"the log of the old one");
        let outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
        assert_eq!(outbox.totals().unwrap().pending_rows, recovered);
    }
    let left: Vec<String> = names(folder.path()).into_iter().filter(|name| name.contains(".db.")).collect();
    assert!(
        !left.iter().any(|name| ["recover", "salvag", "reading"].iter().any(|part| name.contains(part))),
        "{left:?}"
    );
}

#[test]
fn damage_that_is_met_at_run_time_is_found_at_the_next_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    damage(&path, "levi_outbox", 3, 1);
    let outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    let read = outbox.list(None, 1_000);
    assert!(matches!(read, Err(OutboxError::Corrupt(_))), "{read:?}");
    drop(outbox);
    assert!(names(folder.path()).contains(&"outbox.db.suspect".to_owned()));
    let (_, report) = reopened(&path);
    assert!(report.is_some());
    assert!(!names(folder.path()).contains(&"outbox.db.suspect".to_owned()));
}

#[test]
fn what_is_owned_newer_or_not_there_is_not_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let missing = SqliteOutbox::quarantine_and_recover(&path);
    assert!(matches!(missing, Err(OutboxError::CannotOpen { .. })), "{missing:?}");
    let (outbox, report) = SqliteOutbox::open_or_recover(&path, SqliteOptions::default()).unwrap();
    assert_eq!(report, None, "a new outbox is nothing to report");
    let owned = SqliteOutbox::quarantine_and_recover(&path);
    assert!(matches!(owned, Err(OutboxError::Owned { .. })), "{owned:?}");
    drop(outbox);
    let conn = Connection::open(&path).unwrap();
    conn.execute("UPDATE levi_schema SET version = 99", []).unwrap();
    drop(conn);
    let newer = SqliteOutbox::open_or_recover(&path, SqliteOptions::default());
    assert!(matches!(newer, Err(OutboxError::NewerSchema { found: 99, .. })), "{newer:?}");
    assert!(!folder.path().join("outbox.db.damaged-1").exists());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
