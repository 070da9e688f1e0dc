//! A device that follows the change feed in virtual time: its process, its stored cursor, and the
//! changes that it got.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use levi_core::{ChangeCursor, ChangePage, Notifications, Notifier, ReadError, Reader, Timer};
use levi_testkit::clock::VirtualClock;
use levi_types::{AccessToken, Auth, AuthError, AuthSession, Clock, Monotonic, UserId};

use super::server::Project;

/// The sign-in of every device. A refresh grants a token that the project accepts.
pub(super) struct Tokens {
    pub(super) user: UserId,
    pub(super) project: Project,
    state: Mutex<TokenState>,
}

struct TokenState {
    number: u32,
    is_signed_in: bool,
}

impl Tokens {
    pub(super) fn new(user: UserId, project: Project) -> Self {
        let state = Mutex::new(TokenState { number: 0, is_signed_in: true });
        let tokens = Self { user, project, state };
        tokens.project.accept_only(token(0));
        tokens
    }

    /// The project no longer accepts the present token.
    pub(super) fn expire(&self) {
        self.project.accept_only("none yet".into());
    }

    pub(super) fn set_signed_in(&self, is_signed_in: bool) {
        self.state().is_signed_in = is_signed_in;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, TokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token(number: u32) -> AccessToken {
    format!("token {number}").as_str().into()
}

#[async_trait]
impl Auth for Tokens {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        let state = self.state();
        if !state.is_signed_in {
            return Err(AuthError::SignedOut);
        }
        Ok(AuthSession { user_id: self.user.clone(), access_token: token(state.number) })
    }

    async fn refresh(&self, stale: &AccessToken) -> Result<AuthSession, AuthError> {
        {
            let mut state = self.state();
            if *stale == token(state.number) {
                state.number += 1;
            }
            self.project.accept_only(token(state.number));
        }
        self.session().await
    }
}

/// Sleeps until the virtual clock is there.
pub(super) struct VirtualTimer {
    pub(super) clock: Arc<VirtualClock>,
    /// When the sleeper wakes up.
    pub(super) due: Arc<Mutex<Option<Monotonic>>>,
}

#[async_trait]
impl Timer for VirtualTimer {
    async fn sleep(&self, time: Duration) {
        let until = self.clock.now().monotonic.after(time);
        std::future::poll_fn(|_| {
            if self.clock.now().monotonic >= until {
                return Poll::Ready(());
            }
            *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
            Poll::Pending
        })
        .await;
    }
}

/// Realtime as a follower sees it. It says whether changes are pushed, which need not be so.
#[derive(Default)]
pub(super) struct Push {
    state: Mutex<Notifications>,
    has_come: AtomicBool,
}

impl Push {
    /// Something may have changed, or nothing has.
    pub(super) fn wake(&self) {
        self.has_come.store(true, Ordering::SeqCst);
    }

    pub(super) fn set_state(&self, state: Notifications) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.wake();
    }
}

#[async_trait]
impl Notifier for Push {
    async fn changed(&self) {
        // The simulation polls whoever waits.
        std::future::poll_fn(|_| match self.has_come.swap(false, Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    fn state(&self) -> Notifications {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a process follows.
pub(super) struct How {
    pub(super) cursor: Option<ChangeCursor>,
    pub(super) limit: u32,
    pub(super) push: Option<Arc<Push>>,
}

/// What the process has to tell, and is told.
#[derive(Default)]
struct Talk {
    came: Option<Result<ChangePage, ReadError>>,
    /// Follow again from this cursor.
    again: Option<Option<ChangeCursor>>,
}

/// A running process that follows.
pub(super) struct Process {
    future: Pin<Box<dyn Future<Output = ()>>>,
    talk: Arc<Mutex<Talk>>,
    due: Arc<Mutex<Option<Monotonic>>>,
}

impl Process {
    pub(super) fn start(reader: Reader, how: How, clock: &Arc<VirtualClock>) -> Self {
        let How { cursor, limit, push } = how;
        let (talk, due) = (Arc::new(Mutex::new(Talk::default())), Arc::default());
        let (says, timer_due, clock) = (Arc::clone(&talk), Arc::clone(&due), Arc::clone(clock));
        let future = Box::pin(async move {
            let timer = Arc::new(VirtualTimer { clock: Arc::clone(&clock), due: timer_due });
            let follow = |cursor| {
                let follow = reader.follow(cursor).with_limit(limit).with_time(clock.clone(), timer.clone());
                match &push {
                    Some(push) => follow.with_notifier(Arc::clone(push) as Arc<dyn Notifier>),
                    None => follow,
                }
            };
            let mut following = follow(cursor);
            loop {
                let page = following.next().await;
                says.lock().unwrap_or_else(PoisonError::into_inner).came = Some(page);
                // The simulation takes it before the process goes on.
                let mut is_told = false;
                std::future::poll_fn(|_| {
                    if std::mem::replace(&mut is_told, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                let again = says.lock().unwrap_or_else(PoisonError::into_inner).again.take();
                if let Some(cursor) = again {
                    following = follow(cursor);
                }
            }
        });
        Self { future, talk, due }
    }

    /// Runs it until it waits, and returns the page that it got. `None`: it waits for the clock.
    pub(super) fn run(&mut self) -> Option<Result<ChangePage, ReadError>> {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.talk.lock().unwrap_or_else(PoisonError::into_inner).came.take()
    }

    /// The process could not handle a page, and follows again from its stored cursor.
    pub(super) fn follow_again(&self, cursor: Option<ChangeCursor>) {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner).again = Some(cursor);
    }

    /// When it wakes up.
    pub(super) fn due(&self) -> Option<Monotonic> {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
