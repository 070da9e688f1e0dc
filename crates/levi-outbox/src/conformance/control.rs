//! Control rows, and the lanes that wait for them.

use super::fixture::{Shorthand, at, messages, names, reason, repository, row, secret, session};
use super::list_cases;
use crate::model::{Change, Enqueued, LaneKey, NewRow, RowId, RowKey, RowKind, Totals};
use crate::store::OutboxStore;

list_cases![
    a_lane_of_control_rows_holds_one_row,
    a_control_row_written_again_starts_anew,
    a_control_row_written_again_survives_the_acknowledgement_of_the_older_one,
    a_parked_control_row_is_brought_back_by_the_same_one,
    children_wait_for_their_parents_whichever_comes_first,
    a_lane_that_becomes_blocked_shows_no_rows,
    messages_never_wait_for_the_secret,
    children_wait_while_their_parent_is_deferred_or_parked,
    a_child_that_is_unblocked_is_due_when_it_was,
    a_session_may_name_another_repository,
    a_blocked_row_is_listed_with_its_ancestors_reason,
    a_parked_row_keeps_its_own_reason_while_it_is_blocked,
    a_row_that_others_wait_for_is_not_discarded,
    ensuring_leaves_a_pending_row_as_it_is_and_unparks_a_parked_one,
    ensuring_writes_what_is_not_there_even_beyond_the_bound,
    every_kind_is_retried_at_once,
    control_rows_are_counted_apart_and_listed_with_the_others,
];

fn session_key(id: &str) -> LaneKey {
    LaneKey::Session(id.into())
}

fn repository_key(id: &str) -> LaneKey {
    LaneKey::Repository(id.into())
}

fn secret_key(id: &str) -> LaneKey {
    LaneKey::Secret(id.into())
}

fn due(store: &dyn OutboxStore) -> Vec<String> {
    names(&store.due_at(0))
}

fn a_lane_of_control_rows_holds_one_row(store: &mut dyn OutboxStore) {
    for new in [repository("r"), session("s", "r"), secret("s")] {
        let first = store.store(new.clone());
        let newer = NewRow { payload: b"newer".to_vec(), enqueued_at: at(9), sequence_number: 7, ..new };
        let Enqueued::Stored { key, replaced: true } = store.answer(newer) else {
            panic!("the second row replaces the first");
        };
        assert_eq!(key, RowKey { version: first.version + 1, ..first });
        assert_eq!(store.payload(key).as_deref(), Some("newer"));
    }
    assert_eq!(store.totals().map(|totals| totals.control_rows).ok(), Some(3));
}

/// A window on the lane, read before its parent was written, is not filled further.
fn a_lane_that_becomes_blocked_shows_no_rows(store: &mut dyn OutboxStore) {
    store.store(row("s", 1));
    let lane = store.lane_of(&messages("s")).lane;
    let heads = |store: &dyn OutboxStore, after| store.heads(lane, after, 10).map(|heads| heads.len()).ok();
    assert_eq!((heads(store, None), heads(store, Some(0))), (Some(1), Some(1)));
    let parent = store.store(session("s", "r"));
    assert_eq!((heads(store, None), heads(store, Some(0))), (Some(0), Some(0)));
    let parent_lane = store.lane_of(&session_key("s")).lane;
    store.acknowledge(parent_lane, &[parent], 0);
    assert_eq!(heads(store, None), Some(1));
}

fn a_control_row_written_again_starts_anew(store: &mut dyn OutboxStore) {
    store.store(session("s", "r"));
    let lane = store.lane_of(&session_key("s")).lane;
    store.defer(lane, 300, 4);
    store.store(NewRow { enqueued_at: at(9), ..session("s", "r") });
    let due = store.due_at(9);
    assert_eq!((due.lanes.len(), due.lanes[0].lane, due.lanes[0].attempts), (1, lane, 0));
    assert!(store.due_at(8).lanes.is_empty());
    let head = due.lanes[0].heads[0];
    assert_eq!((head.sequence_number, head.enqueued_at), (0, at(0)), "its age is that of the first");
    assert_eq!(store.listed(head.key.id).reason, None);
}

