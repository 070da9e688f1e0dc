//! When the rows that could not be read are tried again. Pure.
//!
//! A row becomes readable when another device shares its session, replaces a key, or is trusted. Two of the causes leave a
//! sign: a shared session has another envelope, and a changed device list opens other epochs. The others leave none, so a
//! session is tried without a sign too, less and less often. This state is lost with the process; each waiting session is
//! then tried once more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use levi_types::{Monotonic, SessionId};

use super::adding::Sums;
use super::cursor::{Delivered, Span};
use crate::device_list::Opens;

/// The most sessions whose envelopes are asked for with one request, which names them in its address.
pub(super) const MOST_ASKED: usize = 50;

/// The most requests for envelopes in one poll.
const MOST_REQUESTS: usize = 20;

/// The least time between two polls that ask with more than one request.
const ROUND: Duration = Duration::from_secs(15);

/// The most answers without a sign after which a session is tried.
const MOST_ANSWERS: u32 = 64;

/// After so many polls without a key, the reader asks whether a session's rows are still there;
/// each time after twice as many, up to the last.
const FIRST_CHECK: u32 = 16;
const LAST_CHECK: u32 = 1024;

/// The waiting sessions of a reader.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The session that was asked about last: the next poll continues after it.
    asked: Option<SessionId>,
    /// When a poll asked with more than one request.
    round: Option<Monotonic>,
    due: VecDeque<Due>,
    attempts: BTreeMap<SessionId, Attempt>,
    /// The sessions that nothing here can open.
    closed: BTreeMap<SessionId, Closed>,
    /// The due sessions of which the device list may open a row.
    needs_list: BTreeSet<SessionId>,
    /// The merged spans that are being added up.
    pub(super) sums: Sums,
    /// Whether the last attempt to read something again failed.
    has_failed: bool,
}

/// A session to try now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) session: SessionId,
    /// Names the envelope that was there.
    envelope: Option<String>,
    /// What the device list opened.
    opens: Option<Opens>,
}

/// How the part of a poll ended that comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Done,
    Failed,
}

/// The last attempt at a session.
#[derive(Debug)]
struct Attempt {
    envelope: Option<String>,
    opens: Option<Opens>,
    /// Whether a newer device list may open what remained.
    needs_list: bool,
    /// What remained unreadable, and where the cursor was then, so that an older cursor is told from the one that the
    /// attempt led to.
    remained: Vec<Span>,
    position: Option<i64>,
    answers_left: u32,
    /// How many answers to let pass after the next attempt.
    next: u32,
}

/// A session without an envelope and without a key.
#[derive(Debug)]
struct Closed {
    answers_left: u32,
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
    /// What the signed device list opens, if there is one.
    pub(super) opens: Option<Opens>,
}

