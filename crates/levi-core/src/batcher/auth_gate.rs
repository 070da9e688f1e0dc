//! The sign-in: nothing is sent without a token.

use std::time::Duration;

use levi_types::Monotonic;

use super::notice::PauseReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignIn {
    /// There is a token.
    In,
    /// A token is being asked for.
    Refreshing,
    /// No fresh token for now; the refresh is repeated at this time.
    RefreshAt(Monotonic),
    /// The user must sign in.
    Out,
    /// There is a token that does not say whose it is.
    Unnamed,
}

#[derive(Debug)]
pub(super) struct AuthGate {
    state: SignIn,
    /// Raised with every sign-in, because a refusal of an older token says nothing about a newer one.
    epoch: u64,
    /// When a token was refreshed, if nothing has been accepted since.
    refreshed_at: Option<Monotonic>,
    /// Whether the stored token is being asked for. It may have expired since it was stored.
    adopts_stored: bool,
    refresh_attempts: u32,
}

impl AuthGate {
    pub(super) const fn new() -> Self {
        Self { state: SignIn::Out, epoch: 0, refreshed_at: None, adopts_stored: false, refresh_attempts: 0 }
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

    /// The request that was sent in `epoch` was refused for its token. Says whether to ask for a
    /// fresh one. `fresh_for` is how long a refreshed token cannot have expired.
    pub(super) fn token_refused(&mut self, now: Monotonic, epoch: u64, fresh_for: Duration) -> bool {
        if epoch != self.epoch || self.state != SignIn::In {
            return false;
        }
        // A token that was refreshed long ago has expired: the network was away meanwhile.
        let is_fresh = self.refreshed_at.is_some_and(|at| now.since(at) < fresh_for);
        self.state = if is_fresh { SignIn::Out } else { SignIn::Refreshing };
        !is_fresh
    }

    /// No token for now; `delay` gives the wait for the number of failed attempts.
    pub(super) fn refresh_unavailable(&mut self, now: Monotonic, delay: impl FnOnce(u32) -> Duration) {
        if self.state == SignIn::Refreshing {
            self.refresh_attempts = self.refresh_attempts.saturating_add(1);
            self.state = SignIn::RefreshAt(now.after(delay(self.refresh_attempts)));
        }
    }

    pub(super) fn refresh_refused(&mut self) {
        if self.state == SignIn::Refreshing {
            self.state = SignIn::Out;
        }
    }

    /// The server accepted a request, and so its token.
    pub(super) fn accepted(&mut self) {
        self.refresh_attempts = 0;
        self.refreshed_at = None;
    }

    /// The next attempt is due at once.
    pub(super) fn network_changed(&mut self) {
        if let SignIn::RefreshAt(_) = self.state {
            self.state = SignIn::RefreshAt(Monotonic::default());
        }
    }

    /// Says whether the time has come to ask for a token again.
    pub(super) fn expire(&mut self, now: Monotonic) -> bool {
        let due = matches!(self.state, SignIn::RefreshAt(at) if at <= now);
        if due {
            self.state = SignIn::Refreshing;
        }
        due
    }

    pub(super) const fn timer(&self) -> Option<Monotonic> {
        match self.state {
            SignIn::RefreshAt(at) => Some(at),
            _ => None,
        }
    }

    pub(super) const fn reason(&self) -> Option<PauseReason> {
        match self.state {
            SignIn::In => None,
            SignIn::Out => Some(PauseReason::SignedOut),
            SignIn::Unnamed => Some(PauseReason::UnknownUser),
            SignIn::Refreshing => Some(PauseReason::Refreshing),
            SignIn::RefreshAt(_) => Some(PauseReason::SignInUnavailable),
        }
    }
}