fn a_control_row_written_again_survives_the_acknowledgement_of_the_older_one(store: &mut dyn OutboxStore) {
    let sent = store.store(session("s", "r"));
    store.store(row("s", 1));
    let lane = store.lane_of(&session_key("s")).lane;
    let newer = store.store(session("s", "r"));
    store.acknowledge(lane, &[sent], 0);
    store.park(lane, sent, 0);
    assert_eq!(due(store), ["session/s"], "the newer one is due, and the messages wait for it");
    store.acknowledge(lane, &[newer], 0);
    assert_eq!(due(store), ["messages/s"]);
}

fn a_parked_control_row_is_brought_back_by_the_same_one(store: &mut dyn OutboxStore) {
    let old = store.store(session("s", "r"));
    store.park_first(&session_key("s"), "23514");
    store.change(Change::RetryNow { at: at(0) });
    assert!(due(store).is_empty(), "a parked row is never due by itself");
    assert!(store.parked(old.id));
    let new = store.store(session("s", "r"));
    assert_eq!(new, RowKey { version: old.version + 1, ..old });
    assert_eq!(due(store), ["session/s"]);

    store.park_first(&session_key("s"), "23514");
    store.change(Change::Unpark { row: new.id, at: at(0) });
    assert_eq!(store.lane_of(&session_key("s")).heads[0].key, new, "unparking changes no version");
}

fn children_wait_for_their_parents_whichever_comes_first(store: &mut dyn OutboxStore) {
    let all = [repository("r"), session("s", "r"), secret("s"), row("s", 1), row("other", 1)];
    let orders: [Vec<NewRow>; 2] = [all.to_vec(), all.iter().rev().cloned().collect()];
    for (order, one_by_one) in [(0, false), (1, false), (0, true), (1, true)] {
        let rows = &orders[order];
        if one_by_one {
            for row in rows {
                store.store(row.clone());
            }
        } else {
            store.commit(&[], rows).expect("a commit succeeds");
        }
        let mut waiting = due(store);
        waiting.sort();
        assert_eq!(waiting, ["messages/other", "repository/r"], "order {order}, one by one: {one_by_one}");
        assert_eq!(store.due_at(0).next_due, None, "a blocked lane is not waited for");
        store.acknowledge_all(&messages("other"));
        store.acknowledge_all(&repository_key("r"));
        assert_eq!(due(store), ["session/s"]);
        store.acknowledge_all(&session_key("s"));
        let mut children = due(store);
        children.sort();
        assert_eq!(children, ["messages/s", "secret/s"]);
        store.acknowledge_all(&messages("s"));
        store.acknowledge_all(&secret_key("s"));
        assert_eq!(store.totals().ok(), Some(Totals::default()));
    }
}

fn messages_never_wait_for_the_secret(store: &mut dyn OutboxStore) {
    store.store(secret("s"));
    store.store(row("s", 1));
    assert_eq!(due(store), ["secret/s", "messages/s"]);
    store.park_first(&secret_key("s"), "42501");
    assert_eq!(due(store), ["messages/s"]);
}

