use super::*;

fn session(number: usize) -> SessionId {
    format!("{number:08x}-0000-4000-8000-000000000000").into()
}

fn tried(change_id: i64, is_readable: bool) -> Tried {
    Tried { change_id, sequence_number: change_id, is_readable }
}

fn to_try(cursor: &ChangeCursor, session: &SessionId) -> Option<(i64, i64)> {
    cursor.to_try(session).map(|part| (part.after, part.up_to))
}

#[test]
fn a_number_at_or_below_what_was_delivered_is_edited_and_an_unreadable_row_delivers_nothing() {
    let (mut cursor, one) = (ChangeCursor::beginning("u".into()), session(1));
    let arrivals = [
        cursor.readable(&one, 1, 5),
        cursor.unreadable(&one, 2, i64::MAX),
        cursor.readable(&one, 3, 6),
        cursor.readable(&one, 4, 2),
        cursor.readable(&one, 5, 6),
        cursor.unreadable(&one, 6, 6),
    ];
    use Arrival::{Edited, New};
    assert_eq!(arrivals, [New, New, New, Edited, Edited, Edited]);
    assert_eq!(cursor.readable(&session(2), 7, 1), New, "each session has its own numbers");
}

#[test]
fn only_what_was_unreadable_is_read_again_in_as_many_steps_as_it_takes() {
    let (mut cursor, one) = (ChangeCursor::beginning("u".into()), session(1));
    for (change_id, is_readable) in [(1, false), (3, false), (5, true), (8, false), (9, false)] {
        match is_readable {
            true => cursor.readable(&one, change_id, change_id),
            false => cursor.unreadable(&one, change_id, change_id),
        };
    }
    let were: Vec<i64> = (0..12).filter(|id| cursor.was_unreadable(&one, *id)).collect();
    assert_eq!(were, [1, 2, 3, 8, 9], "2 is another session's");
    assert_eq!(to_try(&cursor, &one), Some((0, 3)));
    cursor.tried(&one, &[tried(1, true)], 1);
    assert_eq!(to_try(&cursor, &one), Some((1, 3)));
    cursor.tried(&one, &[tried(3, false)], 3);
    assert_eq!(to_try(&cursor, &one), Some((7, 9)));
    cursor.tried(&one, &[tried(8, true), tried(9, true)], 9);
    assert_eq!(to_try(&cursor, &one), Some((2, 3)), "3 waits for the next key");
    cursor.tried(&one, &[], 3);
    assert_eq!((cursor.to_try(&one), cursor.waiting().count()), (None, 0), "3 was edited or deleted");
}

#[test]
fn spans_stay_few_and_lose_no_row() {
    let (mut cursor, one) = (ChangeCursor::beginning("u".into()), session(1));
    for change_id in 0..500 {
        match change_id % 2 {
            0 => cursor.unreadable(&one, change_id, change_id),
            _ => cursor.readable(&one, change_id, change_id),
        };
    }
    assert!(cursor.sessions[&one].unreadable.len() <= MOST_SPANS);
    assert!((0..500).step_by(2).all(|change_id| cursor.was_unreadable(&one, change_id)));
}

/// Reads every part again, as a reader does that can read the changes `readable` says. Returns
/// what is delivered.
fn read_again(cursor: &mut ChangeCursor, rows: &[i64], readable: impl Fn(i64) -> bool) -> Vec<i64> {
    let (one, mut delivered) = (session(1), Vec::new());
    while let Some(part) = cursor.to_try(&one) {
        let within = |id: &&i64| part.after < **id && **id <= part.up_to;
        let within: Vec<i64> = rows.iter().filter(within).copied().collect();
        let closed = within.iter().filter(|id| !readable(**id)).fold(0_i64, |sum, id| sum.wrapping_add(*id));
        if part.merged == Some(closed) {
            cursor.tried_in_vain(&one, part.up_to);
        } else {
            // In pages, so that the cursor is stored in between.
            let page: Vec<i64> = within.into_iter().take(7).collect();
            delivered.extend(page.iter().filter(|id| readable(**id)));
            let tried: Vec<Tried> = page.iter().map(|id| tried(*id, readable(*id))).collect();
            let to = if page.len() < 7 { part.up_to } else { page[6] };
            cursor.tried(&one, &tried, to);
        }
        *cursor = cursor.to_string().parse().unwrap();
        if cursor.sessions[&one].tried_to.is_none() {
            break;
        }
    }
    delivered
}

