//! How far a reader of the change feed has come. Pure.

use std::collections::BTreeMap;

use levi_types::{SessionId, UserId};

use super::changes::Arrival;

/// The most sessions of which a cursor knows what was delivered. Beyond it the one that changed the longest ago is
/// forgotten.
const MOST_SESSIONS: usize = 4096;

/// The most spans of unreadable rows of one session. Beyond it the two that are nearest to each other become one. If one of
/// their rows can be read later, what could be read between them is delivered again with it.
const MOST_SPANS: usize = 32;

/// Where a reader of the change feed is. Opaque; its text (`Display`, `FromStr`) can be stored, and holds no secret.
///
/// Besides the number of the last change it has, for each of the last 4,096 sessions that changed, the highest sequence
/// number that was delivered, which tells new messages from edited ones, and where the rows are that could not be read,
/// so that a reader that starts again later delivers them when their key has come. It grows by about 25 bytes for each
/// session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeCursor {
    pub(super) user: UserId,
    /// The last change that was delivered; `None`: none yet.
    pub(super) position: Option<i64>,
    pub(super) sessions: BTreeMap<SessionId, Delivered>,
    /// Whether a session was forgotten, so that one that is not known need not be new.
    pub(super) has_forgotten: bool,
}

/// What was delivered of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// The highest sequence number that could be read.
    pub(super) highest: Option<i64>,
    /// The last change.
    pub(super) last: i64,
    /// The changes that could not be read, in order.
    pub(super) unreadable: Vec<Span>,
    /// While these are read again: the last change that was tried.
    pub(super) tried_to: Option<i64>,
}

/// Changes of one session that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
    /// The numbers of the changes that could not be read, added up: another sum says that one of them can be read by now,
    /// or is gone. `None`: not known.
    pub(super) sum: Option<i64>,
    /// Whether others that could be read may lie among them.
    pub(super) is_merged: bool,
}

/// A part of a session to read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The change before it.
    pub(super) after: i64,
    /// Its last change.
    pub(super) up_to: i64,
    /// If changes that were delivered lie in it: the sum of those that could not be read. While that is the same, nothing
    /// in it is news.
    pub(super) merged: Option<i64>,
}

/// A row of a session that is read again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) change_id: i64,
    pub(super) sequence_number: i64,
    pub(super) is_readable: bool,
}

impl ChangeCursor {
    pub(super) const fn beginning(user: UserId) -> Self {
        Self { user, position: None, sessions: BTreeMap::new(), has_forgotten: false }
    }

    /// The user whose changes it counts.
    pub fn user_id(&self) -> &UserId {
        &self.user
    }

    /// Whether the session may be one that was delivered from and forgotten.
    pub(super) fn may_have_forgotten(&self, session: &SessionId) -> bool {
        self.has_forgotten && !self.sessions.contains_key(session)
    }

    /// Takes note of a change that could be read.
    pub(super) fn readable(&mut self, session: &SessionId, change_id: i64, sequence_number: i64) -> Arrival {
        let known = self.session(session);
        known.last = known.last.max(change_id);
        known.rises_to(sequence_number)
    }

    /// Takes note of a change that could not be read.
    pub(super) fn unreadable(
        &mut self,
        session: &SessionId,
        change_id: i64,
        sequence_number: i64,
    ) -> Arrival {
        let known = self.session(session);
        let before = std::mem::replace(&mut known.last, change_id);
        match known.unreadable.last_mut() {
            Some(span) if span.last == before => span.extend_to(change_id),
            _ => known.unreadable.push(Span::of(change_id)),
        }
        known.limit_spans();
        // It does not count as delivered, so that nobody without the key can make later messages look edited.
        if known.highest.is_none_or(|highest| sequence_number > highest) {
            Arrival::New
        } else {
            Arrival::Edited
        }
    }

    /// What is known of a session that was forgotten, or is new.
    pub(super) fn recall(&mut self, session: &SessionId, highest: Option<i64>) {
        let position = self.position.unwrap_or_default();
        let known = self.session(session);
        (known.highest, known.last) = (highest, position);
    }

    /// Forgets sessions beyond the limit, at the end of a page: those that changed the longest ago, and those that wait for a
    /// key only where all do.
    pub(super) fn forget_oldest(&mut self) {
        let most = self.sessions.len().saturating_sub(MOST_SESSIONS);
        if most == 0 {
            return;
        }
        let age = |(session, known): (&SessionId, &Delivered)| {
            (!known.unreadable.is_empty(), known.last, session.clone())
        };
        let mut ages: Vec<_> = self.sessions.iter().map(age).collect();
        ages.sort_unstable();
        for (_, _, session) in ages.into_iter().take(most) {
            self.sessions.remove(&session);
        }
        self.has_forgotten = true;
    }

