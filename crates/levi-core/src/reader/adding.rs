//! The sums of the unreadable rows of merged spans, which are added up over several polls. Pure.

use std::collections::VecDeque;

use levi_types::SessionId;

use super::cursor::Part;
use crate::device_list::Opens;

/// The most spans that are added up at a time: one for each cursor that a reader reads with.
const MOST_SPANS: usize = 8;

/// What the rows of a page were opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenedWith {
    /// How many keys of the session there were. The keys themselves are not kept beyond a poll.
    pub(super) keys: usize,
    /// What the signed device list opened before the page, if there is one.
    pub(super) opens: Option<Opens>,
}

/// The sum of a span's first rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) sum: i64,
    /// The last of these rows; `None`: there is none yet.
    pub(super) up_to: Option<i64>,
}

/// One span.
#[derive(Debug)]
struct Adding {
    session: SessionId,
    part: Part,
    with: OpenedWith,
    so_far: Sum,
}

/// The spans of which a beginning was added up. They outlast a poll that fails or is dropped.
#[derive(Debug, Default)]
pub(super) struct Sums(VecDeque<Adding>);

impl Sums {
    /// How far the sum has come.
    pub(super) fn of(&self, session: &SessionId, part: Part) -> Sum {
        let adding = self.0.iter().find(|adding| adding.is_of(session, part));
        adding.map(|adding| adding.so_far).unwrap_or_default()
    }

    /// Adds a page that was read past `before`, unless somebody else added it meanwhile. If more can be opened than
    /// when the rows before it were read, the sum begins anew, because those rows may be readable by now.
    pub(super) fn add(&mut self, session: &SessionId, part: Part, with: OpenedWith, before: Sum, page: Sum) {
        if self.of(session, part) != before {
            return;
        }
        let first = self.take(session, part);
        if first.as_ref().is_some_and(|first| first.is_over(with)) {
            return;
        }
        let with = first.map_or(with, |first| first.with);
        let so_far = Sum { sum: before.sum.wrapping_add(page.sum), ..page };
        self.0.push_back(Adding { session: session.clone(), part, with, so_far });
        if self.0.len() > MOST_SPANS {
            self.0.pop_front();
        }
    }

    /// The span is decided.
    pub(super) fn done(&mut self, session: &SessionId, part: Part) {
        let _ = self.take(session, part);
    }

    fn take(&mut self, session: &SessionId, part: Part) -> Option<Adding> {
        let index = self.0.iter().position(|adding| adding.is_of(session, part))?;
        self.0.remove(index)
    }
}

impl Adding {
    fn is_of(&self, session: &SessionId, part: Part) -> bool {
        self.session == *session && self.part == part
    }

    /// Whether the rows so far were opened with less. A page whose rows all open asks for fewer keys.
    fn is_over(&self, with: OpenedWith) -> bool {
        with.keys > self.with.keys || with.opens != self.with.opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part = Part { after: 0, up_to: 9_000, merged: Some(100) };

    fn with(keys: usize, list: u8) -> OpenedWith {
        OpenedWith { keys, opens: Some(Opens::for_tests(list, true)) }
    }

    fn page(sum: i64, up_to: i64) -> Sum {
        Sum { sum, up_to: Some(up_to) }
    }

    #[test]
    fn a_sum_goes_on_where_it_was_unless_more_can_be_opened() {
        let one = SessionId::from("one");
        let cases = [
            ("the same keys", with(2, 1), page(70, 2_000)),
            ("a page whose rows all open", with(1, 1), page(70, 2_000)),
            ("a key came", with(3, 1), Sum::default()),
            ("the list went on", with(2, 2), Sum::default()),
        ];
        for (what, second, so_far) in cases {
            let mut sums = Sums::default();
            let first = page(30, 1_000);
            for _ in 0..2 {
                // Two followers with the same cursor read the same page.
                sums.add(&one, PART, with(2, 1), Sum::default(), first);
            }
            assert_eq!(sums.of(&one, PART), first, "{what}");
            sums.add(&one, PART, second, first, page(40, 2_000));
            assert_eq!(sums.of(&one, PART), so_far, "{what}");
        }
    }

    #[test]
    fn spans_of_other_sessions_and_cursors_do_not_disturb_each_other() {
        let (one, two) = (SessionId::from("one"), SessionId::from("two"));
        let other = Part { up_to: 7, ..PART };
        let mut sums = Sums::default();
        for (session, part, sum) in [(&one, PART, 1), (&one, other, 2), (&two, PART, 3)] {
            sums.add(session, part, with(1, 1), Sum::default(), page(sum, 5));
        }
        sums.done(&one, other);
        let left =
            [(&one, PART), (&one, other), (&two, PART)].map(|(session, part)| sums.of(session, part).sum);
        assert_eq!(left, [1, 0, 3]);
        for up_to in 0..20 {
            sums.add(&one, Part { up_to, ..PART }, with(1, 1), Sum::default(), page(1, 5));
        }
        assert_eq!(sums.0.len(), MOST_SPANS);
    }
}
