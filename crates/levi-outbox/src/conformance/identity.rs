//! Whose rows they are. Ada is signed in when a case begins.

use super::fixture::{Shorthand, at, everything, messages, names, repository, row, session, sign_in};
use super::{MAX_PENDING_BYTES, list_cases, list_cases_of_nobody};
use crate::model::{Change, Enqueued, Held, LaneKey, NewRow, RowKey};
use crate::store::{DueQuery, OutboxStore};

list_cases![
    a_lane_is_due_for_its_own_user_only,
    a_held_lane_has_no_timer_and_is_not_retried,
    what_is_held_is_counted_and_listed_by_user,
    the_backlog_of_somebody_who_left_leaves_room,
    a_row_keeps_its_user_when_another_one_signs_in,
    a_lane_takes_no_row_of_another_user,
    an_answer_that_comes_after_the_sign_out_finds_its_lane,
];

list_cases_of_nobody![a_lane_of_nobody_is_taken_over_by_the_first_row_that_names_a_user];

/// The row comes before the change that says who signed in.
fn a_lane_of_nobody_is_taken_over_by_the_first_row_that_names_a_user(store: &mut dyn OutboxStore) {
    store.commit(&[], &[row("a", 1), row("b", 1)]).expect("a commit succeeds");
    store.store(row("a", 2).for_user(Some("ada".into())));
    let taken = store.answer(row("a", 3).for_user(Some("ben".into())));
    assert_eq!(taken, Enqueued::OtherUser { user_id: Some("ada".into()) });
    sign_in(store, "ada");
    assert_eq!(due_for(store, "ada", 9), ["messages/a", "messages/b"]);
    assert_eq!(store.lane_due_at("a", 9).map(|lane| lane.heads.len()), Some(2));
    let ensured = NewRow { payload: b"ada's".to_vec(), ..repository("r") };
    store.change(Change::Ensure(ensured.for_user(Some("ada".into()))));
    assert_eq!(due_for(store, "ada", 9).len(), 3);
}

/// The names of what is due for `user`.
fn due_for(store: &dyn OutboxStore, user: &str, seconds: i64) -> Vec<String> {
    let due = store.due(DueQuery { user: Some(&user.into()), ..everything(seconds) });
    names(&due.expect("what is due can be read"))
}

fn a_lane_is_due_for_its_own_user_only(store: &mut dyn OutboxStore) {
    store.store(row("a", 1));
    sign_in(store, "ben");
    store.commit(&[], &[session("b", "r"), row("b", 1)]).expect("a commit succeeds");
    assert_eq!(due_for(store, "ben", 9), ["session/b"]);
    assert_eq!(due_for(store, "nobody", 9), Vec::<String>::new());
    sign_in(store, "ada");
    assert_eq!(due_for(store, "ada", 9), ["messages/a"]);
}

fn a_held_lane_has_no_timer_and_is_not_retried(store: &mut dyn OutboxStore) {
    let message = store.store(row("a", 1));
    store.defer(store.lane("a"), 30, 4);
    sign_in(store, "ben");
    let ben = "ben".into();
    let due = store.due(DueQuery { user: Some(&ben), ..everything(0) }).expect("what is due can be read");
    assert_eq!((due.lanes.len(), due.next_due), (0, None));
    store.change(Change::RetryNow { at: at(1) });
    assert_eq!(store.listed(message.id).attempts, 4);
    sign_in(store, "ada");
    assert_eq!((due_for(store, "ada", 29), store.due_at(29).next_due), (vec![], Some(at(30))));
    let lane = store.lane_due_at("a", 30).expect("it is due when it was");
    assert_eq!(lane.attempts, 4);
}

fn what_is_held_is_counted_and_listed_by_user(store: &mut dyn OutboxStore) {
    let message = store.store(row("a", 1));
    store.store(row("a", 2));
    store.park_first(&messages("a"), "22P02");
    store.store(repository("r"));
    assert_eq!((store.held().ok(), store.user().ok().flatten()), (Some(vec![]), Some("ada".into())));
    sign_in(store, "ben");
    store.store(row("b", 1));
    let held = Held { user_id: Some("ada".into()), pending: 2, messages: 1, parked: 1 };
    assert_eq!(store.held().ok(), Some(vec![held]));
    let listed = store.list(None, 9).expect("rows can be listed");
    let shown: Vec<_> = listed.iter().map(|row| (row.user_id.as_ref(), row.held, row.due_at)).collect();
    let (ada, ben) = ("ada".into(), "ben".into());
    let held = (Some(&ada), true, None);
    assert_eq!(shown, [held, held, held, (Some(&ben), false, Some(at(0)))]);
    store.change(Change::Discard { row: message.id });
    assert_eq!(store.held().map(|held| held[0].parked).ok(), Some(0), "a person may discard what is held");
}