    /// The sessions with rows that could not be read.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&SessionId, &Delivered)> {
        self.sessions.iter().filter(|(_, known)| !known.unreadable.is_empty())
    }

    /// Which changes of a session to read again next.
    pub(super) fn to_try(&self, session: &SessionId) -> Option<Part> {
        let known = self.sessions.get(session)?;
        let tried_to = known.tried_to.unwrap_or(i64::MIN);
        let span = known.unreadable.iter().find(|span| span.last > tried_to)?;
        let after = tried_to.max(span.first.saturating_sub(1));
        let is_whole = after < span.first;
        Some(Part { after, up_to: span.last, merged: span.sum.filter(|_| span.is_merged && is_whole) })
    }

    /// The part up to the change `to` was read again, and there is no news in it.
    pub(super) fn tried_in_vain(&mut self, session: &SessionId, to: i64) {
        if let Some(known) = self.sessions.get_mut(session) {
            let is_end = known.unreadable.last().is_none_or(|span| span.last <= to);
            known.tried_to = Some(to).filter(|_| !is_end);
        }
    }

    /// The spans of a session, to ask whether their rows are still there.
    pub(super) fn spans(&self, session: &SessionId) -> Vec<Span> {
        self.sessions.get(session).map(|known| known.unreadable.clone()).unwrap_or_default()
    }

    /// No row of `span` is there any more: all were deleted, or have changed again.
    pub(super) fn is_gone(&mut self, session: &SessionId, span: Span) {
        if let Some(known) = self.sessions.get_mut(session) {
            known.unreadable.retain(|other| *other != span);
        }
    }

    /// Whether this change was delivered as one that cannot be read.
    pub(super) fn was_unreadable(&self, session: &SessionId, change_id: i64) -> bool {
        let spans = self.sessions.get(session).map(|known| known.unreadable.as_slice());
        spans.unwrap_or_default().iter().any(|span| span.contains(change_id))
    }

    /// Takes note of the rows that [`to_try`](Self::to_try) named, up to the change `to`. Those that are not among them are
    /// gone: deleted, or changed again.
    pub(super) fn tried(&mut self, session: &SessionId, rows: &[Tried], to: i64) {
        let Some(Part { after, .. }) = self.to_try(session) else { return };
        let Some(known) = self.sessions.get_mut(session) else { return };
        let before = known.unreadable.iter().filter(|span| span.first <= after);
        let mut spans: Vec<Span> = before.map(|span| span.cut(span.first, after)).collect();
        // Rows that follow each other and cannot be read are one span.
        let mut extends = false;
        for row in rows {
            match spans.last_mut() {
                _ if row.is_readable => known.highest = known.highest.max(Some(row.sequence_number)),
                Some(span) if extends => span.extend_to(row.change_id),
                _ => spans.push(Span::of(row.change_id)),
            }
            extends = !row.is_readable;
        }
        let rest = known.unreadable.iter().filter(|span| span.last > to);
        let rest: Vec<Span> = rest.map(|span| span.cut(to.saturating_add(1), i64::MAX)).collect();
        known.tried_to = (!rest.is_empty()).then_some(to);
        spans.extend(rest);
        known.unreadable = spans;
        known.limit_spans();
    }

    fn session(&mut self, session: &SessionId) -> &mut Delivered {
        self.sessions.entry(session.clone()).or_default()
    }
}

impl Delivered {
    /// What was read again and what is yet to be are apart, so that a span is compared as a whole.
    fn limit_spans(&mut self) {
        let tried_to = self.tried_to.unwrap_or(i64::MIN);
        let rest = self.unreadable.partition_point(|span| span.first <= tried_to);
        let mut rest = self.unreadable.split_off(rest);
        limit_spans(&mut self.unreadable);
        limit_spans(&mut rest);
        self.unreadable.append(&mut rest);
    }

    fn rises_to(&mut self, sequence_number: i64) -> Arrival {
        if self.highest.is_some_and(|highest| sequence_number <= highest) {
            return Arrival::Edited;
        }
        self.highest = Some(sequence_number);
        Arrival::New
    }
}

impl Span {
    const fn of(change_id: i64) -> Self {
        Self { first: change_id, last: change_id, sum: Some(change_id), is_merged: false }
    }

    fn extend_to(&mut self, change_id: i64) {
        self.last = change_id;
        self.sum = self.sum.map(|sum| sum.wrapping_add(change_id));
    }

    /// The part of it from `first` to `last`, of which the sum is not known unless it is all of it.
    fn cut(self, first: i64, last: i64) -> Self {
        let (first, last) = (self.first.max(first), self.last.min(last));
        let is_whole = (first, last) == (self.first, self.last);
        Self { first, last, sum: self.sum.filter(|_| is_whole), ..self }
    }

    fn merge(&mut self, next: Self) {
        let sum = self.sum.zip(next.sum).map(|(one, other)| one.wrapping_add(other));
        *self = Self { first: self.first, last: next.last, sum, is_merged: true };
    }

    const fn contains(self, change_id: i64) -> bool {
        self.first <= change_id && change_id <= self.last
    }
}

fn limit_spans(spans: &mut Vec<Span>) {
    while spans.len() > MOST_SPANS {
        let gaps = spans.windows(2).map(|pair| pair[1].first.saturating_sub(pair[0].last));
        let Some((nearest, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) else { return };
        let next = spans.remove(nearest + 1);
        if let Some(span) = spans.get_mut(nearest) {
            span.merge(next);
        }
    }
}

#[cfg(test)]
mod tests {
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

    /// Reads every part again, as a reader does that can read the changes `readable` says. Returns what is delivered.
    fn read_again(cursor: &mut ChangeCursor, rows: &[i64], readable: impl Fn(i64) -> bool) -> Vec<i64> {
        let (one, mut delivered) = (session(1), Vec::new());
        while let Some(part) = cursor.to_try(&one) {
            let within = |id: &&i64| part.after < **id && **id <= part.up_to;
            let within: Vec<i64> = rows.iter().filter(within).copied().collect();
            let closed =
                within.iter().filter(|id| !readable(**id)).fold(0_i64, |sum, id| sum.wrapping_add(*id));
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

    /// Even where every session waits for its key, so that the one of the page would be the first to be forgotten.
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
}
