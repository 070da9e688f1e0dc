//! What is known after a recovery beside the rows: what was sent, what a row may replace, the server's wait, the writer.

use std::fs;

use levi_types::Wall;
use rusqlite::Connection;

use super::recovery::{PAGE, damage, filled, pages_of, reopened};
use super::{acknowledge, due, messages, row, session};
use crate::model::{Change, NewRow, Overwrite};
use crate::sqlite::{SqliteOptions, SqliteOutbox};
use crate::store::OutboxStore;

/// The server had the sessions, so one that is missing there was deleted elsewhere.
#[test]
fn sessions_that_were_sent_are_known_after_a_recovery() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let sent: Vec<String> = (0..300).map(|number| format!("sent-{number}")).collect();
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    for id in &sent {
        outbox.commit(&[], &[row(id, 1)]).unwrap();
        let lane = due(&outbox, 1_000_000).into_iter().find(|lane| lane.key == messages(id)).unwrap();
        outbox.commit(&[acknowledge(&lane, vec![lane.heads[0].key])], &[]).unwrap();
    }
    outbox.commit(&[], &[session("sent-7").restoring()]).unwrap();
    drop(outbox);
    damage(&path, "levi_outbox", 5, 2);
    let (outbox, report) = reopened(&path);
    assert!(report.is_some());
    let known = |id: &String| outbox.session_was_sent(&id.as_str().into()).unwrap();
    let lost: Vec<&String> = sent.iter().filter(|id| !known(id)).collect();
    assert_eq!(lost, ["sent-7"]);
    assert!(!known(&"a".to_owned()), "never acknowledged");
}

/// Of a row that may have been sent, the server may have a newer text.
#[test]
fn a_recovered_row_replaces_what_it_might_and_one_that_may_be_gone_replaces_nothing() {
    let modes = |damaged_page: usize| {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
        outbox.commit(&[], &[NewRow { overwrite: Overwrite::Anything, ..row("a", 0) }]).unwrap();
        drop(outbox);
        damage(&path, "levi_outbox", damaged_page, 1);
        let (outbox, report) = reopened(&path);
        let lanes = due(&outbox, 9_000);
        let a = lanes.iter().find(|lane| lane.key == messages("a")).unwrap();
        ([a.heads[0].overwrite, a.heads[1].overwrite], report.unwrap().uncertain > 0)
    };
    assert_eq!(modes(5), ([Overwrite::Anything, Overwrite::OwnOnly], false));
    // Without the root of the table nothing says which of its pages are still in use.
    assert_eq!(modes(0), ([Overwrite::Nothing; 2], true));
}

/// A leaf page of another time names the overflow pages of a row that is gone, and a later row has them by now.
#[test]
fn a_row_that_is_gone_does_not_take_the_pages_of_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let long = |number, byte| NewRow { payload: vec![byte; 20_000], ..row("a", number) };
    let root = |table: &str| pages_of(&Connection::open(&path).unwrap(), table)[0];
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    outbox.commit(&[], &[long(1, 1)]).unwrap();
    drop(outbox);
    let before = fs::read(&path).unwrap();
    let leaf = (root("levi_outbox") - 1) * PAGE;

    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    let lane = due(&outbox, 9_000).remove(0);
    outbox.commit(&[acknowledge(&lane, vec![lane.heads[0].key])], &[]).unwrap();
    outbox.commit(&[], &[long(2, 2)]).unwrap();
    drop(outbox);
    let unused = (root("levi_discarded") - 1) * PAGE;
    let mut bytes = fs::read(&path).unwrap();
    bytes[unused..unused + PAGE].copy_from_slice(&before[leaf..leaf + PAGE]);
    fs::write(&path, bytes).unwrap();

    let (outbox, report) = reopened(&path);
    assert_eq!(report.unwrap().rows, 1);
    let lane = due(&outbox, 9_000).remove(0);
    assert_eq!(lane.heads[0].sequence_number, 2);
    let mut payload = Vec::new();
    outbox.payloads(&[lane.heads[0].key], &mut |_, _, bytes| payload.extend_from_slice(bytes)).unwrap();
    assert_eq!(payload, vec![2; 20_000]);
}

/// The writer's bytes tell the outbox's own earlier texts from those of others.
#[test]
fn the_servers_wait_and_the_writer_are_known_after_a_recovery() {
    for (table, page) in [("levi_outbox", 5), ("levi_lanes", 0), ("levi_outbox", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
        let (writer, until) = (outbox.writer().unwrap().unwrap(), Wall::from_millis(1_700_000_000_000));
        outbox.commit(&[Change::Pause { until }], &[]).unwrap();
        drop(outbox);
        damage(&path, table, page, 1);
        let (outbox, report) = reopened(&path);
        assert!(report.is_some());
        assert_eq!((outbox.writer().unwrap(), outbox.paused_until().unwrap()), (Some(writer), Some(until)));
    }
}
