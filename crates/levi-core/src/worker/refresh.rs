//! Asking for another token, and taking it.

use std::sync::Arc;

use levi_transport::{expiry_of_token, user_of_token};
use levi_types::{AccessToken, AuthError, AuthSession, Wall};
use tracing::Instrument as _;

use super::completion_guard::CompletionGuard;
use super::dispatcher::Dispatcher;
use super::lock;
use super::signed_in::{SignedIn, Source};
use crate::batcher::Input;

impl Dispatcher {
    /// Asks for a token other than the present one or, if there never was one, for the stored one. After the
    /// daemon cleared the context, the stored sign-in is not adopted.
    pub(super) fn refresh(self: &Arc<Self>) {
        let guard = CompletionGuard::new(&self.inbox, Input::RefreshUnavailable { retry_after: None });
        let (stale, changes, is_cleared) = {
            let context = lock(&self.context);
            (context.current.clone(), context.changes, context.is_cleared)
        };
        let source = stale.as_ref().map_or(Source::Stored, |stale| stale.source);
        if is_cleared {
            return guard.complete(source.no_other_token());
        }
        let connection = self.connection.get();
        let Some((connection, auth)) = connection.and_then(|open| Some((open, open.auth.clone()?))) else {
            return guard.complete(source.no_other_token());
        };
        let dispatcher = Arc::clone(self);
        let request = async move {
            let session = match &stale {
                Some(stale) => auth.refresh(&stale.access_token).await,
                None => auth.session().await,
            };
            if session.is_err()
                && let Some(input) = dispatcher.outdated(changes)
            {
                return guard.complete(input);
            }
            match session {
                Ok(session) => {
                    guard.complete(dispatcher.adopt(session, changes));
                    dispatcher.look_at_devices();
                }
                Err(AuthError::SignedOut) => {
                    if source == Source::Stored {
                        dispatcher.cache.clear();
                    }
                    guard.complete(source.no_other_token());
                }
                Err(AuthError::Ended(word)) => {
                    tracing::warn!("{word}");
                    dispatcher.cache.clear();
                    guard.complete(Input::RefreshRefused);
                }
                Err(error @ AuthError::OtherUser { .. }) => {
                    tracing::error!("the sign-in is not used: {error}");
                    guard.complete(source.no_other_token());
                }
                Err(AuthError::Unavailable { why, retry_after }) => {
                    tracing::warn!("no token for now: {why}");
                    guard.complete(Input::RefreshUnavailable { retry_after });
                }
            }
        };
        self.spawn(&connection.runtime, request.instrument(tracing::info_span!("levi.refresh")));
    }

    /// What there is instead, if the daemon set or cleared the context since there had been so many changes.
    fn outdated(&self, changes: u64) -> Option<Input> {
        let context = lock(&self.context);
        let now = if context.current.is_some() { Input::SignedIn } else { Input::SignedOut };
        (context.changes != changes).then_some(now)
    }

    /// Takes the token that was asked for, unless the daemon set or cleared the context in the meantime.
    fn adopt(&self, session: AuthSession, changes: u64) -> Input {
        let AuthSession { user_id: user, access_token } = session;
        let mut context = lock(&self.context);
        if context.changes != changes {
            return if context.current.is_some() { Input::SignedIn } else { Input::SignedOut };
        }
        let source = context.source().unwrap_or(Source::Stored);
        if let Some(found) = user_of_token(&access_token).filter(|found| *found != user) {
            tracing::error!("the sign-in is not used: it says user {user}, and its token is user {found}'s");
            return source.no_other_token();
        }
        if let Some(current) = &context.current
            && source == Source::Daemon
            && is_better(&current.access_token, &access_token, self.clock.now().wall)
        {
            tracing::debug!("the stored token is older than the one that was set, which is used again");
            return source.no_other_token();
        }
        match context.current.as_ref().and_then(|current| current.user.as_ref()) {
            Some(expected) if *expected != user && source == Source::Daemon => {
                tracing::warn!(
                    "the stored sign-in is not used: it is user {user}'s, the context user {expected}'s"
                );
                return source.no_other_token();
            }
            Some(known) if *known == user => {}
            _ => self.user_is(&user),
        }
        context.current = Some(SignedIn { user: Some(user), access_token, source });
        Input::SignedIn
    }
}

/// Whether the token that the daemon set can still be used, and for no shorter time than the stored one. Where a token does
/// not say when it expires, the stored one is tried.
fn is_better(set: &AccessToken, stored: &AccessToken, now: Wall) -> bool {
    match (expiry_of_token(set), expiry_of_token(stored)) {
        (Some(set), Some(stored)) => set > now && set >= stored,
        _ => false,
    }
}
