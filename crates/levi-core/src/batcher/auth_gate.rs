//! The sign-in: nothing is sent without a token.
//!
//! Only the sign-in server's final word, or the daemon, ends a sign-in. While there is a token that neither of them
//! took away, every state but a question under way has a timer.

use std::time::Duration;

use levi_types::Monotonic;

use super::notice::PauseReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignIn {
    /// There is a token.
    In,
    /// A token is being asked for.
    Refreshing,
    /// Nothing is sent before this time.
    Waiting { until: Monotonic, then: Next },
    /// The user must sign in.
    Out,
    /// There is a token that does not say whose it is.
    Unnamed,
}

/// What a wait is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A fresh token is asked for again.
    Refresh,
    /// The present token is used again.
    UseToken,
}

/// What to do about a token that the project refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Ask for a fresh one.
    Refresh,
    /// Nothing: it was another token, or it is dealt with already, or it is tried again after a wait.
    Nothing,
}

#[derive(Debug)]
pub(super) struct AuthGate {
    state: SignIn,
    /// Raised with every sign-in and every renewed attempt with a token, because a refusal from before says nothing
    /// about it.
    epoch: u64,
    /// When a token was refreshed, if nothing has been accepted since.
    refreshed_at: Option<Monotonic>,
    /// Whether the stored token is being asked for. It may have expired since it was stored.
    adopts_stored: bool,
    /// Waits in a row.
    waits: u32,
}

impl AuthGate {
    pub(super) const fn new() -> Self {
        Self { state: SignIn::Out, epoch: 0, refreshed_at: None, adopts_stored: false, waits: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == SignIn::In
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn signed_in(&mut self, now: Monotonic) {
        let stored = std::mem::take(&mut self.adopts_stored);
        let was_refreshed = self.state == SignIn::Refreshing && !stored;
        self.refreshed_at = was_refreshed.then_some(now);
        self.waits = 0;
        self.use_token();
    }

    fn use_token(&mut self) {
        self.state = SignIn::In;
        self.epoch += 1;
    }

    pub(super) fn signed_out(&mut self) {
        self.state = SignIn::Out;
    }

    pub(super) fn user_unknown(&mut self) {
        self.state = SignIn::Unnamed;
    }

    /// Says whether to ask for the stored sign-in's token: not if there is a token already.
    pub(super) fn adopt_stored(&mut self) -> bool {
        let is_out = self.state == SignIn::Out;
        if is_out {
            self.state = SignIn::Refreshing;
            self.adopts_stored = true;
        }
        is_out
    }

    /// The request that was sent in `epoch` was refused for its token. `fresh_for` is how long a refreshed token cannot
    /// have expired: one that is younger is used again after `delay`, because the project's clock may be behind that of
    /// the sign-in server, and a token that is fresher still would be refused as well.
    pub(super) fn token_refused(
        &mut self,
        now: Monotonic,
        epoch: u64,
        fresh_for: Duration,
        delay: impl FnOnce(u32) -> Duration,
    ) -> Refused {
        if epoch != self.epoch || self.state != SignIn::In {
            return Refused::Nothing;
        }
        // A token that was refreshed long ago has expired: the network was away, or the machine slept.
        if self.refreshed_at.is_some_and(|at| now.since(at) < fresh_for) {
            self.wait(now, Next::UseToken, delay);
            return Refused::Nothing;
        }
        self.state = SignIn::Refreshing;
        Refused::Refresh
    }

    /// No token for now; `delay` gives the wait for the number of waits in a row.
    pub(super) fn refresh_unavailable(&mut self, now: Monotonic, delay: impl FnOnce(u32) -> Duration) {
        if self.state == SignIn::Refreshing {
            self.wait(now, Next::Refresh, delay);
        }
    }

    /// Only the daemon brings tokens, and it brought this one: it is used again.
    pub(super) fn refresh_impossible(&mut self, now: Monotonic, delay: impl FnOnce(u32) -> Duration) {
        if self.state == SignIn::Refreshing {
            self.wait(now, Next::UseToken, delay);
        }
    }

    pub(super) fn refresh_refused(&mut self) {
        if self.state == SignIn::Refreshing {
            self.state = SignIn::Out;
        }
    }

    fn wait(&mut self, now: Monotonic, then: Next, delay: impl FnOnce(u32) -> Duration) {
        self.waits = self.waits.saturating_add(1);
        self.state = SignIn::Waiting { until: now.after(delay(self.waits)), then };
    }

    /// The server accepted a request, and so its token.
    pub(super) fn accepted(&mut self) {
        self.waits = 0;
        self.refreshed_at = None;
    }

    /// The next attempt is due at once.
    pub(super) fn network_changed(&mut self) {
        if let SignIn::Waiting { until, .. } = &mut self.state {
            *until = Monotonic::default();
        }
    }

    /// What the end of the wait brings, once it is over.
    pub(super) fn expire(&mut self, now: Monotonic) -> Option<Next> {
        let SignIn::Waiting { until, then } = self.state else { return None };
        if until > now {
            return None;
        }
        match then {
            Next::Refresh => self.state = SignIn::Refreshing,
            Next::UseToken => self.use_token(),
        }
        Some(then)
    }

    pub(super) const fn timer(&self) -> Option<Monotonic> {
        match self.state {
            SignIn::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    pub(super) const fn reason(&self) -> Option<PauseReason> {
        match self.state {
            SignIn::In => None,
            SignIn::Out => Some(PauseReason::SignedOut),
            SignIn::Unnamed => Some(PauseReason::UnknownUser),
            SignIn::Refreshing => Some(PauseReason::Refreshing),
            SignIn::Waiting { then: Next::Refresh, .. } => Some(PauseReason::SignInUnavailable),
            SignIn::Waiting { then: Next::UseToken, .. } => Some(PauseReason::TokenNotAccepted),
        }
    }
}
