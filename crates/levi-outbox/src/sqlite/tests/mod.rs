mod admin;
mod counts;
mod differential;
mod durable;
mod failures;
mod host;
mod identity;
mod migration;
mod other_tables;
mod plans;
mod recovered_facts;
mod recovery;
mod space;
mod wrong_values;

use levi_types::Wall;

use super::{SqliteOptions, SqliteOutbox};
use crate::conformance;
use crate::model::{Change, DueLane, Encryption, LaneKey, NewRow, Reason, RowKey};
use crate::store::{DueQuery, OutboxStore};

fn in_memory(max_pending_bytes: u64) -> SqliteOutbox {
    SqliteOutbox::in_memory(SqliteOptions { max_pending_bytes, ..SqliteOptions::default() }).unwrap()
}

pub(super) fn row(session: &str, number: i64) -> NewRow {
    NewRow::message(
        session.into(),
        number,
        format!("m{number}").into(),
        vec![7; 100],
        Encryption::SessionKey,
        Wall::from_millis(1_000),
    )
}

fn messages(session: &str) -> LaneKey {
    LaneKey::Messages(session.into())
}

/// The row of a session in repository `r`.
fn session(id: &str) -> NewRow {
    let parent = LaneKey::Repository("r".into());
    NewRow::control(LaneKey::Session(id.into()), Some(parent), vec![1, 2, 3], Wall::from_millis(1_000))
}

fn repository(id: &str) -> NewRow {
    NewRow::control(LaneKey::Repository(id.into()), None, vec![4, 5], Wall::from_millis(1_000))
}

fn reason() -> Reason {
    Reason { code: "503".into(), detail: "the server is busy".into() }
}

fn due(store: &dyn OutboxStore, now: i64) -> Vec<DueLane> {
    let query = DueQuery {
        user: None,
        now: Wall::from_millis(now),
        horizon: Wall::from_millis(now + 1_000_000),
        except: &[],
        max_lanes: 100,
        heads_per_lane: 100,
        max_heads: 1_000,
    };
    store.due(query).unwrap().lanes
}

fn acknowledge(lane: &DueLane, rows: Vec<RowKey>) -> Change {
    Change::Acknowledge { lane: lane.lane, rows, at: Wall::from_millis(2_000) }
}

#[test]
fn sqlite_passes_the_suite() {
    conformance::run(|max_pending_bytes| Box::new(in_memory(max_pending_bytes)));
}

#[test]
fn sqlite_on_disk_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    conformance::run(|max_pending_bytes| {
        made += 1;
        let path = folder.path().join(format!("{made}.db"));
        let options = SqliteOptions { max_pending_bytes, ..SqliteOptions::default() };
        Box::new(SqliteOutbox::open(path, options).unwrap())
    });
}
