//! The thread that owns the connection: carries out the machine's actions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use levi_core::{Notifications, PollingReason};
use levi_transport::{ConnectionCloser, ProjectUpgrade, SystemClock};
use levi_types::{AccessToken, AuthError, Clock as _};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::frame;
use crate::machine::{Action, Input, Machine, NoSession, Session};
use crate::socket::{Handshake, Received, Socket};

/// How long to wait for a sign-in. A keychain may ask a person.
const SESSION: Duration = Duration::from_secs(30);

/// What the thread and the notifier share.
pub(crate) struct Shared {
    /// Notified when rows may have changed, or the state has.
    pub(crate) changed: Notify,
    state: Mutex<Notifications>,
    over: AtomicBool,
    connection: Mutex<Option<ConnectionCloser>>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            changed: Notify::new(),
            state: Mutex::new(Notifications::Polling(PollingReason::Connecting)),
            over: AtomicBool::new(false),
            connection: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> Notifications {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_state(&self, state: Notifications) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_one();
    }

    /// Ends the thread, whatever it waits for.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.hold(None);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Keeps what closes the present connection, and closes the one before.
    fn hold(&self, closer: Option<ConnectionCloser>) {
        let before = {
            let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, closer)
        };
        if let Some(before) = before {
            before.close();
        }
    }
}

/// Asks for a session on the runtime of the caller, which an [`Auth`](levi_types::Auth) may need.
pub(crate) struct Ask {
    /// Another token than this one.
    pub(crate) instead_of: Option<AccessToken>,
    pub(crate) answer: mpsc::Sender<Result<Session, AuthError>>,
}

/// What the thread works with.
pub(crate) struct Thread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upgrade: ProjectUpgrade,
    pub(crate) asks: UnboundedSender<Ask>,
    /// The network may be back. It closes when the notifier is dropped.
    pub(crate) network: Receiver<()>,
    pub(crate) machine: Machine,
}

/// The notifier or the runtime is gone.
struct Over;

/// Says that nothing is pushed any more, however the thread ends.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.hold(None);
        self.0.set_state(Notifications::Polling(PollingReason::Dropped));
    }
}

impl Thread {
    pub(crate) fn run(mut self) {
        let clock = SystemClock::new();
        let mut socket = None;
        let _ended = Ended(Arc::clone(&self.shared));
        while self.turn(&clock, &mut socket).is_ok() {}
    }

    fn turn(&mut self, clock: &SystemClock, socket: &mut Option<Socket>) -> Result<(), Over> {
        while let Some(action) = self.machine.poll_action() {
            self.act(clock, action, socket)?;
        }
        if self.shared.is_over() {
            return Err(Over);
        }
        let now = clock.now().monotonic;
        // Every action has been carried out, so the machine waits for a time.
        let left = self.machine.poll_timeout().ok_or(Over)?.since(now);
        if left.is_zero() {
            self.machine.handle_timeout(now);
            return Ok(());
        }
        match socket {
            Some(open) => match open.receive(Instant::now() + left) {
                Ok(Received::Text(text)) => {
                    self.machine.handle(clock.now().monotonic, Input::Received(&text));
                }
                Ok(Received::Nothing) => {}
                Err(reason) => self.machine.handle(clock.now().monotonic, Input::Ended(reason)),
            },
            None => match self.network.recv_timeout(left) {
                Ok(()) => self.machine.handle(clock.now().monotonic, Input::NetworkChanged),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Over),
            },
        }
        Ok(())
    }

    fn act(&mut self, clock: &SystemClock, action: Action, socket: &mut Option<Socket>) -> Result<(), Over> {
        let input = match action {
            Action::AskSession => Input::Session(self.session(None)?),
            Action::Renew(token) => Input::Session(self.session(Some(token))?),
            Action::Connect => match self.connect() {
                Ok(open) => {
                    *socket = Some(open);
                    Input::Connected
                }
                Err(error) => Input::NotConnected(error),
            },
            Action::Send(text) => match socket.as_mut().map_or(Ok(()), |open| open.send(&text)) {
                Ok(()) => return Ok(()),
                Err(reason) => Input::Ended(reason),
            },
            Action::Disconnect => {
                *socket = None;
                self.shared.hold(None);
                return Ok(());
            }
            Action::Wake => {
                self.shared.set_state(self.machine.notifications().clone());
                return Ok(());
            }
        };
        self.machine.handle(clock.now().monotonic, input);
        Ok(())
    }

    fn session(&self, instead_of: Option<AccessToken>) -> Result<Result<Session, NoSession>, Over> {
        let (answer, answered) = mpsc::channel();
        self.asks.send(Ask { instead_of, answer }).map_err(|_| Over)?;
        match answered.recv_timeout(SESSION) {
            Ok(Ok(session)) => Ok(Ok(session)),
            Ok(Err(AuthError::SignedOut | AuthError::Ended(_))) => Ok(Err(NoSession::SignedOut)),
            Ok(Err(_)) | Err(RecvTimeoutError::Timeout) => Ok(Err(NoSession::Unavailable)),
            // The runtime is gone.
            Err(RecvTimeoutError::Disconnected) => Err(Over),
        }
    }

    fn connect(&self) -> Result<Socket, crate::machine::NotConnected> {
        // Earlier notifications asked for an attempt, and this is one.
        while self.network.try_recv().is_ok() {}
        let handshake = Handshake::new();
        let path = format!("/realtime/v1/websocket?vsn={}", frame::VERSION);
        let prepared = self.upgrade.prepare(&path, &handshake.headers());
        self.shared.hold(Some(prepared.closer()));
        if self.shared.is_over() {
            self.shared.hold(None);
        }
        Socket::open(prepared, &handshake)
    }
}
