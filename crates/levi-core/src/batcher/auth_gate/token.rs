//! What is known of the token in use: whether the project's refusal of a request is about it.

use std::time::Duration;

use levi_types::Monotonic;

/// A token that was accepted is taken for refused once nothing was accepted for so long. A part of the project (a node
/// that restarts, a firewall) may refuse it while others take it.
const REFUSED_AFTER: Duration = Duration::from_secs(5);

/// What a refusal says about the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may have expired.
    Old,
    /// It was granted a moment ago, and the project has not accepted it so far.
    Fresh,
    /// It cannot have expired, or there is no better one, and the project has accepted it a moment ago.
    Accepted,
}

#[derive(Debug, Default)]
pub(super) struct Token {
    /// The epoch in which it was used first.
    first_epoch: u64,
    /// When it was granted, if it was asked for by this process.
    granted_at: Option<Monotonic>,
    /// When it turned out that nothing can replace it.
    no_better_at: Option<Monotonic>,
    /// Whether it was accepted since then.
    was_accepted: bool,
    /// The first refusal since it was last accepted.
    refused_at: Option<Monotonic>,
}

impl Token {
    pub(super) fn new(first_epoch: u64, granted_at: Option<Monotonic>) -> Self {
        Self { first_epoch, granted_at, ..Self::default() }
    }

    /// A request was refused for it. `fresh_for` is how long a token that was granted cannot have expired.
    pub(super) fn refused(&mut self, now: Monotonic, fresh_for: Duration) -> Standing {
        let refused_at = *self.refused_at.get_or_insert(now);
        let is_within = |at: Option<Monotonic>| at.is_some_and(|at| now.since(at) < fresh_for);
        let is_fresh = is_within(self.granted_at);
        let needs_no_other = is_fresh || is_within(self.no_better_at);
        if self.was_accepted && needs_no_other && now.since(refused_at) < REFUSED_AFTER {
            Standing::Accepted
        } else if is_fresh && !self.was_accepted {
            Standing::Fresh
        } else {
            Standing::Old
        }
    }

    /// A request of `epoch` was accepted. Says whether it was sent with this token.
    pub(super) fn accepted(&mut self, epoch: u64) -> bool {
        let is_meant = epoch >= self.first_epoch;
        if is_meant {
            self.was_accepted = true;
            self.refused_at = None;
        }
        is_meant
    }

    /// It was refused, and there is no other one. What accepted it before proves nothing now.
    pub(super) fn has_no_better(&mut self, now: Monotonic) {
        self.no_better_at = Some(now);
        self.was_accepted = false;
    }
}