fn children_wait_while_their_parent_is_deferred_or_parked(store: &mut dyn OutboxStore) {
    store.commit(&[], &[repository("r"), session("s", "r"), row("s", 1)]).expect("a commit succeeds");
    let lane = store.lane_of(&repository_key("r")).lane;
    store.defer(lane, 30, 1);
    assert!(due(store).is_empty());
    assert_eq!(store.due_at(0).next_due, Some(at(30)));
    store.change(Change::RetryLane { lane: repository_key("r"), at: at(0) });
    store.park_first(&repository_key("r"), "23514");
    assert_eq!((due(store), store.due_at(99).next_due), (vec![], None), "parked: everything below waits");
    store.store(row("s", 2));
    store.store(secret("s"));
    assert!(due(store).is_empty(), "also what comes later");

    store.store(repository("r"));
    assert_eq!(due(store), ["repository/r"]);
    store.acknowledge_all(&repository_key("r"));
    assert_eq!(due(store), ["session/s"]);
    let parked = store.lane_of(&session_key("s")).heads[0].key.id;
    store.park_first(&session_key("s"), "23514");
    assert!(due(store).is_empty());
    store.change(Change::Unpark { row: parked, at: at(0) });
    store.acknowledge_all(&session_key("s"));
    assert_eq!(store.lane_of(&messages("s")).heads.len(), 2);
}

fn a_child_that_is_unblocked_is_due_when_it_was(store: &mut dyn OutboxStore) {
    store.store(row("s", 1));
    store.defer(store.lane("s"), 30, 4);
    store.store(session("s", "r"));
    assert!(store.due_at(99).lanes.iter().all(|lane| lane.key == session_key("s")));
    store.acknowledge_all(&session_key("s"));
    let due = store.due_at(29);
    assert_eq!((names(&due), due.next_due), (vec![], Some(at(30))));
    assert_eq!(store.lane_due_at("s", 30).map(|lane| lane.attempts), Some(4));
}

fn a_session_may_name_another_repository(store: &mut dyn OutboxStore) {
    store.commit(&[], &[repository("old"), session("s", "old"), row("s", 1)]).expect("a commit succeeds");
    assert_eq!(due(store), ["repository/old"]);
    store.store(session("s", "new"));
    assert_eq!(due(store), ["repository/old", "session/s"]);
    store.store(repository("new"));
    assert_eq!(due(store), ["repository/old", "repository/new"]);
    store.acknowledge_all(&repository_key("old"));
    assert_eq!(due(store), ["repository/new"]);
    store.acknowledge_all(&repository_key("new"));
    assert_eq!(due(store), ["session/s"]);
}

fn a_blocked_row_is_listed_with_its_ancestors_reason(store: &mut dyn OutboxStore) {
    let message = store.store(row("s", 1));
    store.defer(store.lane("s"), 30, 4);
    let parent = store.store(session("s", "r"));
    let listed = |store: &dyn OutboxStore, row: RowId| {
        let row = store.listed(row);
        (row.due_at, row.blocked_by, row.reason.map(|reason| reason.code))
    };
    let by_session = Some(session_key("s"));
    assert_eq!(listed(store, message.id), (None, by_session.clone(), None), "not by an error of its own");
    let lane = store.lane_of(&session_key("s")).lane;
    store.defer(lane, 9, 1);
    assert_eq!(listed(store, message.id), (None, by_session.clone(), Some("503".to_owned())));
    assert_eq!(listed(store, parent.id), (Some(at(9)), None, Some("503".to_owned())));

    store.store(repository("r"));
    store.park_first(&repository_key("r"), "22P02");
    let explained = (None, by_session.clone(), Some("22P02".to_owned()));
    assert_eq!(listed(store, message.id), explained, "by what holds up its parent");
    let explained = (None, Some(repository_key("r")), Some("22P02".to_owned()));
    assert_eq!(listed(store, parent.id), explained);
}

fn a_parked_row_keeps_its_own_reason_while_it_is_blocked(store: &mut dyn OutboxStore) {
    let message = store.store(row("s", 1));
    store.park_first(&messages("s"), "22P05");
    store.store(session("s", "r"));
    store.park_first(&session_key("s"), "23514");
    let listed = store.listed(message.id);
    assert!(listed.parked);
    assert_eq!((listed.blocked_by, listed.reason), (Some(session_key("s")), Some(reason("22P05"))));
}

