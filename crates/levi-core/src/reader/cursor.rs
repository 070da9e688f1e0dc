//! How far a reader of the change feed has come. Pure.

use std::collections::BTreeMap;

use levi_transport::rows::ChangePlace;
use levi_types::{SessionId, UserId};

use super::arrival::Arrival;

/// The most sessions of which a cursor knows what was delivered. Beyond it the one that changed the
/// longest ago is forgotten.
const MOST_SESSIONS: usize = 4096;

/// The most spans of unreadable rows of one session. Beyond it the two that are nearest to each
/// other become one. If one of their rows can be read later, what could be read between them is
/// delivered again with it.
const MOST_SPANS: usize = 32;

/// Where a reader of the change feed is. Opaque; its text (`Display`, `FromStr`) can be stored, and
/// holds no secret.
///
/// Besides the number of the last change it has, for each of the last 4,096 sessions that changed,
/// the highest sequence number that was delivered, which tells new messages from edited ones, and
/// where the rows are that could not be read, so that a reader that starts again later delivers
/// them when their key has come. It grows by about 25 bytes for each session.
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
    /// The numbers of the changes that could not be read, added up: another sum says that one of
    /// them can be read by now, or is gone. `None`: not known.
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
    /// If changes that were delivered lie in it: the sum of those that could not be read. While
    /// that is the same, nothing in it is news.
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
        // It does not count as delivered, so that nobody without the key can make later messages
        // look edited.
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

    /// Forgets sessions beyond the limit, at the end of a page: those that changed the longest ago,
    /// and those that wait for a key only where all do.
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

    /// Whether a change that the server has at or below the position was certainly never delivered: its
    /// message lies above all, or the change above the last one, that were delivered of its session.
    pub(super) fn is_news(&self, place: &ChangePlace) -> bool {
        let Some(known) = self.sessions.get(&place.session_id) else { return true };
        let rises = known.highest.is_none_or(|highest| place.sequence_number > highest);
        (rises || place.change_id > known.last) && !self.was_unreadable(&place.session_id, place.change_id)
    }

    /// Goes on from `last`, and forgets what came above it: no change above it is still there, or it
    /// is to be delivered again.
    pub(super) fn go_back_to(&mut self, last: Option<i64>) {
        if self.position <= last {
            return;
        }
        self.position = last;
        let last = last.unwrap_or(i64::MIN);
        for known in self.sessions.values_mut() {
            known.last = known.last.min(last);
            known.tried_to = None;
            known.unreadable.retain(|span| span.first <= last);
            known.unreadable.iter_mut().for_each(|span| *span = span.cut(span.first, last));
        }
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

    /// Takes note of the rows that [`to_try`](Self::to_try) named, up to the change `to`. Those
    /// that are not among them are gone: deleted, or changed again.
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
mod tests;
