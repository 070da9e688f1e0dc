//! A text that the server has is not stored again.

use levi_types::UserId;

use super::fixture::{Shorthand, row, session, sign_in};
use super::list_cases;
use crate::model::{Change, Enqueued, NewRow, Overwrite, SyncedText, TextDigest, TextDigests};
use crate::store::OutboxStore;

list_cases![
    the_same_text_is_not_stored_again_and_another_one_is,
    of_two_forms_of_a_text_either_is_known,
    a_text_is_stored_again_while_another_waits_at_its_position,
    the_later_of_two_texts_at_one_position_counts,
    a_text_that_another_user_sent_is_stored,
    a_text_that_replaces_any_other_is_stored,
    a_session_that_is_written_anew_gets_its_messages_again,
    texts_are_known_at_both_ends_of_the_numbers,
];

const fn digest(text: u8) -> TextDigest {
    TextDigest([text; 8])
}

fn text(number: i64, text: u8) -> NewRow {
    NewRow { texts: TextDigests { own: Some(digest(text)), other_form: None }, ..row("a", number) }
}

fn note(store: &mut dyn OutboxStore, user: Option<&str>, texts: &[(i64, u8)]) {
    let texts = texts.iter().map(|(sequence_number, text)| SyncedText {
        sequence_number: *sequence_number,
        digest: digest(*text),
    });
    let user = user.map(UserId::from);
    store.change(Change::NoteSynced { user, session: "a".into(), texts: texts.collect() });
}

fn is_stored(answer: &Enqueued) -> bool {
    matches!(answer, Enqueued::Stored { .. })
}

fn the_same_text_is_not_stored_again_and_another_one_is(store: &mut dyn OutboxStore) {
    note(store, Some("ada"), &[(1, 10), (2, 20), (300, 30)]);
    for (number, same) in [(1, 10), (2, 20), (300, 30)] {
        assert_eq!(store.answer(text(number, same)), Enqueued::AlreadySynced);
    }
    assert!(is_stored(&store.answer(row("a", 2))), "a row that does not name its text");
    assert!(is_stored(&store.answer(text(1, 11))), "another text");
    assert!(is_stored(&store.answer(text(3, 10))), "another position");
    assert!(is_stored(&store.answer(text(301, 10))), "beyond the highest");
}

fn of_two_forms_of_a_text_either_is_known(store: &mut dyn OutboxStore) {
    note(store, None, &[(1, 10)]);
    let texts = TextDigests { own: Some(digest(1)), other_form: Some(digest(10)) };
    assert_eq!(store.answer(NewRow { texts, ..row("a", 1) }), Enqueued::AlreadySynced);
}

fn a_text_is_stored_again_while_another_waits_at_its_position(store: &mut dyn OutboxStore) {
    note(store, None, &[(1, 10)]);
    store.store(text(1, 11));
    assert!(is_stored(&store.answer(text(1, 10))), "the other would arrive after it");
}

fn the_later_of_two_texts_at_one_position_counts(store: &mut dyn OutboxStore) {
    note(store, None, &[(1, 10), (2, 20), (1, 11)]);
    note(store, None, &[(2, 21)]);
    assert_eq!(store.answer(text(1, 11)), Enqueued::AlreadySynced);
    assert_eq!(store.answer(text(2, 21)), Enqueued::AlreadySynced);
    assert!(is_stored(&store.answer(text(1, 10))));
    assert!(is_stored(&store.answer(text(2, 20))));
}

fn a_text_that_another_user_sent_is_stored(store: &mut dyn OutboxStore) {
    note(store, Some("ada"), &[(1, 10)]);
    sign_in(store, "ben");
    assert!(is_stored(&store.answer(text(1, 10))));
    note(store, None, &[(2, 20)]);
    assert_eq!(store.answer(text(2, 20)), Enqueued::AlreadySynced, "nobody named: who is signed in");
}

fn a_text_that_replaces_any_other_is_stored(store: &mut dyn OutboxStore) {
    note(store, None, &[(1, 10)]);
    let replacing = NewRow { overwrite: Overwrite::Anything, ..text(1, 10) };
    assert!(is_stored(&store.answer(replacing)));
}

fn a_session_that_is_written_anew_gets_its_messages_again(store: &mut dyn OutboxStore) {
    note(store, None, &[(1, 10)]);
    assert_eq!(store.answer(text(1, 10)), Enqueued::AlreadySynced);
    store.store(session("a", "r").restoring());
    assert!(is_stored(&store.answer(text(1, 10))));
}

fn texts_are_known_at_both_ends_of_the_numbers(store: &mut dyn OutboxStore) {
    for number in [i64::MIN, -1, 0, 127, 128, i64::MAX] {
        assert!(is_stored(&store.answer(text(number, 9))), "{number}");
        note(store, None, &[(number, 10)]);
    }
    // The rows are in the outbox: take them out of the way.
    let rows = store.list(None, 99).expect("a list");
    for row in rows {
        store.change(Change::Discard { row: row.id });
    }
    for number in [i64::MIN, -1, 0, 127, 128, i64::MAX] {
        assert_eq!(store.answer(text(number, 10)), Enqueued::AlreadySynced, "{number}");
    }
}
