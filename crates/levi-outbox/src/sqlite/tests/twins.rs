//! SQLite and memory side by side: the same commands, the same answers, the same state.

use levi_types::Wall;
use proptest::prelude::*;

use super::in_memory;
use crate::memory::MemoryOutbox;
use crate::model::{Change, LaneId, NewRow, NewTask, Protection, Reason, RowId, RowKey};
use crate::store::{DueQuery, OutboxStore};

// Small numbers everywhere, so that commands meet one another's rows, lanes, places and bounds.
const LIMIT: u64 = 60;
const LANES: i64 = 8;
const ROWS: i64 = 16;

fn wall() -> impl Strategy<Value = Wall> {
    (0..40_i64).prop_map(Wall::from_millis)
}

fn lane() -> impl Strategy<Value = LaneId> {
    prop_oneof![3 => 1..=3_i64, 1 => 4..=LANES].prop_map(LaneId)
}

fn key() -> impl Strategy<Value = RowKey> {
    let id = prop_oneof![3 => 1..=6_i64, 1 => 7..=ROWS];
    let version = prop_oneof![3 => Just(1_u32), 1 => 2..=3_u32];
    (id, version).prop_map(|(id, version)| RowKey { id: RowId(id), version })
}

fn session() -> impl Strategy<Value = levi_types::SessionId> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(levi_types::SessionId::from)
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..16)
}

fn reason() -> impl Strategy<Value = Reason> {
    "[0-9]{3}".prop_map(|code| Reason { detail: format!("about {code}"), code })
}

fn protection() -> impl Strategy<Value = Protection> {
    prop::sample::select(vec![Protection::Sealed, Protection::AtRest])
}

fn new_row() -> impl Strategy<Value = NewRow> {
    (session(), 0..5_i64, prop::bool::weighted(0.1), payload(), protection(), wall()).prop_map(
        |(session_id, sequence_number, stranger, payload, protection, enqueued_at)| NewRow {
            session_id,
            sequence_number,
            message_id: if stranger { "stranger".into() } else { format!("m{sequence_number}").into() },
            payload,
            protection,
            enqueued_at,
        },
    )
}

fn name() -> impl Strategy<Value = String> {
    "[t-w]".prop_map(String::from)
}

fn new_task() -> impl Strategy<Value = NewTask> {
    (name(), prop::option::of(name()), prop::option::of(session()), payload(), wall())
        .prop_map(|(name, parent, holds, payload, at)| NewTask { name, parent, holds, payload, at })
}

fn row_change() -> impl Strategy<Value = Change> {
    let attempts = 0..9_u32;
    prop_oneof![
        4 => (lane(), prop::collection::vec(key(), 0..5), wall())
            .prop_map(|(lane, rows, at)| Change::Acknowledge { lane, rows, at }),
        3 => (lane(), wall(), attempts, reason())
            .prop_map(|(lane, due_at, attempts, reason)| Change::Defer { lane, due_at, attempts, reason }),
        4 => (lane(), key(), reason(), wall())
            .prop_map(|(lane, row, reason, at)| Change::Park { lane, row, reason, at }),
        1 => (key(), payload()).prop_map(|(row, payload)| Change::Reseal { row, payload }),
        1 => wall().prop_map(|at| Change::RetryNow { at }),
        1 => (session(), wall()).prop_map(|(session_id, at)| Change::RetrySession { session_id, at }),
        2 => (key(), wall()).prop_map(|(key, at)| Change::Unpark { row: key.id, at }),
        2 => key().prop_map(|key| Change::Discard { row: key.id }),
    ]
}

fn task_change() -> impl Strategy<Value = Change> {
    let version = || 1..=3_u32;
    prop_oneof![
        3 => new_task().prop_map(Change::PutTask),
        2 => new_task().prop_map(Change::EnsureTask),
        1 => (name(), wall()).prop_map(|(name, at)| Change::UnparkTask { name, at }),
        1 => name().prop_map(|name| Change::DiscardTask { name }),
        2 => (name(), version()).prop_map(|(name, version)| Change::FinishTask { name, version }),
        1 => (name(), version(), wall(), 0..9_u32, reason()).prop_map(
            |(name, version, due_at, attempts, reason)| Change::DeferTask {
                name, version, due_at, attempts, reason
            }
        ),
        1 => (name(), version(), reason())
            .prop_map(|(name, version, reason)| Change::ParkTask { name, version, reason }),
    ]
}

