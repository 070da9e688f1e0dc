//! An operator's changes beside repairs of the outbox.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use levi_outbox::sqlite::{AdminCommand, Inspector, OutboxAdmin, SqliteOptions, SqliteOutbox};
use levi_outbox::{Change, Encryption, NewRow, OutboxStore as _, RowId};
use levi_types::Wall;

const NOW: Wall = Wall::from_millis(5_000);

fn filled(path: &Path, numbers: std::ops::RangeInclusive<i64>) -> SqliteOutbox {
    let mut outbox = SqliteOutbox::open(path, SqliteOptions::default()).unwrap();
    let row = |number: i64| {
        let id = number.to_string().as_str().into();
        NewRow::message("s".into(), number, id, b"{}".to_vec(), Encryption::SessionKey, NOW)
    };
    outbox.commit(&[], &numbers.map(row).collect::<Vec<_>>()).unwrap();
    outbox
}

fn numbered(path: &Path) -> Vec<(RowId, i64)> {
    let rows = Inspector::open(path).unwrap().list(None, 999).unwrap();
    rows.into_iter().map(|row| (row.id, row.sequence_number)).collect()
}

/// An operator discards a row while another process repairs the outbox, again and again.
#[cfg(unix)]
#[test]
fn no_repair_undoes_a_change() {
    const TIMES: i64 = 8;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    drop(filled(&path, 1..=TIMES));
    let begin = Barrier::new(2);
    let until = Instant::now() + Duration::from_secs(60);
    // What fails is said at the end, because each thread waits for the other one.
    let repairs = std::thread::scope(|scope| {
        let repair = || {
            begin.wait();
            SqliteOutbox::quarantine_and_recover(&path).map(drop)
        };
        let repairs = scope.spawn(move || (0..TIMES).map(|_| repair()).collect::<Vec<_>>());
        for number in 1..=TIMES {
            begin.wait();
            while !discards(&path, number) && Instant::now() < until {
                std::thread::yield_now();
            }
        }
        repairs.join().unwrap()
    });
    assert!(repairs.iter().all(Result::is_ok), "{repairs:?}");
    assert_eq!(numbered(&path), []);
}

/// Whether the row was discarded: the file may be replaced after each of these steps.
fn discards(path: &Path, number: i64) -> bool {
    let Ok(mut admin) = OutboxAdmin::open(path) else { return false };
    let found = Inspector::open(path).and_then(|outbox| outbox.list(None, 99)).unwrap_or_default();
    let Some(row) = found.iter().find(|row| row.sequence_number == number) else { return false };
    admin.commit(&[AdminCommand::Discard(row.id)], NOW).is_ok()
}

/// What an operator read before a repair names no other row after it.
#[test]
fn a_repair_gives_no_id_a_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = filled(&path, 1..=9);
    let before: Vec<RowId> = numbered(&path).into_iter().map(|(id, _)| id).collect();
    let discards: Vec<_> = before[5..].iter().map(|row| Change::Discard { row: *row }).collect();
    outbox.commit(&discards, &[]).unwrap();
    drop(outbox);
    assert_eq!(SqliteOutbox::quarantine_and_recover(&path).unwrap().rows, 5);
    let after = numbered(&path);
    assert_eq!(after.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(after.iter().all(|(id, _)| !before.contains(id)), "{before:?} and {after:?}");
    let mut admin = OutboxAdmin::open(&path).unwrap();
    admin.commit(&[AdminCommand::Discard(before[1])], NOW).unwrap();
    assert_eq!(numbered(&path), after);
}