/// Rows of a removed device, or of anybody, that never open, among those that were read.
#[test]
fn what_lies_among_many_unreadable_rows_is_not_delivered_again_until_one_of_them_opens() {
    let user = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let (mut cursor, one) = (ChangeCursor::beginning(user.into()), session(1));
    let rows: Vec<i64> = (1..=300).collect();
    for change_id in &rows {
        match change_id % 3 {
            0 => cursor.unreadable(&one, *change_id, *change_id),
            _ => cursor.readable(&one, *change_id, *change_id),
        };
    }
    for _ in 0..4 {
        assert_eq!(read_again(&mut cursor, &rows, |id| id % 3 != 0), [0_i64; 0]);
        assert!(cursor.sessions[&one].unreadable.len() <= MOST_SPANS);
    }
    let delivered = read_again(&mut cursor, &rows, |id| id % 3 != 0 || id == 90);
    assert!(delivered.contains(&90), "its key came: {delivered:?}");
    assert_eq!(read_again(&mut cursor, &rows, |id| id % 3 != 0 || id == 90), [0_i64; 0]);
    let delivered = read_again(&mut cursor, &rows, |_| true);
    assert!((1..=300).filter(|id| id % 3 == 0 && *id != 90).all(|id| delivered.contains(&id)));
    assert_eq!(cursor.waiting().count(), 0);
}

#[test]
fn a_cursor_goes_back_to_the_last_change_that_there_is() {
    let user = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let (mut cursor, one) = (ChangeCursor::beginning(user.into()), session(1));
    for change_id in [1, 3, 5, 7] {
        cursor.unreadable(&one, change_id, change_id);
        cursor.readable(&one, change_id + 1, change_id + 1);
    }
    cursor.position = Some(8);
    let before = cursor.clone();
    for last in [Some(8), Some(9)] {
        cursor.go_back_to(last);
        assert_eq!(cursor, before);
    }
    cursor.go_back_to(Some(4));
    assert_eq!(cursor.position, Some(4));
    cursor.unreadable(&one, 5, 5);
    let were: Vec<i64> = (0..9).filter(|id| cursor.was_unreadable(&one, *id)).collect();
    assert_eq!(were, [1, 3, 5]);
    assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
    cursor.go_back_to(None);
    assert_eq!((cursor.position, cursor.waiting().count()), (None, 0));
}

#[test]
fn rows_that_are_gone_are_waited_for_no_more() {
    let (mut cursor, one) = (ChangeCursor::beginning("u".into()), session(1));
    cursor.unreadable(&one, 1, 1);
    cursor.readable(&one, 2, 2);
    cursor.unreadable(&one, 3, 3);
    let spans = cursor.spans(&one);
    cursor.is_gone(&one, spans[0]);
    assert_eq!(to_try(&cursor, &one), Some((2, 3)));
    cursor.is_gone(&one, spans[1]);
    assert_eq!(cursor.waiting().count(), 0);
}

#[test]
fn the_session_that_changed_the_longest_ago_is_forgotten_and_asked_about() {
    let mut cursor = ChangeCursor::beginning("u".into());
    cursor.unreadable(&session(0), 1, 1);
    for number in 1..=MOST_SESSIONS {
        cursor.readable(&session(number), i64::try_from(number).unwrap() + 1, 1);
    }
    cursor.forget_oldest();
    assert_eq!(cursor.sessions.len(), MOST_SESSIONS);
    assert!(!cursor.may_have_forgotten(&session(0)), "it waits for its key");
    assert!(cursor.may_have_forgotten(&session(1)) && !cursor.may_have_forgotten(&session(2)));
    cursor.recall(&session(1), Some(3));
    assert_eq!(cursor.readable(&session(1), 9999, 3), Arrival::Edited);
}

/// Even where every session waits for its key, so that the one of the page would be the first
/// to be forgotten.
#[test]
fn a_page_forgets_none_of_the_sessions_that_it_asked_about() {
    let mut cursor = ChangeCursor::beginning("u".into());
    for number in 0..MOST_SESSIONS + 100 {
        cursor.unreadable(&session(number), i64::try_from(number).unwrap(), 1);
    }
    cursor.forget_oldest();
    cursor.position = Some(10_000);
    for number in 0..100 {
        assert!(cursor.may_have_forgotten(&session(number)));
        cursor.recall(&session(number), Some(3));
    }
    let arrivals = (0..100).map(|number| cursor.readable(&session(number), 10_001, 3));
    assert!(arrivals.into_iter().all(|arrival| arrival == Arrival::Edited));
    cursor.forget_oldest();
    assert_eq!(cursor.sessions.len(), MOST_SESSIONS);
}