impl Waiting {
    /// The session to try now.
    pub(super) fn due(&self) -> Option<Due> {
        self.due.front().cloned()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether the next poll asks for new changes before it reads anything again, so that attempts that fail keep no
    /// new message back.
    pub(super) fn is_behind_new(&self) -> bool {
        self.has_failed
    }

    /// The part of a poll that comes first has ended.
    pub(super) fn had_turn(&mut self, turn: Turn) {
        self.has_failed = turn == Turn::Failed;
    }

    /// Whether a newer device list may open what waits.
    pub(super) fn needs_list(&self) -> bool {
        self.attempts.values().any(|attempt| attempt.needs_list)
    }

    /// Which sessions to ask about now, with one request for each element. All of them, if they are no more than a thousand;
    /// otherwise in turn.
    pub(super) fn next_to_ask(&mut self, waiting: &[SessionId], now: Monotonic) -> Vec<Vec<SessionId>> {
        let still_waits = |session: &SessionId| waiting.binary_search(session).is_ok();
        self.attempts.retain(|session, _| still_waits(session));
        self.closed.retain(|session, _| still_waits(session));
        if waiting.len() > MOST_ASKED {
            if self.round.is_some_and(|round| now.since(round) < ROUND) {
                return Vec::new();
            }
            self.round = Some(now);
        }
        let start =
            waiting.partition_point(|session| self.asked.as_ref().is_some_and(|asked| session <= asked));
        let (before, behind) = waiting.split_at(start);
        let in_turn: Vec<SessionId> =
            behind.iter().chain(before).take(MOST_ASKED * MOST_REQUESTS).cloned().collect();
        self.asked = in_turn.last().cloned();
        in_turn.chunks(MOST_ASKED).map(<[SessionId]>::to_vec).collect()
    }

    /// Takes note of what an answer says of a session.
    pub(super) fn seen(&mut self, seen: Sighting<'_>) {
        if seen.envelope.is_none() && !seen.has_key {
            let first = Closed { answers_left: FIRST_CHECK, next: FIRST_CHECK };
            let closed = self.closed.entry(seen.session.clone()).or_insert(first);
            closed.answers_left = closed.answers_left.saturating_sub(1);
            return;
        }
        self.closed.remove(seen.session);
        let is_due = self.attempts.get_mut(seen.session).is_none_or(|attempt| attempt.is_over(seen));
        if is_due && !self.due.iter().any(|due| due.session == *seen.session) {
            let envelope = seen.envelope.map(str::to_owned);
            self.due.push_back(Due { session: seen.session.clone(), envelope, opens: seen.opens });
        }
    }

    /// The session of which to ask now whether its rows are still there. One in a poll is enough.
    pub(super) fn next_to_check(&mut self) -> Option<SessionId> {
        let (session, closed) = self.closed.iter_mut().find(|(_, closed)| closed.answers_left == 0)?;
        closed.next = closed.next.saturating_mul(2).min(LAST_CHECK);
        closed.answers_left = closed.next;
        Some(session.clone())
    }

    /// A newer device list may open a row of this session.
    pub(super) fn may_open_by_list(&mut self, session: &SessionId) {
        self.needs_list.insert(session.clone());
    }

    /// The session was tried to its end, and this remains, with the cursor at `position`.
    pub(super) fn tried(&mut self, due: &Due, position: Option<i64>, remained: &[Span]) {
        self.due.retain(|other| other.session != due.session);
        let needs_list = self.needs_list.remove(&due.session);
        if remained.is_empty() {
            self.attempts.remove(&due.session);
            return;
        }
        let next = self.attempts.get(&due.session).map_or(1, |attempt| attempt.next);
        let attempt = Attempt {
            envelope: due.envelope.clone(),
            opens: due.opens,
            needs_list,
            remained: remained.to_vec(),
            position,
            answers_left: next,
            next: next.saturating_mul(2).min(MOST_ANSWERS),
        };
        self.attempts.insert(due.session.clone(), attempt);
    }
}

impl Attempt {
    /// Whether the session is to be tried again, after one more answer.
    fn is_over(&mut self, seen: Sighting<'_>) -> bool {
        self.answers_left = self.answers_left.saturating_sub(1);
        self.answers_left == 0
            || self.envelope.as_deref() != seen.envelope
            || self.opens != seen.opens
            || !self.led_to(seen.position, &seen.known.unreadable)
    }

