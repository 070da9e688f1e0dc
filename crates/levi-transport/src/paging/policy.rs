//! What to do after one page was not answered. Pure.

use std::time::Duration;

use super::size::PageSize;
use crate::api_error::{ApiError, Verdict};

/// What follows a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask again at once, for fewer rows.
    Narrower,
    /// Ask again after the backoff's delay for this retry (the first is 1), and not sooner than the
    /// server asked.
    Later { retry: u32, at_least: Option<Duration> },
    /// The server cannot even return one row: find out which one, and skip it.
    PassOver,
    /// Asking again does not help.
    GiveUp,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The answer is too long, or holds a row that cannot be parsed: half as many rows.
    TooMuch,
    /// The server or the network took too long: a quarter as many, because each attempt costs
    /// seconds.
    TooSlow,
    /// The server is busy or cannot be reached.
    Passing,
    /// The request itself is refused.
    Final,
}

fn failure(error: &ApiError) -> Failure {
    match (error.verdict, error.code.as_str()) {
        (Verdict::ResponseTooLarge | Verdict::TooLarge, _) | (_, "bad_row") => Failure::TooMuch,
        // The server refused the request itself.
        (_, "bad_page") => Failure::Final,
        // The statement timeout; the client's own; gateways' and the edge's; out of resources.
        (_, "57014" | "timeout" | "504" | "522" | "524" | "544" | "546") => Failure::TooSlow,
        (Verdict::Busy | Verdict::Unreachable | Verdict::Unexpected, _) => Failure::Passing,
        // The caller asks for another token, and decides how long it waits for a project.
        (Verdict::SignedOut | Verdict::ProjectUnavailable, _) => Failure::Final,
        (
            Verdict::Forbidden
            | Verdict::MissingParent
            | Verdict::DuplicateInBatch
            | Verdict::Rejected
            | Verdict::SchemaMismatch,
            _,
        ) => Failure::Final,
    }
}

/// The failures of one page.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Failures after which a delay was due.
    retries: u32,
}

impl Attempts {
    /// Takes note of a failure and narrows `size`.
    ///
    /// Between two answers there are at most as many [`Next::Narrower`] as `size` can be divided,
    /// so a read ends if the number of retries is bounded.
    pub(super) fn failed(&mut self, error: &ApiError, size: &mut PageSize) -> Next {
        let kind = failure(error);
        let narrower = match kind {
            Failure::TooMuch | Failure::Passing => size.failed(2),
            Failure::TooSlow => size.failed(4),
            Failure::Final => return Next::GiveUp,
        };
        match kind {
            Failure::TooMuch if !narrower => Next::PassOver,
            Failure::TooMuch => Next::Narrower,
            Failure::TooSlow if narrower && error.retry_after.is_none() => Next::Narrower,
            _ => {
                self.retries = self.retries.saturating_add(1);
                Next::Later { retry: self.retries, at_least: error.retry_after }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(verdict: Verdict, code: &str) -> ApiError {
        ApiError::new(verdict, code, "")
    }

    #[test]
    fn each_failure_has_its_answer() {
        let second = Some(Duration::from_secs(1));
        let table = [
            (error(Verdict::Busy, "57014"), 1000, Next::Narrower, 250),
            (error(Verdict::Busy, "57014"), 1, Next::Later { retry: 1, at_least: None }, 1),
            (error(Verdict::Unreachable, "timeout"), 3, Next::Narrower, 1),
            (error(Verdict::Busy, "546"), 8, Next::Narrower, 2),
            (error(Verdict::ResponseTooLarge, "too_long"), 9, Next::Narrower, 4),
            (error(Verdict::ResponseTooLarge, "too_long"), 1, Next::PassOver, 1),
            (error(Verdict::TooLarge, "413"), 2, Next::Narrower, 1),
            (error(Verdict::Busy, "503"), 100, Next::Later { retry: 1, at_least: None }, 50),
            (
                error(Verdict::Busy, "429").with_retry_after(Duration::from_secs(1)),
                100,
                Next::Later { retry: 1, at_least: second },
                50,
            ),
            (error(Verdict::Unreachable, "reset"), 1, Next::Later { retry: 1, at_least: None }, 1),
            (error(Verdict::SchemaMismatch, "42703"), 100, Next::GiveUp, 100),
            (error(Verdict::SignedOut, "PGRST303"), 100, Next::GiveUp, 100),
            (error(Verdict::Unexpected, "bad_page"), 100, Next::GiveUp, 100),
        ];
        for (error, rows, expected, left) in table {
            let mut size = PageSize::new(rows);
            assert_eq!(Attempts::default().failed(&error, &mut size), expected, "{error}");
            assert_eq!(size.rows(), left, "{error}");
        }
    }

    proptest! {
        /// Whatever a server answers, a page that is given up after some retries takes a bounded
        /// number of requests.
        #[test]
        fn no_server_keeps_a_page_going(kinds in prop::collection::vec(0_usize..5, 200), most in 1_u32..2000) {
            let errors = [
                error(Verdict::Busy, "57014"),
                error(Verdict::Unreachable, "timeout"),
                error(Verdict::ResponseTooLarge, "too_long"),
                error(Verdict::Busy, "503"),
                error(Verdict::Unexpected, "418"),
            ];
            let (mut size, mut attempts) = (PageSize::new(most), Attempts::default());
            let ended = kinds.iter().position(|kind| match attempts.failed(&errors[*kind], &mut size) {
                Next::Narrower => false,
                Next::Later { retry, .. } => retry > 4,
                Next::PassOver | Next::GiveUp => true,
            });
            prop_assert!(ended.is_some_and(|requests| requests <= 4 + 11), "{ended:?}");
        }
    }
}
