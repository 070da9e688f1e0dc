//! Children of parked parents, sessions that were there once, and discarded rows.

use super::fixture::{Shorthand, at, messages, row, secret, session, sign_in};
use super::{MAX_PENDING_BYTES, list_cases};
use crate::model::{Change, Enqueued, LaneKey, NewRow, ParkedParent, RowId, RowState};
use crate::store::OutboxStore;

list_cases![
    a_row_says_so_while_an_ancestor_is_parked,
    a_session_counts_as_sent_once_the_server_acknowledged_a_row_of_it,
    a_session_is_forgotten_with_the_row_that_restores_it,
    a_discarded_row_is_not_taken_for_one_that_arrived,
    a_row_that_arrived_after_all_is_not_discarded,
    control_rows_are_stored_though_the_outbox_is_full,
    ensuring_a_row_without_a_parent_leaves_any_row_as_it_is,
    a_pending_control_row_is_found_by_its_lane,
    the_last_number_of_a_session_is_that_of_any_of_its_rows,
];

fn session_key(id: &str) -> LaneKey {
    LaneKey::Session(id.into())
}

fn state(store: &dyn OutboxStore, row: RowId) -> RowState {
    store.row_state(row).expect("the state can be read")
}

fn a_row_says_so_while_an_ancestor_is_parked(store: &mut dyn OutboxStore) {
    let repository = super::fixture::repository("r");
    let parent = store.store(repository.clone());
    let child = store.store(session("s", "r"));
    let message = store.store(row("s", 1));
    assert_eq!(state(store, message.id), RowState::Pending(1), "a parent that waits holds nothing");
    assert!(!store.listed(message.id).parent_is_parked);

    store.park_first(&repository.lane, "23505");
    let reason = super::fixture::reason("23505");
    for id in [child.id, message.id] {
        assert_eq!(state(store, id), RowState::ParentParked(reason.clone()));
        assert!(store.listed(id).parent_is_parked);
    }
    assert_eq!(state(store, parent.id), RowState::Parked(reason.clone()));
    assert!(!store.listed(parent.id).parent_is_parked);
    let parents = store.parked_parents(9).expect("parked parents can be read");
    assert_eq!(store.parked_reason(&repository.lane).ok(), Some(Some(reason.clone())));
    assert_eq!(store.parked_reason(&LaneKey::Messages("s".into())).ok(), Some(None));
    let lane = repository.lane;
    assert_eq!(parents, [ParkedParent { lane: lane.clone(), reason }]);

    store.change(Change::Unpark { row: parent.id, at: at(1) });
    assert_eq!(state(store, message.id), RowState::Pending(1));
    assert_eq!(store.parked_parents(9).ok(), Some(vec![]));
    assert_eq!(store.parked_reason(&lane).ok(), Some(None));
}

fn a_pending_control_row_is_found_by_its_lane(store: &mut dyn OutboxStore) {
    let pending = |store: &dyn OutboxStore, lane: &LaneKey| {
        store.pending_control_row(lane).expect("the row can be read")
    };
    let lane = secret("s").lane;
    assert_eq!(pending(store, &lane), None);
    store.commit(&[], &[session("s", "r"), secret("s"), row("s", 1)]).expect("a commit succeeds");
    let found = pending(store, &lane).expect("it is there, though its lane is blocked");
    assert_eq!(found.payload, secret("s").payload);
    assert_eq!(pending(store, &messages("s")), None, "a message is no control row");
    let (reason, at) = (super::fixture::reason("other"), at(1));
    store.change(Change::Park { lane: found.lane, row: found.row, reason: reason.clone(), at });
    assert_eq!(pending(store, &lane), None);
    assert_eq!(store.parked_reason(&lane).ok(), Some(Some(reason)));
}

fn a_session_counts_as_sent_once_the_server_acknowledged_a_row_of_it(store: &mut dyn OutboxStore) {
    let was_sent = |store: &dyn OutboxStore, id: &str| store.session_was_sent(&id.into()).ok();
    store.store(session("s", "r"));
    store.store(secret("u"));
    store.store(row("t", 1));
    for id in ["s", "t", "u"] {
        assert_eq!(was_sent(store, id), Some(false));
    }
    store.acknowledge_all(&session_key("s"));
    store.acknowledge_all(&messages("t"));
    store.acknowledge_all(&LaneKey::Secret("u".into()));
    assert_eq!([was_sent(store, "s"), was_sent(store, "t")], [Some(true); 2]);
}

/// Refused, the row changes nothing: what is known of the session would be lost from sight.
fn a_session_is_forgotten_with_the_row_that_restores_it(store: &mut dyn OutboxStore) {
    let was_sent = |store: &dyn OutboxStore| store.session_was_sent(&"s".into()).ok();
    store.store(session("s", "r"));
    store.acknowledge_all(&session_key("s"));
    store.store(session("s", "r"));
    sign_in(store, "ben");
    let refused = store.answer(session("s", "r").restoring());
    assert!(matches!(refused, Enqueued::OtherUser { .. }));
    assert_eq!(was_sent(store), Some(true));
    sign_in(store, "ada");
    store.store(session("s", "r"));
    store.store(secret("s").restoring());
    assert_eq!(was_sent(store), Some(true), "neither row says that the session is wanted back");
    store.store(session("s", "r").restoring());
    assert_eq!(was_sent(store), Some(false));
}

fn a_discarded_row_is_not_taken_for_one_that_arrived(store: &mut dyn OutboxStore) {
    let pending = store.store(row("a", 1));
    let parked = store.store(row("a", 2));
    let lane = store.lane("a");
    store.park(lane, parked, 0);
    for id in [pending.id, parked.id] {
        store.change(Change::Discard { row: id });
        assert_eq!(state(store, id), RowState::Discarded);
    }
}

/// It was in flight when it was discarded.
fn a_row_that_arrived_after_all_is_not_discarded(store: &mut dyn OutboxStore) {
    let sent = store.store(row("a", 1));
    let lane = store.lane("a");
    store.change(Change::Discard { row: sent.id });
    store.acknowledge(lane, &[sent], 1);
    assert_eq!(state(store, sent.id), RowState::Gone);
}

fn control_rows_are_stored_though_the_outbox_is_full(store: &mut dyn OutboxStore) {
    let payload = vec![7; usize::try_from(MAX_PENDING_BYTES).unwrap_or(0)];
    store.store(NewRow { payload, ..row("s", 1) });
    assert!(matches!(store.answer(row("s", 2)), Enqueued::Full { .. }));
    store.store(session("s", "r"));
    store.store(secret("s"));
}

fn ensuring_a_row_without_a_parent_leaves_any_row_as_it_is(store: &mut dyn OutboxStore) {
    let written = store.store(session("s", "r"));
    let look_up = NewRow::control(session_key("s"), None, b"look up".to_vec(), at(1));
    store.change(Change::Ensure(look_up));
    assert_eq!(store.payload(written).as_deref(), Some("a session"));
}

fn the_last_number_of_a_session_is_that_of_any_of_its_rows(store: &mut dyn OutboxStore) {
    let last = |store: &dyn OutboxStore| store.last_sequence_number(&"a".into()).ok().flatten();
    assert_eq!(last(store), None);
    store.store(row("a", 3));
    let parked = store.store(row("a", 7));
    store.store(row("b", 9));
    assert_eq!(last(store), Some(7));
    let lane = store.lane("a");
    store.park(lane, parked, 0);
    assert_eq!(last(store), Some(7));
    store.change(Change::Discard { row: parked.id });
    assert_eq!(last(store), Some(3));
}