    /// Whether a cursor with these unreadable rows is the one that the attempt led to, or a later one.
    fn led_to(&self, position: Option<i64>, unreadable: &[Span]) -> bool {
        position > self.position || (position == self.position && unreadable == self.remained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, last: i64) -> Span {
        Span { first, last, sum: None, is_merged: false }
    }

    fn look(waiting: &mut Waiting, envelope: Option<&str>, has_key: bool) -> bool {
        let known = Delivered { unreadable: vec![span(1, 1)], ..Delivered::default() };
        let session = SessionId::from("s");
        let asked = waiting.next_to_ask(std::slice::from_ref(&session), Monotonic::default());
        assert_eq!(asked, [[session.clone()]]);
        let position = Some(1);
        waiting.seen(Sighting { session: &session, known: &known, position, envelope, has_key, opens: None });
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
    fn after_a_failed_attempt_what_is_new_comes_first_once() {
        let mut waiting = Waiting::default();
        let mut turns = vec![waiting.is_behind_new()];
        for turn in [Turn::Failed, Turn::Failed, Turn::Done] {
            waiting.had_turn(turn);
            turns.push(waiting.is_behind_new());
        }
        assert_eq!(turns, [false, true, true, false]);
    }

    #[test]
    fn a_cursor_from_before_an_attempt_is_tried_again() {
        let (mut waiting, session) = (Waiting::default(), SessionId::from("s"));
        let before = Delivered { unreadable: vec![span(1, 5)], ..Delivered::default() };
        let is_due = |waiting: &mut Waiting, known: &Delivered, position| {
            let envelope = Some("a");
            let (session, has_key, opens) = (&session, false, None);
            waiting.seen(Sighting { session, known, position, envelope, has_key, opens });
            waiting.has_due()
        };
        assert!(is_due(&mut waiting, &before, Some(5)));
        let due = waiting.due().unwrap();
        // The first row is one that nobody sealed; the others were delivered, and that page was lost.
        let after = Delivered { unreadable: vec![span(1, 1)], ..Delivered::default() };
        for _ in 0..8 {
            waiting.tried(&due, Some(5), &after.unreadable);
        }
        assert!(!is_due(&mut waiting, &after, Some(5)) && !is_due(&mut waiting, &after, Some(6)));
        assert!(is_due(&mut waiting, &before, Some(5)));
    }

    #[test]
    fn all_of_a_thousand_sessions_are_asked_about_at_once_and_more_in_turn_but_not_all_the_time() {
        let sessions: Vec<SessionId> = (0..2_500).map(|number| format!("{number:04}").into()).collect();
        let at = |seconds| Monotonic::default().after(Duration::from_secs(seconds));
        let mut waiting = Waiting::default();
        let first = waiting.next_to_ask(&sessions[..1000], at(0));
        assert_eq!((first.len(), first.concat()), (MOST_REQUESTS, sessions[..1000].to_vec()));
        assert!(waiting.next_to_ask(&sessions[..1000], at(1)).is_empty(), "somebody writes all the time");
        let mut asked = BTreeSet::new();
        for round in 1..=3 {
            let batches = waiting.next_to_ask(&sessions, at(round * 15));
            assert!(batches.len() <= MOST_REQUESTS && batches.iter().all(|batch| batch.len() <= MOST_ASKED));
            asked.extend(batches.concat());
        }
        assert_eq!(asked.len(), sessions.len());
        for _ in 0..3 {
            assert_eq!(waiting.next_to_ask(&sessions[..50], at(45)).concat(), sessions[..50], "one request");
        }
    }

    /// A phone is paired, and a member's keyring comes: neither changes an envelope.
    #[test]
    fn a_change_of_the_device_list_is_a_sign_and_what_needs_one_says_so() {
        let (mut waiting, session) = (Waiting::default(), SessionId::from("s"));
        let known = Delivered { unreadable: vec![span(1, 1)], ..Delivered::default() };
        let is_due = |waiting: &mut Waiting, opens| {
            let (session, known, position, envelope) = (&session, &known, Some(1), Some("a"));
            waiting.seen(Sighting { session, known, position, envelope, has_key: false, opens });
            let due = waiting.due();
            if let Some(due) = &due {
                waiting.may_open_by_list(session);
                waiting.tried(due, position, &known.unreadable);
            }
            due.is_some()
        };
        let opens = |byte| Some(Opens::for_tests(byte, byte > 1));
        for _ in 0..8 {
            is_due(&mut waiting, None);
        }
        assert!(waiting.needs_list());
        assert!(!is_due(&mut waiting, None), "nothing has changed");
        assert!(is_due(&mut waiting, opens(1)));
        assert!(!is_due(&mut waiting, opens(1)));
        assert!(is_due(&mut waiting, opens(2)));
    }

    #[test]
    fn a_session_that_nothing_opens_is_asked_about_ever_more_seldom() {
        let (mut waiting, session) = (Waiting::default(), SessionId::from("s"));
        let known = Delivered { unreadable: vec![span(1, 1)], ..Delivered::default() };
        let checks: Vec<usize> = (1..5_000)
            .filter(|_| {
                let (session, known, position, opens) = (&session, &known, Some(1), None);
                waiting.seen(Sighting { session, known, position, envelope: None, has_key: false, opens });
                waiting.next_to_check().is_some()
            })
            .collect();
        assert_eq!(checks, [16, 48, 112, 240, 496, 1008, 2032, 3056, 4080]);
    }
}
