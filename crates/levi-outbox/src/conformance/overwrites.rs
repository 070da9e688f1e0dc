//! What messages may replace on the server.

use super::fixture::{Shorthand, at, row};
use super::list_cases;
use crate::model::{Change, NewRow, Overwrite};
use crate::store::OutboxStore;

list_cases![
    what_a_message_may_replace_is_kept_with_its_row,
    the_permission_to_replace_any_text_ends_with_the_version_that_had_it,
    an_edit_of_a_row_that_replaces_nothing_is_a_message_like_any_other,
];

fn replacing(overwrite: Overwrite) -> NewRow {
    NewRow { overwrite, ..row("a", 1) }
}

fn overwrite(store: &dyn OutboxStore) -> Overwrite {
    let lane = store.lane_due_at("a", 99).expect("it is due");
    lane.heads[0].overwrite
}

fn what_a_message_may_replace_is_kept_with_its_row(store: &mut dyn OutboxStore) {
    store.store(row("a", 1));
    assert_eq!(overwrite(store), Overwrite::OwnOnly);
    let message = store.store(replacing(Overwrite::Anything));
    assert_eq!(overwrite(store), Overwrite::Anything);
    let lane = store.lane("a");
    store.park(lane, message, 0);
    store.change(Change::Unpark { row: message.id, at: at(1) });
    assert_eq!(overwrite(store), Overwrite::Anything, "after it was parked");
    store.store(row("a", 1));
    assert_eq!(overwrite(store), Overwrite::Anything, "an edit before it was sent");
}

fn the_permission_to_replace_any_text_ends_with_the_version_that_had_it(store: &mut dyn OutboxStore) {
    let first = store.store(row("a", 1));
    let lane = store.lane("a");
    let second = store.store(replacing(Overwrite::Anything));
    store.acknowledge(lane, &[first], 1);
    assert_eq!(overwrite(store), Overwrite::Anything, "an older version was in flight");
    store.store(row("a", 1));
    store.acknowledge(lane, &[second], 1);
    assert_eq!(overwrite(store), Overwrite::OwnOnly, "the server has what had the permission");
}

fn an_edit_of_a_row_that_replaces_nothing_is_a_message_like_any_other(store: &mut dyn OutboxStore) {
    store.store(replacing(Overwrite::Nothing));
    assert_eq!(overwrite(store), Overwrite::Nothing);
    store.store(row("a", 1));
    assert_eq!(overwrite(store), Overwrite::OwnOnly);
}
