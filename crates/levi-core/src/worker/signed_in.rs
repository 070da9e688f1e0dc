//! Who is signed in, and what a request needs of it.

use std::sync::Arc;

use levi_transport::Supabase;
use levi_types::{AccessToken, Auth, UserId};
use tokio::runtime::Handle;

use crate::batcher::Input;
use crate::control::ControlSender;

/// A sender of control rows, and for whom it acts: `None` until somebody signs in.
pub(super) struct UsersSender {
    pub(super) user: Option<UserId>,
    pub(super) sender: Arc<dyn ControlSender>,
}

/// The token to send with.
#[derive(Default)]
pub(super) struct Context {
    pub(super) current: Option<SignedIn>,
    /// Raised whenever the daemon sets or clears the token, and when the stored sign-in is replaced or removed: a refresh
    /// that began before is then out of date.
    pub(super) changes: u64,
    /// Whether the daemon signed out: then the stored sign-in is not adopted.
    pub(super) is_cleared: bool,
}

impl Context {
    /// Who said who is signed in.
    pub(super) fn source(&self) -> Option<Source> {
        Some(self.current.as_ref()?.source)
    }
}

/// A token and whose it is.
#[derive(Clone)]
pub(super) struct SignedIn {
    /// `None`: the token does not say, and nobody is known.
    pub(super) user: Option<UserId>,
    pub(super) access_token: AccessToken,
    pub(super) source: Source,
}

/// Who says who is signed in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The daemon: another user's stored sign-in changes nothing.
    Daemon,
    /// The stored sign-in: if it is replaced by another user's, that one is signed in.
    Stored,
}

impl Source {
    /// What follows if the stored sign-in gives no token: a token that the daemon set can still be used.
    pub(super) const fn no_other_token(self) -> Input {
        match self {
            Self::Daemon => Input::RefreshImpossible,
            Self::Stored => Input::RefreshRefused,
        }
    }
}

/// The connection to the server, open from the start on.
pub(super) struct Connection {
    pub(super) runtime: Handle,
    pub(super) supabase: Arc<dyn Supabase>,
    pub(super) auth: Option<Arc<dyn Auth>>,
}
