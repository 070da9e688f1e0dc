//! SQLite compared with memory: the same commands, the same answers, the same state.

use std::sync::LazyLock;

use levi_types::{UserId, Wall};
use proptest::prelude::*;

use super::in_memory;
use crate::memory::MemoryOutbox;
use crate::model::{
    Change, Encryption, LaneId, LaneKey, NewRow, Reason, RowId, RowKey, SyncedText, TextDigest, TextDigests,
};
use crate::store::{DueQuery, OutboxStore};

// Small numbers everywhere, so that commands touch the same rows, lanes, sequence numbers and
// bounds.
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

fn lane_key() -> impl Strategy<Value = LaneKey> {
    prop_oneof![
        3 => session().prop_map(LaneKey::Messages),
        1 => session().prop_map(LaneKey::Secret),
        2 => session().prop_map(LaneKey::Session),
        1 => repository(),
    ]
}

fn repository() -> impl Strategy<Value = LaneKey> {
    prop::sample::select(vec!["a", "r"]).prop_map(|id| LaneKey::Repository(id.into()))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..16)
}

fn reason() -> impl Strategy<Value = Reason> {
    "[0-9]{3}".prop_map(|code| Reason { detail: format!("about {code}"), code })
}

fn encryption() -> impl Strategy<Value = Encryption> {
    prop::sample::select(vec![Encryption::SessionKey, Encryption::DatabaseKey])
}

fn message() -> impl Strategy<Value = NewRow> {
    (session(), 0..5_i64, prop::bool::weighted(0.1), payload(), encryption(), wall(), texts()).prop_map(
        |(session_id, number, stranger, payload, encryption, enqueued_at, texts)| {
            let id = if stranger { "stranger".into() } else { format!("m{number}").into() };
            let row = NewRow::message(session_id, number, id, payload, encryption, enqueued_at);
            NewRow { texts, ..row }
        },
    )
}

fn digest() -> impl Strategy<Value = TextDigest> {
    (0..2_u8).prop_map(|text| TextDigest([text; 8]))
}

fn texts() -> impl Strategy<Value = TextDigests> {
    prop::option::of(digest()).prop_map(|own| TextDigests { own, other_form: None })
}

fn synced() -> impl Strategy<Value = SyncedText> {
    (0..5_i64, digest()).prop_map(|(sequence_number, digest)| SyncedText { sequence_number, digest })
}

fn control_row() -> impl Strategy<Value = NewRow> {
    let key = lane_key().prop_filter("a lane of control rows", |key| key.kind().is_control());
    (key, prop::option::of(repository()), payload(), wall())
        .prop_map(|(key, parent, payload, at)| NewRow::control(key, parent, payload, at))
}

fn user() -> impl Strategy<Value = UserId> {
    prop::sample::select(vec!["ada", "ben"]).prop_map(UserId::from)
}

fn new_row() -> impl Strategy<Value = NewRow> {
    let row = prop_oneof![2 => message(), 1 => control_row()];
    (row, prop::option::weighted(0.3, user())).prop_map(|(row, user)| row.for_user(user))
}

fn change() -> impl Strategy<Value = Change> {
    let attempts = 0..9_u32;
    prop_oneof![
        1 => user().prop_map(|user| Change::SignedIn { user }),
        4 => (lane(), prop::collection::vec(key(), 0..5), wall())
            .prop_map(|(lane, rows, at)| Change::Acknowledge { lane, rows, at }),
        3 => (lane(), wall(), attempts, reason())
            .prop_map(|(lane, due_at, attempts, reason)| Change::Defer { lane, due_at, attempts, reason }),
        4 => (lane(), key(), reason(), wall())
            .prop_map(|(lane, row, reason, at)| Change::Park { lane, row, reason, at }),
        1 => (key(), payload()).prop_map(|(row, payload)| Change::Reseal { row, payload }),
        1 => wall().prop_map(|at| Change::RetryNow { at }),
        1 => (lane_key(), wall()).prop_map(|(lane, at)| Change::RetryLane { lane, at }),
        3 => (prop::option::weighted(0.5, user()), session(), prop::collection::vec(synced(), 0..4))
            .prop_map(|(user, session, texts)| Change::NoteSynced { user, session, texts }),
        2 => control_row().prop_map(Change::Ensure),
        2 => (key(), wall()).prop_map(|(key, at)| Change::Unpark { row: key.id, at }),
        2 => key().prop_map(|key| Change::Discard { row: key.id }),
    ]
}

fn commit() -> impl Strategy<Value = (Vec<Change>, Vec<NewRow>)> {
    (prop::collection::vec(change(), 0..4), prop::collection::vec(new_row(), 0..4))
}

fn queries() -> Vec<DueQuery<'static>> {
    const EXCEPT: &[LaneId] = &[LaneId(1), LaneId(3)];
    static ADA: LazyLock<UserId> = LazyLock::new(|| "ada".into());
    static BEN: LazyLock<UserId> = LazyLock::new(|| "ben".into());
    let query = |now, horizon, except, max_lanes, heads_per_lane, max_heads| DueQuery {
        user: Some(&ADA),
        now: Wall::from_millis(now),
        horizon: Wall::from_millis(horizon),
        except,
        max_lanes,
        heads_per_lane,
        max_heads,
    };
    vec![
        DueQuery { user: None, ..query(20, 100, &[][..], 9, 9, 9) },
        DueQuery { user: Some(&BEN), ..query(20, 100, &[], 9, 9, 9) },
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
    let lanes: Vec<_> = (1..=LANES).map(LaneId).collect();
    let heads: Vec<_> = lanes.iter().map(|lane| store.heads(*lane, Some(1), 2).unwrap()).collect();
    let to_reseal: Vec<_> =
        lanes.iter().map(|lane| store.rows_under_database_key(*lane, 3).unwrap()).collect();
    let rows: Vec<_> = (1..=ROWS).map(|id| store.row_state(RowId(id)).unwrap()).collect();
    let lists = [store.list(None, 99).unwrap(), store.list(Some(RowId(3)), 2).unwrap()];
    let payloads: Vec<_> = (1..=3).map(|version| payloads(store, version)).collect();
    let totals = (store.totals().unwrap(), store.held().unwrap());
    format!("{due:#?}\n{heads:#?}\n{to_reseal:?}\n{rows:?}\n{lists:#?}\n{payloads:?}\n{totals:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_and_memory_agree(commits in prop::collection::vec(commit(), 1..24)) {
        let mut sqlite = in_memory(LIMIT);
        let mut memory = MemoryOutbox::new(LIMIT);
        for (changes, rows) in &commits {
            let answers = sqlite.commit(changes, rows).unwrap();
            prop_assert_eq!(answers, memory.commit(changes, rows).unwrap());
            if let Some(known) = sqlite.totals_as_committed() {
                prop_assert_eq!(known, memory.totals().unwrap());
            }
            let (disk, plain) = (view(&sqlite), view(&memory));
            prop_assert!(disk == plain, "sqlite:\n{}\nmemory:\n{}", disk, plain);
            // As another connection reads them.
            prop_assert_eq!(crate::sqlite::counters::CachedCounters::read_totals(&mut None, &sqlite.conn).unwrap(), memory.totals().unwrap());
            prop_assert_eq!(sqlite.problems().unwrap(), Vec::<String>::new());
        }
    }
}