fn the_backlog_of_somebody_who_left_leaves_room(store: &mut dyn OutboxStore) {
    let bytes = |count: u64| vec![7; usize::try_from(count).unwrap_or(0)];
    let sized = |session, number, count| NewRow { payload: bytes(count), ..row(session, number) };
    let limit = MAX_PENDING_BYTES;
    store.store(sized("a", 1, limit - 10));
    let of_a = store.lane("a");
    assert_eq!(store.held_bytes().ok(), Some(0));
    sign_in(store, "ben");
    assert_eq!(store.held_bytes().ok(), Some(limit - 10));
    let first = store.store(sized("b", 1, limit));
    let full = Enqueued::Full { pending_bytes: limit, held_bytes: limit - 10, limit };
    assert_eq!(store.answer(sized("b", 2, 1)), full, "the error names what is held");
    let late = |number, count| sized("a", number, count).for_user(Some("ada".into()));
    assert!(matches!(store.answer(late(2, 11)), Enqueued::Full { .. }), "she has no more room for that");
    store.store(late(2, 10));
    sign_in(store, "cleo");
    let full = Enqueued::Full { pending_bytes: 0, held_bytes: 2 * limit, limit };
    assert_eq!(store.answer(sized("c", 1, 1)), full, "all together have twice the room of one");
    let sent = store.list(None, 1).expect("rows can be listed").remove(0);
    store.acknowledge(of_a, &[RowKey { id: sent.id, version: sent.version }], 1);
    assert_eq!(store.held_bytes().ok(), Some(limit + 10));
    store.store(sized("c", 1, limit - 10));
    store.change(Change::Discard { row: first.id });
    assert_eq!(store.held_bytes().ok(), Some(10));
    store.store(sized("c", 2, 10));
    assert!(matches!(store.answer(sized("c", 3, 1)), Enqueued::Full { held_bytes: 10, .. }));
}

/// It was on its way when somebody else signed in.
fn a_row_keeps_its_user_when_another_one_signs_in(store: &mut dyn OutboxStore) {
    sign_in(store, "ben");
    store.store(row("a", 1).for_user(Some("ada".into())));
    store.store(row("c", 1).for_user(Some("cleo".into())));
    assert_eq!(due_for(store, "ben", 0), Vec::<String>::new());
    sign_in(store, "cleo");
    assert_eq!(due_for(store, "cleo", 0), ["messages/c"]);
    sign_in(store, "ada");
    assert_eq!(due_for(store, "ada", 0), ["messages/a"]);
}

fn a_lane_takes_no_row_of_another_user(store: &mut dyn OutboxStore) {
    let first = store.store(row("a", 1));
    store.store(repository("r"));
    sign_in(store, "ben");
    let refused = Enqueued::OtherUser { user_id: Some("ada".into()) };
    for new in [row("a", 1), row("a", 2), repository("r")] {
        assert_eq!(store.answer(new), refused);
    }
    store.change(Change::Ensure(NewRow { payload: b"ben's".to_vec(), ..repository("r") }));
    assert_eq!(due_for(store, "ben", 0), Vec::<String>::new());
    assert_eq!(store.payload(first).as_deref(), Some("a/1"));
    sign_in(store, "ada");
    store.store(row("a", 2));
    assert_eq!(store.lane_due_at("a", 0).map(|lane| lane.heads.len()), Some(2));
    let lane = store.lane_of(&LaneKey::Repository("r".into()));
    assert_eq!(store.payload(lane.heads[0].key).as_deref(), Some("a repository"));
}

fn an_answer_that_comes_after_the_sign_out_finds_its_lane(store: &mut dyn OutboxStore) {
    let sent = store.store(row("a", 1));
    let lane = store.lane("a");
    sign_in(store, "ben");
    store.acknowledge(lane, &[sent], 1);
    assert_eq!((store.held().ok(), store.payload(sent)), (Some(vec![]), None));
    store.store(row("a", 1));
    assert_eq!(due_for(store, "ben", 0), ["messages/a"], "nobody's rows are there any more");
}
