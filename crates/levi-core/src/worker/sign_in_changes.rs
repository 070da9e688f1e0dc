//! The stored sign-in changes while the worker runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use levi_transport::user_of_token;
use levi_types::{AuthError, AuthSession, SignInChange, SignInListener};

use super::dispatcher::Dispatcher;
use super::lock;
use super::signed_in::{Context, SignedIn, Source};
use crate::batcher::Input;

impl SignInListener for Dispatcher {
    /// The stored sign-in was replaced or removed in this process.
    fn changed(self: Arc<Self>, change: SignInChange) {
        self.follow(lock(&self.context), change);
    }
}

/// Comparisons of the sign-in that is in use with the stored one. One runs at a time, and one more waits for it.
#[derive(Default)]
pub(super) struct Comparisons {
    running: tokio::sync::Mutex<()>,
    is_due: AtomicBool,
}

impl Dispatcher {
    /// A token that the daemon set stays.
    fn follow(self: &Arc<Self>, mut context: MutexGuard<'_, Context>, change: SignInChange) {
        if context.source() == Some(Source::Daemon) {
            return;
        }
        match change {
            SignInChange::SignedOut => self.replace(context, None, Input::SignedOut),
            SignInChange::SignedIn(AuthSession { user_id: user, access_token }) => {
                if user_of_token(&access_token).is_none_or(|found| found == user) {
                    context.is_cleared = false;
                    let new = SignedIn { user: Some(user), access_token, source: Source::Stored };
                    self.replace(context, Some(new), Input::SignedIn);
                    // Nothing is sealed before it was asked for, so nothing else would ask.
                    self.look_at_devices();
                }
            }
        }
    }

    /// Another process may have signed out, or signed in as another user. Another token of the same user is taken when the
    /// present one is refused.
    pub(super) fn compare_with_stored(self: &Arc<Self>) {
        let auth = self.connection.get().and_then(|connection| connection.auth.clone());
        let (Some(auth), Some(Source::Stored)) = (auth, lock(&self.context).source()) else { return };
        if self.comparisons.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let dispatcher = Arc::clone(self);
        self.spawn_request(async move {
            let _running = dispatcher.comparisons.running.lock().await;
            dispatcher.comparisons.is_due.store(false, Ordering::Release);
            let changes = lock(&dispatcher.context).changes;
            let stored = auth.session().await;
            dispatcher.compared(changes, stored);
        });
    }

    /// The stored sign-in was read after there had been so many changes of the one in use.
    fn compared(self: &Arc<Self>, changes: u64, stored: Result<AuthSession, AuthError>) {
        let context = lock(&self.context);
        let Some(in_use) = context.current.as_ref().filter(|_| context.changes == changes) else { return };
        match stored {
            Err(AuthError::SignedOut) => {
                tracing::info!("another process signed out");
                self.follow(context, SignInChange::SignedOut);
                // The tokens are gone, so the next ones are of a new sign-in.
                self.cache.await_sign_in();
            }
            Ok(stored) if in_use.user.as_ref() != Some(&stored.user_id) => {
                self.follow(context, SignInChange::SignedIn(stored));
            }
            // What cannot be read says nothing.
            Ok(_) | Err(_) => {}
        }
    }
}
