//! What is due, and when.

use super::fixture::{Shorthand, at, everything, messages, reason, row, subjects};
use super::list_cases;
use crate::model::{Change, LaneId, NewRow, RowKey};
use crate::store::{DueQuery, OutboxStore};

list_cases![
    the_longest_waiting_lane_comes_first,
    an_acknowledged_lane_goes_behind_the_others,
    a_deferred_lane_waits_and_says_when,
    a_deferred_lane_beyond_the_horizon_is_due,
    limits_cut_the_answer_and_say_so,
    everything_is_retried_at_once,
    one_lane_is_retried_at_once,
    the_pause_is_the_last_one_that_was_stored,
    discarding_the_first_row_forgets_its_attempts,
    an_answer_for_a_discarded_row_finds_its_lane_in_order,
];

/// One that was stored while the clock was ahead can be put right. "Now" does not end what a server
/// asked for.
fn the_pause_is_the_last_one_that_was_stored(store: &mut dyn OutboxStore) {
    for until in [60, 5, 90] {
        store.change(Change::Pause { until: at(until) });
        store.change(Change::RetryNow { at: at(1) });
        assert_eq!(store.paused_until().ok(), Some(Some(at(until))));
    }
}

fn the_longest_waiting_lane_comes_first(store: &mut dyn OutboxStore) {
    for (session, seconds) in [("late", 9), ("early", 1), ("middle", 5)] {
        store.store(NewRow { enqueued_at: at(seconds), ..row(session, 1) });
    }
    assert_eq!(subjects(&store.due_at(9)), ["early", "middle", "late"]);
    let due = store.due_at(4);
    assert_eq!((subjects(&due), due.next_due), (vec!["early"], Some(at(5))));
}

fn an_acknowledged_lane_goes_behind_the_others(store: &mut dyn OutboxStore) {
    let first = store.store(row("a", 1));
    store.store(row("a", 2));
    store.store(NewRow { enqueued_at: at(1), ..row("b", 1) });
    store.acknowledge(store.lane("a"), &[first], 2);
    assert_eq!(subjects(&store.due_at(2)), ["b", "a"]);
}

fn a_deferred_lane_waits_and_says_when(store: &mut dyn OutboxStore) {
    let first = store.store(row("a", 1));
    let lane = store.lane("a");
    store.defer(lane, 30, 4);
    store.store(row("a", 2));
    store.store(row("b", 1));
    let due = store.due_at(29);
    assert_eq!((subjects(&due), due.next_due), (vec!["b"], Some(at(30))), "a new row does not wake a lane");
    let listed = store.list(None, 1).expect("rows can be listed").remove(0);
    assert_eq!((listed.attempts, listed.due_at, listed.reason), (4, Some(at(30)), Some(reason("503"))));

    let again = store.lane_due_at("a", 30).expect("the lane is due again");
    assert_eq!((again.attempts, again.heads.len()), (4, 2));
    store.acknowledge(lane, &[first], 31);
    assert_eq!(store.lane_due_at("a", 31).map(|lane| lane.attempts), Some(0), "success forgets the attempts");
    let listed = store.list(Some(first.id), 1).expect("rows can be listed").remove(0);
    assert_eq!(listed.reason, None);
}

fn a_deferred_lane_beyond_the_horizon_is_due(store: &mut dyn OutboxStore) {
    store.store(row("a", 1));
    store.store(row("b", 1));
    store.store(row("c", 1));
    let (a, b) = (store.lane("a"), store.lane("b"));
    store.defer(a, 86_400, 1);
    store.defer(b, 3_600, 1);
    let due = store.due_at(0);
    assert_eq!(subjects(&due), ["c", "a"], "the clock jumped back by a day since it was written");
    assert_eq!(due.next_due, Some(at(3_600)));
    let confused = DueQuery { horizon: at(-5), ..everything(0) };
    assert_eq!(
        store.due(confused).map(|due| due.lanes.len()).ok(),
        Some(3),
        "a horizon in the past makes everything due, once"
    );
}

