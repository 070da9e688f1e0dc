//! A device that follows the change feed in virtual time: its process, its stored cursor, and the
//! changes that it got.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use levi_core::{ChangeCursor, ChangePage, ReadError, Reader, Timer};
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
    pub(super) fn start(
        reader: Reader,
        cursor: Option<ChangeCursor>,
        limit: u32,
        clock: &Arc<VirtualClock>,
    ) -> Self {
        let (talk, due) = (Arc::new(Mutex::new(Talk::default())), Arc::default());
        let (says, timer_due, clock) = (Arc::clone(&talk), Arc::clone(&due), Arc::clone(clock));
        let future = Box::pin(async move {
            let timer = Arc::new(VirtualTimer { clock: Arc::clone(&clock), due: timer_due });
            let follow =
                |cursor| reader.follow(cursor).with_limit(limit).with_time(clock.clone(), timer.clone());
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
