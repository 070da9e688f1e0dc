//! The sign-in: nothing is sent without a token.
//!
//! Only the sign-in server's final word, or the daemon, ends a sign-in. While there is a token that neither of them
//! took away, every state but a question under way has a timer, and the token that there is is tried again while no
//! fresh one comes: what refused it may have been a passing fault of the project.

mod token;

use std::time::Duration;

use levi_types::Monotonic;

use self::token::{Standing, Token};
use super::notice::PauseReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignIn {
    /// There is a token.
    In,
    /// A token is being asked for.
    Refreshing,
    /// Nothing is sent before this time.
    Waiting { until: Monotonic, because: Wait },
    /// The user must sign in.
    Out,
    /// There is a token that does not say whose it is.
    Unnamed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// There is no token, and the stored sign-in gives none for now. Levi asks it again.
    NoToken,
    /// The project refused the token, and there is no fresh one for now. Levi uses the refused one again.
    NoFreshToken,
    /// The project does not accept a token that needs no replacement. It is used again.
    NotAccepted,
}

/// What the end of a wait brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A token is asked for again.
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
    /// The project accepts this very token from others: only the request waits.
    Request,
}

#[derive(Debug)]
pub(super) struct AuthGate {
    state: SignIn,
    /// Raised with every sign-in and every renewed attempt with a token, because a refusal from before says nothing
    /// about it.
    epoch: u64,
    token: Token,
    /// The sign-in server asked not to be asked before this time.
    ask_after: Monotonic,
    /// Whether the stored token is being asked for. It may have expired since it was stored.
    adopts_stored: bool,
    /// Waits in a row.
    waits: u32,
}

impl AuthGate {
    pub(super) fn new() -> Self {
        Self {
            state: SignIn::Out,
            epoch: 0,
            token: Token::default(),
            ask_after: Monotonic::default(),
            adopts_stored: false,
            waits: 0,
        }
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
        self.waits = 0;
        self.ask_after = Monotonic::default();
        self.use_token();
        self.token = Token::new(self.epoch, was_refreshed.then_some(now));
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
        match self.token.refused(now, fresh_for) {
            Standing::Accepted => return Refused::Request,
            Standing::Fresh => self.wait(now, Wait::NotAccepted, delay),
            // A token that was refreshed long ago has expired: the network was away, or the machine slept.
            Standing::Old if now < self.ask_after => self.wait(now, Wait::NoFreshToken, delay),
            Standing::Old => {
                self.state = SignIn::Refreshing;
                return Refused::Refresh;
            }
        }
        Refused::Nothing
    }

    /// No token for now, and the sign-in server is not asked again before the wait `asked` is over. `delay` gives the wait
    /// for the number of waits in a row.
    pub(super) fn refresh_unavailable(
        &mut self,
        now: Monotonic,
        asked: Duration,
        delay: impl FnOnce(u32) -> Duration,
    ) {
        if self.state != SignIn::Refreshing {
            return;
        }
        self.ask_after = now.after(asked);
        if self.adopts_stored {
            self.wait(now, Wait::NoToken, |waits| delay(waits).max(asked));
        } else {
            self.wait(now, Wait::NoFreshToken, delay);
        }
    }

    /// Only the daemon brings tokens, and it brought this one: it is used again.
    pub(super) fn refresh_impossible(&mut self, now: Monotonic, delay: impl FnOnce(u32) -> Duration) {
        if self.state == SignIn::Refreshing {
            self.token.has_no_better(now);
            self.wait(now, Wait::NotAccepted, delay);
        }
    }

    pub(super) fn refresh_refused(&mut self) {
        if self.state == SignIn::Refreshing {
            self.state = SignIn::Out;
        }
    }

    fn wait(&mut self, now: Monotonic, because: Wait, delay: impl FnOnce(u32) -> Duration) {
        self.waits = self.waits.saturating_add(1);
        self.state = SignIn::Waiting { until: now.after(delay(self.waits)), because };
    }

    /// The server accepted a request that was sent in `epoch`, and so its token. One that waits because another request was
    /// refused is used again at once.
    pub(super) fn accepted(&mut self, epoch: u64) {
        if !self.token.accepted(epoch) {
            return;
        }
        self.waits = 0;
        if matches!(self.state, SignIn::Waiting { because: Wait::NotAccepted, .. }) {
            self.state = SignIn::In;
        }
    }

    /// The next attempt is due at once. The source of tokens keeps the wait that the sign-in server asked for by itself; it
    /// is asked because another process may have signed in.
    pub(super) fn network_changed(&mut self) {
        self.ask_after = Monotonic::default();
        if let SignIn::Waiting { until, .. } = &mut self.state {
            *until = Monotonic::default();
        }
    }

    /// What the end of the wait brings, once it is over.
    pub(super) fn expire(&mut self, now: Monotonic) -> Option<Next> {
        match self.state {
            SignIn::Waiting { until, because: Wait::NoToken } if until <= now => {
                self.state = SignIn::Refreshing;
                Some(Next::Refresh)
            }
            SignIn::Waiting { until, .. } if until <= now => {
                self.use_token();
                Some(Next::UseToken)
            }
            _ => None,
        }
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
            SignIn::Waiting { because: Wait::NoToken | Wait::NoFreshToken, .. } => {
                Some(PauseReason::SignInUnavailable)
            }
            SignIn::Waiting { because: Wait::NotAccepted, .. } => Some(PauseReason::TokenNotAccepted),
        }
    }
}
