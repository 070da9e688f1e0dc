//! How far a reader of the change feed has come. Pure.

use std::collections::BTreeMap;

use levi_types::{SessionId, UserId};

use super::changes::Arrival;

/// The most sessions of which a cursor knows what was delivered. Beyond it the one that changed the longest ago is
/// forgotten.
const MOST_SESSIONS: usize = 4096;

/// The most spans of unreadable rows of one session. Beyond it the two that are nearest to each other become one, and
/// what could be read between them is delivered again with them.
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

/// Changes of one session, none of which could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
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
            Some(span) if span.last == before => span.last = change_id,
            _ => known.unreadable.push(Span { first: change_id, last: change_id }),
        }
        limit_spans(&mut known.unreadable);
        // It does not count as delivered, so that nobody without the key can make later messages look edited.
        if known.highest.is_none_or(|highest| sequence_number > highest) {
            Arrival::New
        } else {
            Arrival::Edited
        }
    }

    /// What is known of a session that was forgotten, or is new.
    pub(super) fn recall(&mut self, session: &SessionId, highest: Option<i64>) {
        self.session(session).highest = highest;
    }

    /// The sessions with rows that could not be read.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&SessionId, &Delivered)> {
        self.sessions.iter().filter(|(_, known)| !known.unreadable.is_empty())
    }

    /// Which changes of a session to read again next: after the first number, up to the second.
    pub(super) fn to_try(&self, session: &SessionId) -> Option<(i64, i64)> {
        let known = self.sessions.get(session)?;
        let tried_to = known.tried_to.unwrap_or(i64::MIN);
        let span = known.unreadable.iter().find(|span| span.last > tried_to)?;
        Some((tried_to.max(span.first.saturating_sub(1)), span.last))
    }

    /// Whether this change was delivered as one that cannot be read.
    pub(super) fn was_unreadable(&self, session: &SessionId, change_id: i64) -> bool {
        let spans = self.sessions.get(session).map(|known| known.unreadable.as_slice());
        spans.unwrap_or_default().iter().any(|span| span.contains(change_id))
    }

    /// Takes note of the rows that [`to_try`](Self::to_try) named, up to the change `to`. Those that are not among them are
    /// gone: deleted, or changed again.
    pub(super) fn tried(&mut self, session: &SessionId, rows: &[Tried], to: i64) {
        let Some((after, _)) = self.to_try(session) else { return };
        let Some(known) = self.sessions.get_mut(session) else { return };
        let before = known.unreadable.iter().filter(|span| span.first <= after);
        let mut spans: Vec<Span> = before.map(|span| Span { last: span.last.min(after), ..*span }).collect();
        // Rows that follow each other and cannot be read are one span.
        let mut extends = false;
        for row in rows {
            match spans.last_mut() {
                _ if row.is_readable => known.highest = known.highest.max(Some(row.sequence_number)),
                Some(span) if extends => span.last = row.change_id,
                _ => spans.push(Span { first: row.change_id, last: row.change_id }),
            }
            extends = !row.is_readable;
        }
        let rest = known.unreadable.iter().filter(|span| span.last > to);
        let rest: Vec<Span> =
            rest.map(|span| Span { first: span.first.max(to.saturating_add(1)), ..*span }).collect();
        known.tried_to = (!rest.is_empty()).then_some(to);
        spans.extend(rest);
        limit_spans(&mut spans);
        known.unreadable = spans;
    }

    fn session(&mut self, session: &SessionId) -> &mut Delivered {
        if !self.sessions.contains_key(session) && self.sessions.len() >= MOST_SESSIONS {
            self.forget_one();
        }
        self.sessions.entry(session.clone()).or_default()
    }

    /// Forgets the session that changed the longest ago; one that waits for a key only where all do.
    fn forget_one(&mut self) {
        let age = |(_, known): &(&SessionId, &Delivered)| (!known.unreadable.is_empty(), known.last);
        let oldest = self.sessions.iter().min_by_key(age).map(|(session, _)| session.clone());
        if let Some(session) = oldest {
            self.sessions.remove(&session);
            self.has_forgotten = true;
        }
    }
}

impl Delivered {
    fn rises_to(&mut self, sequence_number: i64) -> Arrival {
        if self.highest.is_some_and(|highest| sequence_number <= highest) {
            return Arrival::Edited;
        }
        self.highest = Some(sequence_number);
        Arrival::New
    }
}

impl Span {
    const fn contains(self, change_id: i64) -> bool {
        self.first <= change_id && change_id <= self.last
    }
}

fn limit_spans(spans: &mut Vec<Span>) {
    while spans.len() > MOST_SPANS {
        let gaps = spans.windows(2).map(|pair| pair[1].first.saturating_sub(pair[0].last));
        let Some((nearest, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) else { return };
        let merged = spans.remove(nearest + 1);
        if let Some(span) = spans.get_mut(nearest) {
            span.last = merged.last;
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
        assert_eq!(cursor.to_try(&one), Some((0, 3)));
        cursor.tried(&one, &[tried(1, true)], 1);
        assert_eq!(cursor.to_try(&one), Some((1, 3)));
        cursor.tried(&one, &[tried(3, false)], 3);
        assert_eq!(cursor.to_try(&one), Some((7, 9)));
        cursor.tried(&one, &[tried(8, true), tried(9, true)], 9);
        assert_eq!(cursor.to_try(&one), Some((2, 3)), "3 waits for the next key");
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

    #[test]
    fn the_session_that_changed_the_longest_ago_is_forgotten_and_asked_about() {
        let mut cursor = ChangeCursor::beginning("u".into());
        cursor.unreadable(&session(0), 1, 1);
        for number in 1..=MOST_SESSIONS {
            cursor.readable(&session(number), i64::try_from(number).unwrap() + 1, 1);
        }
        assert_eq!(cursor.sessions.len(), MOST_SESSIONS);
        assert!(!cursor.may_have_forgotten(&session(0)), "it waits for its key");
        assert!(cursor.may_have_forgotten(&session(1)) && !cursor.may_have_forgotten(&session(2)));
        cursor.recall(&session(1), Some(3));
        assert_eq!(cursor.readable(&session(1), 9999, 3), Arrival::Edited);
    }
}
