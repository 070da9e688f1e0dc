//! Tasks, and what waits for them.

use super::fixture::{Words, at, reason, row, sessions, task};
use super::list_cases;
use crate::model::{Change, DueTasks, NewTask};
use crate::store::OutboxStore;

list_cases![
    a_child_waits_until_its_parent_is_done,
    a_parked_parent_holds_its_child,
    a_child_of_a_parked_parent_holds_nobody,
    a_task_is_ensured_without_losing_what_was_recorded,
    a_task_is_tried_again_or_discarded_by_hand,
    a_task_holds_its_session_until_it_is_done_or_parked,
    a_session_is_held_by_any_of_its_tasks,
    a_task_put_again_survives_the_end_of_the_older_one,
    a_deferred_task_waits_and_says_when,
    a_parked_task_is_never_due_until_it_is_put_again,
];

fn due(store: &dyn OutboxStore, seconds: i64) -> DueTasks {
    store.due_tasks(at(seconds), at(seconds + 3_600), 9).expect("tasks can be read")
}

fn names(store: &dyn OutboxStore, seconds: i64) -> Vec<String> {
    due(store, seconds).tasks.into_iter().map(|task| task.name).collect()
}

fn finish(store: &mut dyn OutboxStore, name: &str, version: u32) {
    store.change(Change::FinishTask { name: name.to_owned(), version });
}

fn park(store: &mut dyn OutboxStore, name: &str) {
    store.change(Change::ParkTask { name: name.to_owned(), version: 1, reason: reason("23514") });
}

fn a_child_waits_until_its_parent_is_done(store: &mut dyn OutboxStore) {
    // Whichever comes first.
    let child = |name: &str| NewTask { parent: Some("parent".into()), ..task(name) };
    store.change(Change::PutTask(child("early")));
    assert_eq!(names(store, 0), ["early"], "a parent that is not there holds nobody");
    store.change(Change::PutTask(task("parent")));
    store.change(Change::PutTask(child("late")));
    assert_eq!(names(store, 0), ["parent"]);
    finish(store, "parent", 1);
    assert_eq!(names(store, 0), ["early", "late"]);
}

fn a_parked_parent_holds_its_child(store: &mut dyn OutboxStore) {
    store.change(Change::PutTask(task("parent")));
    store.change(Change::PutTask(NewTask { parent: Some("parent".into()), ..task("child") }));
    park(store, "parent");
    assert_eq!(due(store, 99), DueTasks::default());
    store.change(Change::PutTask(task("parent")));
    assert_eq!(names(store, 99), ["parent"]);
    finish(store, "parent", 2);
    assert_eq!(names(store, 99), ["child"]);
}

/// Or its session's messages would wait for ever, with no reason to be seen anywhere.
fn a_child_of_a_parked_parent_holds_nobody(store: &mut dyn OutboxStore) {
    let child = |session: &str| NewTask {
        parent: Some("parent".into()),
        holds: Some(session.into()),
        ..task(&format!("child of {session}"))
    };
    store.store(row("a", 1));
    store.change(Change::PutTask(task("parent")));
    store.change(Change::PutTask(child("a")));
    assert!(sessions(&store.due_at(0)).is_empty());
    park(store, "parent");
    assert_eq!(sessions(&store.due_at(0)), ["a"]);
    store.change(Change::PutTask(child("b")));
    store.store(row("b", 1));
    assert_eq!(sessions(&store.due_at(0)), ["a", "b"], "nor does one that comes later");
    store.change(Change::PutTask(task("parent")));
    assert!(sessions(&store.due_at(0)).is_empty(), "the parent is tried again");
}

fn a_task_is_ensured_without_losing_what_was_recorded(store: &mut dyn OutboxStore) {
    let ensured = |payload: &[u8]| Change::EnsureTask(NewTask { payload: payload.into(), ..task("t") });
    store.change(ensured(b"first"));
    store.change(ensured(b"second"));
    let is_first = |store: &dyn OutboxStore, version: u32| {
        let found = due(store, 99).tasks;
        found.len() == 1 && found[0].payload == b"first" && found[0].version == version
    };
    assert!(is_first(store, 1), "what waits is left alone");
    park(store, "t");
    store.change(ensured(b"third"));
    assert!(is_first(store, 2), "what was set aside is tried again, as it was");
    let elsewhere = NewTask { parent: Some("other".into()), payload: b"moved".into(), ..task("t") };
    store.change(Change::EnsureTask(elsewhere));
    assert_eq!(due(store, 99).tasks[0].payload, b"moved", "what waits for another parent is another matter");
}

