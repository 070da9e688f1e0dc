//! When the rows that could not be read are tried again. Pure.
//!
//! A row becomes readable when another device shares its session, replaces a key, or is trusted. The first is seen in the
//! session's envelope, which is another one then. The others are not seen, so that a session is tried without a sign too,
//! ever more seldom. What is kept here is lost with the process, and then each waiting session is tried once more.

use std::collections::{BTreeMap, VecDeque};

use levi_types::SessionId;

use super::cursor::{Delivered, Span};

/// The most sessions whose envelopes are looked for with one request, which names them in its address.
pub(super) const MOST_ASKED: usize = 50;

/// The most looks after which a session is tried without a sign.
const MOST_LOOKS: u32 = 64;

/// The waiting sessions of a reader.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The session that was asked about last: each look goes on behind it.
    asked: Option<SessionId>,
    due: VecDeque<Due>,
    attempts: BTreeMap<SessionId, Attempt>,
}

/// A session to try now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) session: SessionId,
    /// Names the envelope that was there.
    envelope: Option<String>,
}

/// The last attempt at a session.
#[derive(Debug)]
struct Attempt {
    envelope: Option<String>,
    /// What remained unreadable, and where the cursor was then, so that an older cursor is told from the one that the
    /// attempt led to.
    remained: Vec<Span>,
    position: Option<i64>,
    looks_left: u32,
    /// How many looks to let pass after the next attempt.
    next: u32,
}

/// What is known of a session whose rows wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting<'a> {
    pub(super) session: &'a SessionId,
    pub(super) known: &'a Delivered,
    /// Where the cursor is.
    pub(super) position: Option<i64>,
    /// Names the envelope for this device, if there is one.
    pub(super) envelope: Option<&'a str>,
    /// Whether this device has a key of the session.
    pub(super) has_key: bool,
}

impl Waiting {
    /// The session to try now.
    pub(super) fn due(&self) -> Option<Due> {
        self.due.front().cloned()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Which sessions to look for next, in turn.
    pub(super) fn next_to_ask(&mut self, waiting: &[SessionId]) -> Vec<SessionId> {
        self.attempts.retain(|session, _| waiting.binary_search(session).is_ok());
        let start =
            waiting.partition_point(|session| self.asked.as_ref().is_some_and(|asked| session <= asked));
        let (before, behind) = waiting.split_at(start);
        let asked: Vec<SessionId> = behind.iter().chain(before).take(MOST_ASKED).cloned().collect();
        self.asked = asked.last().cloned();
        asked
    }

    /// Takes note of what a look found.
    pub(super) fn seen(&mut self, seen: Sighting<'_>) {
        let can_open = seen.envelope.is_some() || seen.has_key;
        let due = match self.attempts.get_mut(seen.session) {
            _ if !can_open => false,
            None => true,
            Some(attempt) => {
                attempt.looks_left = attempt.looks_left.saturating_sub(1);
                attempt.looks_left == 0
                    || attempt.envelope.as_deref() != seen.envelope
                    || !attempt.led_to(seen.position, &seen.known.unreadable)
            }
        };
        if due && !self.due.iter().any(|due| due.session == *seen.session) {
            let envelope = seen.envelope.map(str::to_owned);
            self.due.push_back(Due { session: seen.session.clone(), envelope });
        }
    }

    /// The session was tried to its end, and this remains, with the cursor at `position`.
    pub(super) fn tried(&mut self, due: &Due, position: Option<i64>, remained: &[Span]) {
        self.due.retain(|other| other.session != due.session);
        if remained.is_empty() {
            self.attempts.remove(&due.session);
            return;
        }
        let next = self.attempts.get(&due.session).map_or(1, |attempt| attempt.next);
        let attempt = Attempt {
            envelope: due.envelope.clone(),
            remained: remained.to_vec(),
            position,
            looks_left: next,
            next: next.saturating_mul(2).min(MOST_LOOKS),
        };
        self.attempts.insert(due.session.clone(), attempt);
    }
}

impl Attempt {
    /// Whether a cursor with these unreadable rows is the one that the attempt led to, or a later one.
    fn led_to(&self, position: Option<i64>, unreadable: &[Span]) -> bool {
        position > self.position || (position == self.position && unreadable == self.remained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(waiting: &mut Waiting, envelope: Option<&str>, has_key: bool) -> bool {
        let known = Delivered { unreadable: vec![Span { first: 1, last: 1 }], ..Delivered::default() };
        let session = SessionId::from("s");
        let asked = waiting.next_to_ask(std::slice::from_ref(&session));
        assert_eq!(asked, std::slice::from_ref(&session));
        waiting.seen(Sighting { session: &session, known: &known, position: Some(1), envelope, has_key });
        let Some(due) = waiting.due() else { return false };
        waiting.tried(&due, Some(1), &known.unreadable);
        true
    }

    #[test]
    fn another_envelope_is_tried_at_once_and_the_same_one_ever_more_seldom() {
        let mut waiting = Waiting::default();
        assert!(!look(&mut waiting, None, false), "there is nothing to open it with");
        assert!(look(&mut waiting, Some("a"), false));
        let tries: Vec<usize> = (1..200).filter(|_| look(&mut waiting, Some("a"), false)).collect();
        assert_eq!(tries, [1, 3, 7, 15, 31, 63, 127, 191]);
        assert!(look(&mut waiting, Some("b"), false), "a device shared the session again");
        assert!(!look(&mut waiting, None, false));
        assert!(look(&mut waiting, None, true), "the key came another way");
    }

    #[test]
    fn a_cursor_from_before_an_attempt_is_tried_again() {
        let (mut waiting, session) = (Waiting::default(), SessionId::from("s"));
        let before = Delivered { unreadable: vec![Span { first: 1, last: 5 }], ..Delivered::default() };
        let is_due = |waiting: &mut Waiting, known: &Delivered, position| {
            let envelope = Some("a");
            waiting.seen(Sighting { session: &session, known, position, envelope, has_key: false });
            waiting.has_due()
        };
        assert!(is_due(&mut waiting, &before, Some(5)));
        let due = waiting.due().unwrap();
        // The first row is one that nobody sealed; the others were delivered, and that page was lost.
        let after = Delivered { unreadable: vec![Span { first: 1, last: 1 }], ..Delivered::default() };
        for _ in 0..8 {
            waiting.tried(&due, Some(5), &after.unreadable);
        }
        assert!(!is_due(&mut waiting, &after, Some(5)) && !is_due(&mut waiting, &after, Some(6)));
        assert!(is_due(&mut waiting, &before, Some(5)));
    }

    #[test]
    fn each_of_many_sessions_has_its_turn() {
        let sessions: Vec<SessionId> = (0..120).map(|number| format!("{number:03}").into()).collect();
        let mut waiting = Waiting::default();
        let mut asked: Vec<SessionId> = Vec::new();
        for _ in 0..3 {
            asked.extend(waiting.next_to_ask(&sessions));
        }
        assert_eq!(asked.len(), 150);
        assert!(sessions.iter().all(|session| asked.contains(session)));
    }
}
