mod counts;
mod durable;
mod failures;
mod host;
mod plans;
mod salvage;
mod twins;

use levi_types::Wall;

use super::{SqliteOptions, SqliteOutbox};
use crate::conformance;
use crate::model::{Change, DueLane, NewRow, Protection, Reason, RowKey};
use crate::store::{DueQuery, OutboxStore};

fn in_memory(max_pending_bytes: u64) -> SqliteOutbox {
    SqliteOutbox::in_memory(SqliteOptions { max_pending_bytes, ..SqliteOptions::default() }).unwrap()
}

fn row(session: &str, place: i64) -> NewRow {
    NewRow {
        session_id: session.into(),
        sequence_number: place,
        message_id: format!("m{place}").into(),
        payload: vec![7; 100],
        protection: Protection::Sealed,
        enqueued_at: Wall::from_millis(1_000),
    }
}

fn reason() -> Reason {
    Reason { code: "503".into(), detail: "the server is busy".into() }
}

fn due(store: &dyn OutboxStore, now: i64) -> Vec<DueLane> {
    let query = DueQuery {
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
