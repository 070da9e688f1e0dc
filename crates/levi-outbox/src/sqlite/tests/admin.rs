//! Changes by an operator beside the owner.

use std::path::Path;

use levi_types::Wall;

use super::{repository, row, session};
use crate::error::OutboxError;
use crate::model::{LaneKey, RowId};
use crate::sqlite::repair_lock::RepairLock;
use crate::sqlite::{AdminCommand, AdminError, Inspector, OutboxAdmin, SqliteOptions, SqliteOutbox};
use crate::store::OutboxStore;

fn open(path: &Path) -> SqliteOutbox {
    SqliteOutbox::open(path, SqliteOptions::default()).unwrap()
}

fn id_of(outbox: &SqliteOutbox, lane: &LaneKey) -> RowId {
    outbox.list(None, 99).unwrap().into_iter().find(|row| row.lane == *lane).unwrap().id
}

#[test]
fn a_row_that_others_wait_for_is_refused_with_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    outbox.commit(&[], &[repository("r"), session("s"), row("s", 1), row("s", 2)]).unwrap();
    let (session_key, repository_key) = (LaneKey::Session("s".into()), LaneKey::Repository("r".into()));
    let (session, repository) = (id_of(&outbox, &session_key), id_of(&outbox, &repository_key));
    let mut admin = OutboxAdmin::open(&path).unwrap();
    let now = Wall::from_millis(5_000);

    for (row, lane, waiting) in [(session, &session_key, 2), (repository, &repository_key, 3)] {
        let refused = admin.commit(&[AdminCommand::RetryNow, AdminCommand::Discard(row)], now).unwrap_err();
        assert!(
            matches!(&refused, AdminError::RowsWait { row: r, lane: l, waiting: w } if (*r, l, *w) == (row, lane, waiting)),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(&format!("{waiting} other rows wait for it")), "{refused}");
    }
    let rows: Vec<RowId> = outbox.list(None, 99).unwrap().iter().map(|row| row.id).collect();
    assert_eq!(rows.len(), 4, "nothing was changed");

    // In an order in which each is possible, all at once.
    let discards: Vec<_> = rows.into_iter().rev().map(AdminCommand::Discard).collect();
    admin.commit(&discards, now).unwrap();
    assert_eq!(outbox.totals().unwrap(), crate::Totals::default());
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
}

#[test]
fn a_file_without_an_outbox_is_not_taken_for_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE note (text TEXT)").unwrap();
    let errors = [OutboxAdmin::open(&path).unwrap_err(), Inspector::open(&path).unwrap_err()];
    for error in errors {
        let OutboxError::CannotOpen { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.to_string(), "there is no outbox in this file yet");
    }
}

fn numbered(path: &Path) -> Vec<(RowId, i64)> {
    let rows = Inspector::open(path).unwrap().list(None, 999).unwrap();
    rows.into_iter().map(|row| (row.id, row.sequence_number)).collect()
}

/// What an operator changes while a repair copies the rows would be undone by it.
#[test]
fn a_change_and_a_repair_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    open(&path).commit(&[], &[row("s", 1), row("s", 2)]).unwrap();
    let (mut admin, now) = (OutboxAdmin::open(&path).unwrap(), Wall::from_millis(5_000));
    let (first, _) = numbered(&path)[0];
    let refused = |admin: &mut OutboxAdmin| {
        let refused = admin.commit(&[AdminCommand::Discard(first)], now).unwrap_err();
        assert!(matches!(refused, AdminError::UnderRepair { .. }), "{refused:?}");
    };
    let repair = RepairLock::exclusive(&path).unwrap();
    refused(&mut admin);
    drop(repair);
    // One that was interrupted after the fresh file was whole: the damaged one in its place is given up.
    let interrupted = folder.path().join("outbox.db.recovered");
    std::fs::write(&interrupted, b"").unwrap();
    refused(&mut admin);
    std::fs::remove_file(&interrupted).unwrap();
    admin.commit(&[AdminCommand::Discard(first)], now).unwrap();
    assert_eq!(numbered(&path).len(), 1);

    // The repair waits for the change.
    let change = RepairLock::shared(&path).unwrap().unwrap();
    std::thread::scope(|scope| {
        let repair = scope.spawn(|| SqliteOutbox::quarantine_and_recover(&path).unwrap());
        assert!(RepairLock::shared(&path).unwrap().is_some());
        drop(change);
        assert_eq!(repair.join().unwrap().rows, 1);
    });
}

#[cfg(unix)]
#[test]
fn the_owner_is_notified_of_every_commit() {
    use std::sync::mpsc;

    use super::{due, messages, reason};
    use crate::model::{Change, RowState};
    use crate::sqlite::notify::Listener;
    use crate::sqlite::{OwnerNotice, is_owned};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    outbox.commit(&[], &[row("a", 1)]).unwrap();
    let lane = due(&outbox, 1_000).remove(0);
    assert_eq!(lane.key, messages("a"));
    let (key, at) = (lane.heads[0].key, Wall::from_millis(2_000));
    outbox.commit(&[Change::Park { lane: lane.lane, row: key, reason: reason(), at }], &[]).unwrap();
    let mut admin = OutboxAdmin::open(&path).unwrap();
    assert_eq!(admin.commit(&[AdminCommand::RetryNow], at).unwrap(), OwnerNotice::NotListening);

    let (sender, receiver) = mpsc::channel();
    let listener = Listener::bind(&path, move || sender.send(()).unwrap()).unwrap();
    assert_eq!(admin.commit(&[AdminCommand::Unpark(key.id)], at).unwrap(), OwnerNotice::Notified);
    receiver.recv().unwrap();
    assert_eq!(outbox.row_state(key.id).unwrap(), RowState::Pending(key.version));

    drop(listener);
    assert!(is_owned(&path).unwrap());
    drop(outbox);
    assert!(!is_owned(&path).unwrap());
    assert_eq!(admin.commit(&[AdminCommand::RetryNow], at).unwrap(), OwnerNotice::NoOwner);
}