fn a_row_that_others_wait_for_is_not_discarded(store: &mut dyn OutboxStore) {
    let parent = store.store(session("s", "r"));
    let child = store.store(row("s", 1));
    for park in [false, true] {
        if park {
            store.park_first(&session_key("s"), "23514");
        }
        store.change(Change::Discard { row: parent.id });
        assert_eq!(store.parked(parent.id), park);
        assert_eq!(store.totals().map(|totals| totals.pending_rows).ok(), Some(1));
        assert!(store.listed(child.id).blocked_by.is_some());
    }
    store.change(Change::Discard { row: child.id });
    store.change(Change::Discard { row: parent.id });
    assert_eq!(store.totals().ok(), Some(Totals::default()));
    store.store(row("s", 2));
    assert_eq!(due(store), ["messages/s"], "nothing is left to wait for");
}

fn ensuring_leaves_a_pending_row_as_it_is_and_unparks_a_parked_one(store: &mut dyn OutboxStore) {
    let ensure = |payload: &[u8], repository: &str| {
        Change::Ensure(NewRow { payload: payload.to_vec(), ..session("s", repository) })
    };
    store.change(ensure(b"first", "r"));
    store.change(ensure(b"second", "r"));
    let first = store.lane_of(&session_key("s")).heads[0].key;
    assert_eq!((first.version, store.payload(first).as_deref()), (1, Some("first")));
    store.park_first(&session_key("s"), "23514");
    store.change(ensure(b"third", "r"));
    assert_eq!(store.lane_of(&session_key("s")).heads[0].key, first, "tried again as it is");
    store.change(ensure(b"moved", "another"));
    let moved = store.lane_of(&session_key("s")).heads[0].key;
    assert_eq!(store.payload(moved).as_deref(), Some("moved"), "another parent is another row");
}

fn ensuring_writes_what_is_not_there_even_beyond_the_bound(store: &mut dyn OutboxStore) {
    let filled = NewRow { payload: vec![0; 1_000], ..row("s", 1) };
    store.store(filled);
    assert!(matches!(store.answer(row("s", 2)), Enqueued::Full { .. }));
    store.change(Change::Ensure(session("s", "r")));
    assert_eq!(due(store), ["session/s"]);
}

fn every_kind_is_retried_at_once(store: &mut dyn OutboxStore) {
    store.commit(&[], &[repository("r"), secret("s"), row("t", 1)]).expect("a commit succeeds");
    for lane in store.due_at(0).lanes {
        store.defer(lane.lane, 300, 3);
    }
    assert!(due(store).is_empty());
    store.change(Change::RetryLane { lane: secret_key("s"), at: at(0) });
    assert_eq!(due(store), ["secret/s"]);
    store.change(Change::RetryNow { at: at(0) });
    let due = store.due_at(0).lanes;
    assert_eq!(due.iter().map(|lane| lane.attempts).collect::<Vec<_>>(), [3, 3, 3], "attempts stay");
}

fn control_rows_are_counted_apart_and_listed_with_the_others(store: &mut dyn OutboxStore) {
    let rows = [repository("r"), session("s", "r"), secret("s"), row("s", 1)];
    store.commit(&[], &rows).expect("a commit succeeds");
    store.park_first(&repository_key("r"), "23514");
    let expected = Totals {
        pending_rows: 1,
        pending_bytes: 9 + 8 + 3,
        parked_bytes: 12,
        control_rows: 2,
        parked_control_rows: 1,
        lanes: 3,
        oldest: Some(at(0)),
        ..Totals::default()
    };
    assert_eq!(store.totals().ok(), Some(expected));
    let listed = store.list(None, 9).expect("rows can be listed");
    let kinds: Vec<_> = listed.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [RowKind::Repository, RowKind::Session, RowKind::Secret, RowKind::Message]);
    let ids: Vec<_> = listed.iter().map(|row| row.message_id.as_str()).collect();
    assert_eq!(ids, ["repository", "session", "secret", "m1"]);
}
