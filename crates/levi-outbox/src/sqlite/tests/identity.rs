//! Users on disk: older files, damaged ones, and other connections.

use std::path::{Path, PathBuf};

use levi_types::UserId;
use rusqlite::Connection;

use super::{acknowledge, due, in_memory, migration, row};
use crate::model::{Change, Enqueued, Held, NewRow, Overwrite};
use crate::sqlite::{Inspector, SqliteOptions, SqliteOutbox, enqueue_in};
use crate::store::{DueQuery, OutboxStore};

fn sign_in(outbox: &mut SqliteOutbox, user: &str) {
    outbox.commit(&[Change::SignedIn { user: user.into() }], &[]).unwrap();
}

fn due_for(outbox: &SqliteOutbox, user: &str) -> Vec<String> {
    let user: UserId = user.into();
    let now = levi_types::Wall::from_millis(9_000);
    let (max_lanes, heads_per_lane, max_heads) = (99, 99, 99);
    let query =
        DueQuery { user: Some(&user), now, horizon: now, except: &[], max_lanes, heads_per_lane, max_heads };
    outbox.due(query).unwrap().lanes.iter().map(|lane| lane.key.to_string()).collect()
}

fn open(path: &Path) -> SqliteOutbox {
    SqliteOutbox::open(path, SqliteOptions::default()).unwrap()
}

/// A file of schema 3, made by the statements of the version that wrote it: two sessions with
/// messages, a parked message, and a repository that session s waits for.
fn schema_3(folder: &Path) -> PathBuf {
    let path = migration::schema_2(folder, "");
    let older = Connection::open(&path).unwrap();
    older.execute_batch(include_str!("../schema-3.sql")).unwrap();
    older
        .execute_batch(
            "UPDATE levi_schema SET version = 3;
             INSERT INTO levi_lanes (lane, kind, subject, repository_id, blocked_by, attempts, due_at) VALUES
                 (1, 3, 's', NULL, 3, 3, 1000), (2, 3, 't', NULL, NULL, 0, 2000), (3, 1, 's', 'r', 4, 0, 1000),
                 (4, 0, 'r', NULL, NULL, 1, 1000);
             INSERT INTO levi_outbox (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) VALUES
                 (7, 1, 1, 1, 2, 0, 1000, 'm1', x'0102'), (8, 2, 2, 2, 2, 1, 1100, 'm2', x'0304'),
                 (9, 3, 0, 1, 1, 2, 1200, 'session', x'05'), (10, 4, 0, 1, 1, 2, 1200, 'repository', x'06');
             INSERT INTO levi_parked VALUES (6, 2, 1, 1, 3, 0, 900, 'm0', 950, '22P05', 'bad', x'070809');
             UPDATE levi_totals SET pending_rows = 2, pending_bytes = 6, parked_rows = 1, parked_bytes = 3,
                 control_rows = 2, lanes = 4;
             CREATE VIEW dangling AS SELECT * FROM a_table_that_was_dropped;",
        )
        .unwrap();
    path
}

#[test]
fn rows_of_an_older_file_are_the_first_users_and_nobody_elses_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = schema_3(folder.path());
    let mut outbox = open(&path);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
    assert_eq!((due_for(&outbox, "ada"), outbox.held().unwrap()), (vec![], vec![]));
    sign_in(&mut outbox, "ada");
    assert_eq!(due_for(&outbox, "ada"), ["repository/r", "messages/t"]);
    drop(outbox);
    // A restart as somebody else.
    let mut outbox = open(&path);
    sign_in(&mut outbox, "ben");
    assert_eq!(due_for(&outbox, "ben"), Vec::<String>::new());
    let held = Held { user_id: Some("ada".into()), pending: 4, messages: 2, parked: 1 };
    assert_eq!(outbox.held().unwrap(), std::slice::from_ref(&held));
    assert_eq!(Inspector::open(&path).unwrap().held().unwrap(), [held]);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
    let totals = outbox.totals().unwrap();
    assert_eq!((totals.pending_rows, totals.control_rows, totals.parked_rows), (2, 2, 1));
}

/// What a message may replace was kept in memory only by the versions before schema 5.
#[test]
fn rows_of_schema_4_replace_their_own_text_only_and_the_permission_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = schema_3(folder.path());
    let older = Connection::open(&path).unwrap();
    older.execute_batch(include_str!("../schema-4.sql")).unwrap();
    older.execute_batch("UPDATE levi_schema SET version = 4").unwrap();
    drop(older);
    let modes = |outbox: &SqliteOutbox| {
        let heads = due(outbox, 9_000).into_iter().flat_map(|lane| lane.heads);
        heads.map(|head| (head.key.id.0, head.overwrite)).collect::<Vec<_>>()
    };
    let mut outbox = open(&path);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
    assert_eq!(modes(&outbox), [(10, Overwrite::OwnOnly), (8, Overwrite::OwnOnly)]);
    outbox.commit(&[], &[NewRow { overwrite: Overwrite::Anything, ..row("t", 2) }]).unwrap();
    let gone = outbox.commit(&[], &[NewRow { overwrite: Overwrite::Anything, ..row("u", 1) }]).unwrap();
    let Enqueued::Stored { key, .. } = gone[0] else { panic!("{gone:?}") };
    outbox.commit(&[Change::Discard { row: key.id }], &[]).unwrap();
    drop(outbox);
    let outbox = open(&path);
    assert_eq!(modes(&outbox), [(10, Overwrite::OwnOnly), (8, Overwrite::Anything)]);
    let kept: i64 =
        outbox.conn.query_row("SELECT count(*) FROM levi_overwrites", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1, "a row that has left needs none");
}

