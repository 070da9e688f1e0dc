//! Counts and lists.

use super::fixture::{Shorthand, at, repository, row, session, sign_in};
use super::list_cases;
use crate::model::{LaneId, LaneKey, NewRow, RowId, RowState, Totals};
use crate::store::OutboxStore;

list_cases![
    an_empty_outbox_has_nothing,
    totals_follow_every_change,
    lists_are_paged_by_id_whatever_the_state,
    lanes_with_rows_say_why_they_wait,
];

fn an_empty_outbox_has_nothing(store: &mut dyn OutboxStore) {
    let due = store.due_at(0);
    assert!(due.lanes.is_empty() && !due.more && due.next_due.is_none());
    assert_eq!(store.totals().ok(), Some(Totals::default()));
    assert_eq!(store.list(None, 9).ok(), Some(vec![]));
    assert_eq!(store.row_state(RowId(1)).ok(), Some(RowState::Gone));
    assert_eq!(store.heads(LaneId(1), None, 9).ok(), Some(vec![]));
    assert_eq!(store.rows_under_database_key(LaneId(1), 9).ok(), Some(vec![]));
    assert_eq!(store.commit(&[], &[]).ok(), Some(vec![]));
}

fn lanes_with_rows_say_why_they_wait(store: &mut dyn OutboxStore) {
    store.store(row("a", 1));
    store.store(row("a", 2));
    store.defer(store.lane("a"), 30, 4);
    store.store(session("s", "r"));
    store.store(repository("r"));
    store.store(row("s", 1));
    store.park_first(&LaneKey::Repository("r".into()), "23505");
    sign_in(store, "ben");
    store.store(row("b", 1));
    let waiting = store.waiting(9).expect("what waits can be read");
    let shown: Vec<_> = waiting
        .iter()
        .map(|lane| {
            let code = lane.reason.as_ref().map(|reason| reason.code.as_str());
            let parent = lane.blocked_by.as_ref().map(ToString::to_string);
            (lane.key.to_string(), lane.held, lane.attempts, lane.due_at, parent, code)
        })
        .collect();
    let named = |lane: &str| lane.to_owned();
    let parent = |lane: &str| Some(named(lane));
    let expected = [
        (named("messages/a"), true, 4, Some(at(30)), None, Some("503")),
        (named("session/s"), true, 0, None, parent("repository/r"), Some("23505")),
        (named("messages/s"), true, 0, None, parent("session/s"), Some("23505")),
        (named("messages/b"), false, 0, Some(at(0)), None, None),
    ];
    assert_eq!(shown, expected);
    assert_eq!(store.waiting(1).map(|lanes| lanes.len()).ok(), Some(1));
}

fn totals_follow_every_change(store: &mut dyn OutboxStore) {
    let totals = |store: &dyn OutboxStore| {
        let known = store.totals_as_committed();
        let totals = store.totals().ok();
        assert!(known.is_none() || known == totals, "{known:?} is not {totals:?}");
        totals
    };
    let first = store.store(NewRow { enqueued_at: at(5), ..row("a", 1) });
    let second = store.store(NewRow { enqueued_at: at(3), ..row("a", 2) });
    let third = store.store(NewRow { payload: vec![0; 10], enqueued_at: at(7), ..row("b", 1) });
    let full =
        Totals { pending_rows: 3, pending_bytes: 16, lanes: 2, oldest: Some(at(5)), ..Totals::default() };
    assert_eq!(totals(store), Some(full));
    let a = store.lane_due_at("a", 9).expect("the lane is due").lane;
    store.park(a, first, 9);
    let parked = Totals {
        pending_rows: 2,
        pending_bytes: 13,
        parked_rows: 1,
        parked_bytes: 3,
        oldest: Some(at(3)),
        ..full
    };
    assert_eq!(totals(store), Some(parked));
    store.acknowledge(a, &[second], 9);
    let left = Totals { pending_rows: 1, pending_bytes: 10, lanes: 1, oldest: Some(at(7)), ..parked };
    assert_eq!(totals(store), Some(left));
    store.change(crate::Change::Discard { row: third.id });
    store.change(crate::Change::Discard { row: first.id });
    assert_eq!(totals(store), Some(Totals::default()));
}

fn lists_are_paged_by_id_whatever_the_state(store: &mut dyn OutboxStore) {
    let keys: Vec<_> = (1..=5).map(|number| store.store(row("a", number))).collect();
    let lane = store.lane("a");
    store.park(lane, keys[1], 1);
    store.park(lane, keys[3], 1);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(after, 2).expect("rows can be listed");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|row| (row.id, row.version, row.parked)));
    }
    let expected: Vec<_> =
        keys.iter().enumerate().map(|(at, key)| (key.id, key.version, at == 1 || at == 3)).collect();
    assert_eq!(seen, expected);
}
