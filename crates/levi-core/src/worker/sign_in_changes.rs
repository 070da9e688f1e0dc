//! The stored sign-in changes while the worker runs.

use std::sync::Arc;

use levi_transport::user_of_token;
use levi_types::{AuthSession, SignInChange, SignInListener};

use super::dispatcher::Dispatcher;
use super::lock;
use super::signed_in::{SignedIn, Source};
use crate::batcher::Input;

impl SignInListener for Dispatcher {
    /// The stored sign-in was replaced or removed in this process. A token that the daemon set stays.
    fn changed(self: Arc<Self>, change: SignInChange) {
        let mut context = lock(&self.context);
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
}