#[test]
fn who_signed_in_last_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = open(&path);
    outbox.commit(&[], &[row("early", 1)]).unwrap();
    sign_in(&mut outbox, "ada");
    drop(outbox);
    let mut outbox = open(&path);
    outbox.commit(&[], &[row("late", 1)]).unwrap();
    assert_eq!(due_for(&outbox, "ada"), ["messages/early", "messages/late"]);
    let mut daemon = Connection::open(&path).unwrap();
    let transaction = daemon.transaction().unwrap();
    let bens = |session: &str, number| row(session, number).for_user(Some("ben".into()));
    let rows = [row("by-the-daemon", 1), bens("bens", 1), bens("late", 2)];
    let answers = enqueue_in(&transaction, &rows, u64::MAX).unwrap();
    transaction.commit().unwrap();
    assert_eq!(answers[2], Enqueued::OtherUser { user_id: Some("ada".into()) });
    assert_eq!(due_for(&outbox, "ada").len(), 3);
    assert_eq!(due_for(&outbox, "ben"), ["messages/bens"]);
}

/// The file in which ada's and ben's rows wait, and the one who signed in last is ben.
fn two_users(path: &Path) {
    let mut outbox = open(path);
    sign_in(&mut outbox, "ada");
    outbox.commit(&[], &[row("a", 1), row("a", 2)]).unwrap();
    sign_in(&mut outbox, "ben");
    outbox.commit(&[], &[row("b", 1)]).unwrap();
}

#[test]
fn a_recovered_outbox_knows_whose_rows_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    two_users(&path);
    SqliteOutbox::quarantine_and_recover(&path).unwrap();
    let mut outbox = open(&path);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
    assert_eq!(due_for(&outbox, "ben"), ["messages/b"]);
    assert_eq!(
        outbox.held().unwrap(),
        [Held { user_id: Some("ada".into()), pending: 2, messages: 2, parked: 0 }]
    );
    outbox.commit(&[], &[row("unnamed", 1)]).unwrap();
    assert_eq!(due_for(&outbox, "ben"), ["messages/b", "messages/unnamed"]);
}

#[test]
fn rows_whose_user_is_lost_are_sent_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    two_users(&path);
    Connection::open(&path).unwrap().execute_batch("DELETE FROM levi_users").unwrap();
    SqliteOutbox::quarantine_and_recover(&path).unwrap();
    let mut outbox = open(&path);
    for user in ["ada", "ben", "cleo"] {
        sign_in(&mut outbox, user);
        assert_eq!(due_for(&outbox, user), Vec::<String>::new());
    }
    let held = outbox.held().unwrap();
    assert_eq!(held.iter().map(|held| held.pending).collect::<Vec<_>>(), [3], "they are listed");
}

/// In a file of one user the user of a lane follows, though only the index of lanes can be read.
#[test]
fn a_lane_of_which_only_the_name_is_known_is_the_only_users() {
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("outbox.sqlite");
    let mut outbox = open(&path);
    sign_in(&mut outbox, "ada");
    drop(outbox);
    let users = crate::sqlite::recovery::users(&path).unwrap();
    assert_eq!(users.of_lane(None), Some("ada".into()));
    assert_eq!(users.of_lane(Some(0)), Some("ada".into()), "as before the first sign-in, which took it over");
}

/// A page of lanes that is older than the others says that ada's lane is nobody's.
#[test]
fn a_lane_of_nobody_in_a_file_of_two_users_is_not_the_last_ones() {
    const PAGE: usize = 4_096;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = open(&path);
    outbox.commit(&[], &[row("a", 1), row("a", 2)]).unwrap();
    drop(outbox);
    let before = std::fs::read(&path).unwrap();
    two_users_after(&path);
    let root: usize = Connection::open(&path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'levi_lanes'", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
        .try_into()
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let page = (root - 1) * PAGE..root * PAGE;
    bytes[page.clone()].copy_from_slice(&before[page]);
    std::fs::write(&path, bytes).unwrap();

    let (mut outbox, report) = SqliteOutbox::open_or_recover(&path, SqliteOptions::default()).unwrap();
    assert_eq!(report.map(|report| report.rows), Some(3));
    for user in ["ben", "ada", "cleo"] {
        sign_in(&mut outbox, user);
        assert_eq!(due_for(&outbox, user), Vec::<String>::new());
    }
    assert_eq!(outbox.held().unwrap().iter().map(|held| held.pending).collect::<Vec<_>>(), [3]);
}

/// Ada, who signs in first, and then ben, with a row.
fn two_users_after(path: &Path) {
    let mut outbox = open(path);
    sign_in(&mut outbox, "ada");
    sign_in(&mut outbox, "ben");
    outbox.commit(&[], &[row("b", 1)]).unwrap();
}

#[test]
fn the_lanes_of_others_take_no_place_in_what_is_due() {
    let mut outbox = in_memory(u64::MAX);
    sign_in(&mut outbox, "ada");
    let rows: Vec<_> = (0..200).map(|number| row(&format!("a{number}"), 1)).collect();
    outbox.commit(&[], &rows).unwrap();
    sign_in(&mut outbox, "ben");
    outbox.commit(&[], &[row("b", 1)]).unwrap();
    let now = levi_types::Wall::from_millis(9_000);
    let ben = "ben".into();
    let query = DueQuery {
        user: Some(&ben),
        now,
        horizon: now,
        except: &[],
        max_lanes: 1,
        heads_per_lane: 9,
        max_heads: 9,
    };
    let due = outbox.due(query).unwrap();
    assert_eq!((due.lanes.len(), due.more), (1, false));
    let lane = &due.lanes[0];
    outbox.commit(&[acknowledge(lane, vec![lane.heads[0].key])], &[]).unwrap();
    assert_eq!(due_for(&outbox, "ben"), Vec::<String>::new());
}