fn a_task_is_tried_again_or_discarded_by_hand(store: &mut dyn OutboxStore) {
    store.change(Change::PutTask(task("t")));
    store.change(Change::PutTask(NewTask { parent: Some("t".into()), ..task("child") }));
    park(store, "t");
    let listed = store.tasks(9).unwrap_or_default();
    assert_eq!(listed.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["child", "t"]);
    assert_eq!((listed[0].is_parked(), listed[0].waits_for.as_deref()), (false, Some("t")));
    assert_eq!((listed[1].is_parked(), listed[1].reason.is_some()), (true, true));
    store.change(Change::UnparkTask { name: "t".into(), at: at(5) });
    assert_eq!((names(store, 4), names(store, 5)), (Vec::new(), vec!["t".to_owned()]));
    store.change(Change::UnparkTask { name: "t".into(), at: at(9) });
    assert_eq!(names(store, 5), ["t"], "only what was set aside is put back");
    store.change(Change::DiscardTask { name: "t".into() });
    assert_eq!(names(store, 5), ["t"], "it may be under way");
    store.change(Change::ParkTask { name: "t".into(), version: 2, reason: reason("42501") });
    store.change(Change::DiscardTask { name: "t".into() });
    assert_eq!(names(store, 9), ["child"]);
    assert_eq!(store.totals().map(|totals| totals.tasks).ok(), Some(1));
}

fn a_task_holds_its_session_until_it_is_done_or_parked(store: &mut dyn OutboxStore) {
    let holding = |name: &str| NewTask { holds: Some("a".into()), ..task(name) };
    store.store(row("a", 1));
    store.store(row("b", 1));
    store.change(Change::PutTask(holding("t")));
    let due = store.due_at(0);
    assert_eq!((sessions(&due), due.next_due), (vec!["b"], None));
    finish(store, "t", 1);
    assert_eq!(sessions(&store.due_at(0)), ["a", "b"]);
    store.change(Change::PutTask(holding("t")));
    assert_eq!(sessions(&store.due_at(0)), ["b"]);
    park(store, "t");
    assert_eq!(sessions(&store.due_at(0)), ["a", "b"], "a parked task holds nobody");
    store.change(Change::PutTask(NewTask { holds: Some("b".into()), ..task("t") }));
    assert_eq!(sessions(&store.due_at(0)), ["a"], "a task may change its mind");
}

fn a_session_is_held_by_any_of_its_tasks(store: &mut dyn OutboxStore) {
    let holding = |name: &str| NewTask { holds: Some("a".into()), ..task(name) };
    store.change(Change::PutTask(holding("one")));
    store.change(Change::PutTask(holding("two")));
    store.store(row("a", 1));
    assert!(store.due_at(0).lanes.is_empty(), "also where the rows come after the task");
    finish(store, "one", 1);
    assert!(store.due_at(0).lanes.is_empty());
    finish(store, "two", 1);
    assert_eq!(sessions(&store.due_at(0)), ["a"]);
}

fn a_task_put_again_survives_the_end_of_the_older_one(store: &mut dyn OutboxStore) {
    store.change(Change::PutTask(task("t")));
    store.change(Change::PutTask(NewTask { payload: b"newer".to_vec(), ..task("t") }));
    finish(store, "t", 1);
    park(store, "t");
    let again =
        Change::DeferTask { name: "t".into(), version: 1, due_at: at(9), attempts: 1, reason: reason("503") };
    store.change(again);
    let task = due(store, 0).tasks.remove(0);
    assert_eq!((task.version, task.attempts, task.payload.as_slice()), (2, 0, b"newer".as_slice()));
    assert_eq!(store.totals().map(|totals| totals.tasks).ok(), Some(1));
    finish(store, "t", 2);
    assert_eq!(store.totals().map(|totals| totals.tasks).ok(), Some(0));
}

fn a_deferred_task_waits_and_says_when(store: &mut dyn OutboxStore) {
    for (name, until) in [("soon", 8), ("later", 30), ("far", 86_400)] {
        store.change(Change::PutTask(task(name)));
        store.change(Change::DeferTask {
            name: name.into(),
            version: 1,
            due_at: at(until),
            attempts: 3,
            reason: reason("503"),
        });
    }
    assert_eq!((names(store, 7), due(store, 7).next_due), (vec!["far".to_owned()], Some(at(8))));
    assert_eq!(names(store, 8), ["soon", "far"], "what lies beyond the horizon is due, last");
    assert_eq!(store.due_tasks(at(8), at(99), 1).map(|due| due.tasks.len()).ok(), Some(1));
    assert_eq!(due(store, 8).tasks[0].attempts, 3);
    store.change(Change::RetryNow { at: at(9) });
    assert_eq!(names(store, 9), ["soon", "far", "later"]);
    assert_eq!(due(store, 9).tasks[1].attempts, 3, "attempts stay");
}

fn a_parked_task_is_never_due_until_it_is_put_again(store: &mut dyn OutboxStore) {
    store.change(Change::PutTask(task("t")));
    park(store, "t");
    store.change(Change::RetryNow { at: at(9) });
    assert_eq!(due(store, 99), DueTasks::default());
    assert_eq!(store.totals().map(|totals| totals.tasks).ok(), Some(1), "it still counts");
    store.change(Change::PutTask(task("t")));
    assert_eq!(names(store, 99), ["t"]);
}