fn limits_cut_the_answer_and_say_so(store: &mut dyn OutboxStore) {
    for session in ["a", "b", "c"] {
        for number in 1..=3 {
            store.store(row(session, number));
        }
    }
    let all = store.due_at(0);
    assert!(!all.more);
    let ids: Vec<LaneId> = all.lanes.iter().map(|lane| lane.lane).collect();
    // max_lanes, heads_per_lane, max_heads, except; lanes, heads of the first lane, more
    let table: [(_, _, _, &[LaneId], _, _, _); 7] = [
        (2, 9, 99, &[], 2, Some(3), true),
        (3, 9, 99, &[], 3, Some(3), false),
        (9, 2, 99, &[], 3, Some(2), false),
        (9, 2, 4, &[], 2, Some(2), true),
        (9, 9, 4, &[], 2, Some(3), true),
        (9, 9, 9, &ids[..1], 2, Some(3), false),
        (0, 9, 9, &ids, 0, None, false),
    ];
    for (max_lanes, heads_per_lane, max_heads, except, lanes, heads, more) in table {
        let query = DueQuery { except, max_lanes, heads_per_lane, max_heads, ..everything(0) };
        let due = store.due(query).expect("what is due can be read");
        let first = due.lanes.first().map(|lane| lane.heads.len());
        assert_eq!((due.lanes.len(), first, due.more), (lanes, heads, more), "{query:?}");
        assert!(
            due.lanes.iter().all(|lane| lane.more == (heads_per_lane < 3) && !except.contains(&lane.lane))
        );
    }
}

fn everything_is_retried_at_once(store: &mut dyn OutboxStore) {
    store.store(row("a", 1));
    store.store(row("b", 1));
    let (a, b) = (store.lane("a"), store.lane("b"));
    store.defer(a, 300, 8);
    store.defer(b, 2, 1);
    store.change(Change::RetryNow { at: at(5) });
    let due = store.due_at(5);
    assert_eq!(subjects(&due), ["b", "a"], "a lane that is due already keeps its due time");
    assert_eq!(due.lanes.iter().map(|lane| lane.attempts).collect::<Vec<_>>(), [1, 8], "attempts stay");
}

fn one_lane_is_retried_at_once(store: &mut dyn OutboxStore) {
    store.store(row("a", 1));
    store.store(row("b", 1));
    let (a, b) = (store.lane("a"), store.lane("b"));
    store.defer(a, 300, 8);
    store.defer(b, 300, 8);
    store.change(Change::RetryLane { lane: messages("b"), at: at(5) });
    store.change(Change::RetryLane { lane: messages("missing"), at: at(5) });
    assert_eq!(subjects(&store.due_at(5)), ["b"]);
}

fn discarding_the_first_row_forgets_its_attempts(store: &mut dyn OutboxStore) {
    let first = store.store(row("a", 1));
    let second = store.store(row("a", 2));
    store.store(row("a", 3));
    store.defer(store.lane("a"), 30, 7);
    store.change(Change::Discard { row: second.id });
    assert_eq!(store.lane_due_at("a", 30).map(|lane| (lane.attempts, lane.heads.len())), Some((7, 2)));
    store.change(Change::Discard { row: first.id });
    assert_eq!(store.lane_due_at("a", 30).map(|lane| (lane.attempts, lane.heads.len())), Some((0, 1)));
    assert_eq!(store.payload(first), None);
}

fn an_answer_for_a_discarded_row_finds_its_lane_in_order(store: &mut dyn OutboxStore) {
    let sent = store.store(row("a", 1));
    let lane = store.lane("a");
    store.change(Change::Discard { row: sent.id });
    assert!(store.due_at(9).lanes.is_empty());
    // While the discarded row may be on its way the session keeps its lane, so that nothing sends
    // beside it.
    let next = store.store(row("a", 2));
    assert_eq!(store.lane("a"), lane);
    store.acknowledge(lane, &[sent], 1);
    assert_eq!(store.lane_due_at("a", 1).map(|lane| lane.heads.len()), Some(1));
    let late = RowKey { id: sent.id, version: sent.version };
    store.park(lane, late, 2);
    assert!(!store.parked(sent.id) && !store.parked(next.id));
}