fn commit() -> impl Strategy<Value = (Vec<Change>, Vec<NewRow>)> {
    let change = prop_oneof![3 => row_change(), 1 => task_change()];
    (prop::collection::vec(change, 0..4), prop::collection::vec(new_row(), 0..4))
}

fn queries() -> Vec<DueQuery<'static>> {
    const EXCEPT: &[LaneId] = &[LaneId(1), LaneId(3)];
    let query = |now, horizon, except, max_lanes, heads_per_lane, max_heads| DueQuery {
        now: Wall::from_millis(now),
        horizon: Wall::from_millis(horizon),
        except,
        max_lanes,
        heads_per_lane,
        max_heads,
    };
    vec![
        query(0, 100, &[][..], 9, 9, 9),
        query(20, 100, &[], 9, 2, 99),
        query(20, 30, &[], 2, 9, 3),
        query(15, 25, EXCEPT, 9, 1, 9),
        query(40, 10, &[], 9, 9, 2),
    ]
}

fn payloads(store: &dyn OutboxStore, version: u32) -> Vec<(RowKey, String, Vec<u8>)> {
    let keys: Vec<_> = (1..=ROWS).map(|id| RowKey { id: RowId(id), version }).collect();
    let mut seen = Vec::new();
    let mut sink = |key: RowKey, id: &str, payload: &[u8]| seen.push((key, id.to_owned(), payload.to_vec()));
    store.payloads(&keys, &mut sink).unwrap();
    seen
}

/// Everything that can be asked of a store.
fn view(store: &dyn OutboxStore) -> String {
    let due: Vec<_> = queries().into_iter().map(|query| store.due(query).unwrap()).collect();
    let tasks: Vec<_> = [(0, 100, 9), (20, 30, 9), (20, 100, 2)]
        .map(|(now, horizon, limit)| {
            store.due_tasks(Wall::from_millis(now), Wall::from_millis(horizon), limit).unwrap()
        })
        .into();
    let lanes: Vec<_> = (1..=LANES).map(LaneId).collect();
    let heads: Vec<_> = lanes.iter().map(|lane| store.heads(*lane, Some(1), 2).unwrap()).collect();
    let at_rest: Vec<_> = lanes.iter().map(|lane| store.at_rest(*lane, 3).unwrap()).collect();
    let rows: Vec<_> = (1..=ROWS).map(|id| store.row_state(RowId(id)).unwrap()).collect();
    let lists = [store.list(None, 99).unwrap(), store.list(Some(RowId(3)), 2).unwrap()];
    let payloads: Vec<_> = (1..=3).map(|version| payloads(store, version)).collect();
    format!(
        "{due:#?}\n{tasks:#?}\n{heads:#?}\n{at_rest:?}\n{rows:?}\n{lists:#?}\n{payloads:?}\n{:#?}\n{:#?}",
        store.tasks(99).unwrap(),
        store.totals().unwrap()
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_and_memory_are_one(commits in prop::collection::vec(commit(), 1..24)) {
        let mut sqlite = in_memory(LIMIT);
        let mut memory = MemoryOutbox::new(LIMIT);
        for (changes, rows) in &commits {
            let answers = sqlite.commit(changes, rows).unwrap();
            prop_assert_eq!(answers, memory.commit(changes, rows).unwrap());
            if let Some(at_hand) = sqlite.totals_as_committed() {
                prop_assert_eq!(at_hand, memory.totals().unwrap());
            }
            let (disk, plain) = (view(&sqlite), view(&memory));
            prop_assert!(disk == plain, "sqlite:\n{}\nmemory:\n{}", disk, plain);
            // As somebody sees it who opens the file now, and does not know the counts.
            prop_assert_eq!(crate::sqlite::ledger::Known::read_totals(&mut None, &sqlite.conn).unwrap(), memory.totals().unwrap());
            prop_assert_eq!(sqlite.problems().unwrap(), Vec::<String>::new());
        }
    }
}
