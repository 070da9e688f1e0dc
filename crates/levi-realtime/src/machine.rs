//! Decides when to connect and what to send, and interprets the server's answers. Pure: time is a
//! parameter, and the caller gives a seed once.

use std::collections::VecDeque;
use std::time::Duration;

use levi_core::{Notifications, PollingReason};
use levi_outbox::backoff::Backoff;
use levi_types::{AccessToken, Monotonic, SecretString, UserId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::frame::{self, Incoming};

/// The delays between attempts. A random part, up to half of a delay, is added, so that not all
/// devices connect at once when a project is available again.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300), jitter: 0.5 };

/// The longest wait while nobody is signed in, which a follower also keeps.
const SIGNED_OUT: Duration = Duration::from_secs(30);

/// After a connection has held this long, the delays begin anew.
const STEADY: Duration = Duration::from_secs(60);

/// How long the server has to answer the join, and again to confirm the subscription.
const ANSWER: Duration = Duration::from_secs(15);

/// The time between heartbeats, and for the answer to one. Together half a minute, after which a
/// dead connection is known.
const HEARTBEAT: Duration = Duration::from_secs(25);
const HEARTBEAT_ANSWER: Duration = Duration::from_secs(5);

/// A token is renewed this long before it expires, or an eighth of its time before if that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Who is signed in.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) user: UserId,
    pub(crate) token: AccessToken,
    /// How long the token is valid by this device's clock, zero if it has expired. `None`: it does
    /// not say.
    pub(crate) expires_in: Option<Duration>,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSession {
    SignedOut,
    /// It may be there later.
    Unavailable,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotConnected {
    pub(crate) reason: PollingReason,
    /// The server asked for this wait.
    pub(crate) retry_after: Option<Duration>,
}

/// What happened.
pub(crate) enum Input<'a> {
    /// The result of [`Action::AskSession`] or [`Action::Renew`].
    Session(Result<Session, NoSession>),
    /// The result of [`Action::Connect`].
    Connected,
    NotConnected(NotConnected),
    Received(&'a str),
    /// The connection ended.
    Ended(PollingReason),
    NetworkChanged,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask who is signed in.
    AskSession,
    /// Ask for another token than this one.
    Renew(AccessToken),
    Connect,
    /// A secret, because a join holds the token.
    Send(SecretString),
    Disconnect,
    /// Something may have changed.
    Wake,
}

/// Mutate it with `handle_*`, then call `poll_action` until nothing is left, and `poll_timeout` for
/// the next deadline.
pub(crate) struct Machine {
    state: State,
    actions: VecDeque<Action>,
    notifications: Notifications,
    /// Failed attempts in a row.
    failures: u32,
    random: StdRng,
    last_reference: u64,
}

enum State {
    Resting {
        until: Monotonic,
        earliest: Monotonic,
    },
    /// Waits for the session or, if `expired` has one, for another token than its own.
    Asking {
        expired: Option<Session>,
    },
    Connecting(Session),
    Open(Channel),
}

/// An open connection with a channel.
struct Channel {
    session: Session,
    renew_at: Option<Monotonic>,
    join: u64,
    phase: Phase,
    heartbeat: Heartbeat,
}

enum Phase {
    Joining { until: Monotonic },
    Confirming { until: Monotonic },
    Subscribed { since: Monotonic },
}

enum Heartbeat {
    Due(Monotonic),
    Sent { reference: u64, until: Monotonic },
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: State::Asking { expired: None },
            actions: [Action::AskSession].into(),
            notifications: Notifications::Polling(PollingReason::Connecting),
            failures: 0,
            random: StdRng::seed_from_u64(seed),
            last_reference: 0,
        }
    }

    pub(crate) const fn notifications(&self) -> &Notifications {
        &self.notifications
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None` while the result of an action
    /// is awaited.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        match &self.state {
            State::Resting { until, .. } => Some(*until),
            State::Asking { .. } | State::Connecting(_) => None,
            State::Open(channel) => channel.deadline(),
        }
    }

    pub(crate) fn handle(&mut self, now: Monotonic, input: Input<'_>) {
        match input {
            Input::Session(session) => self.session(now, session),
            Input::Connected => self.connected(now),
            Input::NotConnected(NotConnected { reason, retry_after }) => {
                self.failed(now, reason, retry_after)
            }
            Input::Received(text) => self.received(now, frame::parse(text)),
            Input::Ended(reason) => self.failed(now, reason, None),
            Input::NetworkChanged => {
                if let State::Resting { until, earliest } = &mut self.state {
                    *until = (*earliest).max(now);
                }
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Monotonic) {
        match &mut self.state {
            State::Resting { until, .. } if *until <= now => self.ask(),
            State::Open(channel) => match channel.overdue(now) {
                Some(reason) => self.failed(now, reason, None),
                None => self.keep_up(now),
            },
            _ => {}
        }
    }

    fn ask(&mut self) {
        self.state = State::Asking { expired: None };
        self.actions.push_back(Action::AskSession);
    }

    fn session(&mut self, now: Monotonic, session: Result<Session, NoSession>) {
        match std::mem::replace(&mut self.state, State::Asking { expired: None }) {
            State::Asking { expired } => self.begin(now, expired, session),
            State::Open(channel) => self.compare(now, channel, session),
            other => self.state = other,
        }
    }

    /// Connects with the session. If the token has expired by this device's clock, it is renewed
    /// first. If that fails, the server decides, because the clock may be wrong.
    fn begin(&mut self, now: Monotonic, expired: Option<Session>, session: Result<Session, NoSession>) {
        let session = match (session, expired) {
            (Ok(session), None) if session.expires_in.is_some_and(|left| left.is_zero()) => {
                self.actions.push_back(Action::Renew(session.token.clone()));
                self.state = State::Asking { expired: Some(session) };
                return;
            }
            (Ok(session), _) | (Err(NoSession::Unavailable), Some(session)) => session,
            (Err(_), _) => return self.failed(now, PollingReason::NotSignedIn, None),
        };
        if session.user.check().is_err() {
            return self.failed(now, PollingReason::NotSignedIn, None);
        }
        self.state = State::Connecting(session);
        self.actions.push_back(Action::Connect);
    }

    /// Compares the session with the channel's. A new token is sent on the channel; a new user
    /// needs a new channel.
    fn compare(&mut self, now: Monotonic, mut channel: Channel, session: Result<Session, NoSession>) {
        channel.asked_until(now);
        let session = match session {
            Ok(session) if session.user == channel.session.user => session,
            Err(NoSession::Unavailable) => {
                self.state = State::Open(channel);
                return;
            }
            Ok(_) | Err(NoSession::SignedOut) => {
                self.state = State::Open(channel);
                return self.failed(now, PollingReason::NotSignedIn, None);
            }
        };
        if session.token != channel.session.token {
            let reference = self.reference();
            let text = frame::access_token(reference, channel.join, &session.token);
            self.actions.push_back(Action::Send(text));
            channel.renew_at = renew_at(now, &session);
            channel.session = session;
        }
        self.state = State::Open(channel);
    }

    fn connected(&mut self, now: Monotonic) {
        match std::mem::replace(&mut self.state, State::Asking { expired: None }) {
            State::Connecting(session) => {
                let join = self.reference();
                self.actions.push_back(Action::Send(frame::join(join, &session.user, &session.token)));
                self.state = State::Open(Channel {
                    renew_at: renew_at(now, &session),
                    session,
                    join,
                    phase: Phase::Joining { until: now.after(ANSWER) },
                    heartbeat: Heartbeat::Due(now.after(HEARTBEAT)),
                });
            }
            other => self.state = other,
        }
    }

    fn received(&mut self, now: Monotonic, message: Incoming) {
        let State::Open(channel) = &mut self.state else { return };
        let join = channel.join;
        match (message, &channel.phase) {
            (Incoming::Reply { reference, accepted: true }, Phase::Joining { .. }) if reference == join => {
                channel.phase = Phase::Confirming { until: now.after(ANSWER) };
            }
            (Incoming::Reply { reference, accepted: false }, _) if reference == join => {
                self.failed(now, PollingReason::Refused, None);
            }
            (Incoming::Reply { reference, .. }, _) => channel.answered(now, reference),
            (Incoming::Subscribed | Incoming::Changed, Phase::Confirming { .. }) => {
                channel.phase = Phase::Subscribed { since: now };
                // Wakes the follower, because rows that were written before the subscription are
                // not pushed.
                self.report(Notifications::Connected);
            }
            (Incoming::Changed, Phase::Subscribed { .. }) => self.wake(),
            (Incoming::NotSubscribed, Phase::Confirming { .. } | Phase::Subscribed { .. }) => {
                self.failed(now, PollingReason::NotSubscribed, None);
            }
            (Incoming::Ended, Phase::Joining { .. }) => self.failed(now, PollingReason::Refused, None),
            (Incoming::Ended, _) => self.failed(now, PollingReason::Dropped, None),
            _ => {}
        }
    }

    /// What is due on an open channel.
    fn keep_up(&mut self, now: Monotonic) {
        let State::Open(channel) = &mut self.state else { return };
        if channel.renew_at.is_some_and(|at| at <= now) {
            // Once for each token.
            channel.renew_at = None;
            self.actions.push_back(Action::Renew(channel.session.token.clone()));
        }
        if matches!(channel.heartbeat, Heartbeat::Due(at) if at <= now) {
            self.last_reference += 1;
            let (reference, until) = (self.last_reference, now.after(HEARTBEAT_ANSWER));
            channel.heartbeat = Heartbeat::Sent { reference, until };
            self.actions.push_back(Action::Send(frame::heartbeat(reference)));
            // Somebody else may have renewed the token, signed out, or signed in as another user.
            self.actions.push_back(Action::AskSession);
        }
    }

    fn failed(&mut self, now: Monotonic, reason: PollingReason, retry_after: Option<Duration>) {
        if let State::Open(channel) = &self.state {
            self.actions.push_back(Action::Disconnect);
            if channel.is_steady(now) {
                self.failures = 0;
            }
        }
        self.failures = self.failures.saturating_add(1);
        let delay = BACKOFF.delay(self.failures, self.random.random());
        let longest = if reason == PollingReason::NotSignedIn { SIGNED_OUT } else { Duration::MAX };
        let asked = retry_after.unwrap_or_default().min(BACKOFF.longest());
        let until = now.after(delay.min(longest).max(asked));
        self.state = State::Resting { until, earliest: now.after(asked) };
        self.report(Notifications::Polling(reason));
    }

    fn report(&mut self, notifications: Notifications) {
        if self.notifications != notifications {
            self.notifications = notifications;
            self.wake();
        }
    }

    fn wake(&mut self) {
        self.actions.push_back(Action::Wake);
    }

    fn reference(&mut self) -> u64 {
        self.last_reference += 1;
        self.last_reference
    }
}

impl Channel {
    fn deadline(&self) -> Option<Monotonic> {
        let answer = match self.phase {
            Phase::Joining { until } | Phase::Confirming { until } => Some(until),
            Phase::Subscribed { .. } => None,
        };
        let (Heartbeat::Due(heartbeat) | Heartbeat::Sent { until: heartbeat, .. }) = self.heartbeat;
        [answer, self.renew_at, Some(heartbeat)].into_iter().flatten().min()
    }

    /// Why the channel counts as failed, if the server did not answer in time.
    fn overdue(&self, now: Monotonic) -> Option<PollingReason> {
        match (&self.phase, &self.heartbeat) {
            (Phase::Joining { until }, _) if *until <= now => Some(PollingReason::Silent),
            (_, Heartbeat::Sent { until, .. }) if *until <= now => Some(PollingReason::Silent),
            (Phase::Confirming { until }, _) if *until <= now => Some(PollingReason::NotSubscribed),
            _ => None,
        }
    }

    fn answered(&mut self, now: Monotonic, answered: u64) {
        if matches!(self.heartbeat, Heartbeat::Sent { reference, .. } if reference == answered) {
            self.heartbeat = Heartbeat::Due(now.after(HEARTBEAT));
        }
    }

    /// Waiting for the session took until now, and nothing was read meanwhile.
    fn asked_until(&mut self, now: Monotonic) {
        if let Heartbeat::Sent { until, .. } = &mut self.heartbeat {
            *until = (*until).max(now.after(HEARTBEAT_ANSWER));
        }
    }

    fn is_steady(&self, now: Monotonic) -> bool {
        matches!(self.phase, Phase::Subscribed { since } if now.since(since) >= STEADY)
    }
}

fn renew_at(now: Monotonic, session: &Session) -> Option<Monotonic> {
    let left = session.expires_in.filter(|left| !left.is_zero())?;
    Some(now.after(left.saturating_sub(RENEW_BEFORE.min(left / 8))))
}

#[cfg(test)]
mod tests;
