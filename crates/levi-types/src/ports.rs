//! What Levi asks of the daemon around it. Both ports are narrow and blocking: Levi calls them from its
//! own thread, never from an async task. One exception: a Levi without a database key asks for the secret of a session that
//! it does not know yet where a message of it is handed in, for it must say there and then whether it can keep it.

use std::error::Error;
use std::fmt;

use crate::{CodingSession, MessageId, Repository, RepositoryId, SecretString, SessionId};

/// The daemon's own record of repositories, sessions and their secrets.
pub trait SessionStore: Send + Sync {
    /// The secret of `session` (`sess_...`), or `None` while this device does not have it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer; Levi waits and asks again.
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError>;

    /// The repository with this id, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError>;

    /// The session with this id, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError>;

    /// Told what became of messages: of each at least once that a request carried or that was set aside. A message
    /// that waits for its session's secret is not reported. Told just before the outbox commits the same, so that a
    /// crash in between only means to be told again. A store that keeps no such record ignores it,
    /// and what a store fails to take is not repeated.
    ///
    /// # Errors
    /// [`StoreError`]; Levi logs it and goes on, for the outbox and not this record decides what is sent.
    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError>;
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The message's session.
    pub session_id: SessionId,
    /// Its place there.
    pub sequence_number: i64,
    /// The daemon's own name for it.
    pub message_id: MessageId,
    /// Sent, or why not.
    pub delivery: Delivery,
}

/// Sent, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// Supabase has it.
    Sent,
    /// Not yet; Levi will try again by itself.
    Failed {
        /// A short code: an SQLSTATE, a PostgREST code, or one of Levi's own words.
        code: String,
    },
    /// Not ever, unless somebody steps in.
    Parked {
        /// As for `Failed`.
        code: String,
    },
}

/// A place for small secrets: an OS keychain, or a file that only the user can read.
pub trait Credentials: Send + Sync {
    /// The secret under `name`, or `None` if there is none.
    ///
    /// # Errors
    /// [`CredentialsError`] when the store is locked or broken. That is never the same as `None`.
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError>;

    /// Keeps `secret` under `name`, durably once this returns, replacing an older one atomically.
    ///
    /// # Errors
    /// [`CredentialsError`]; the older secret is then still there.
    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError>;

    /// Forgets what is under `name`, if anything.
    ///
    /// # Errors
    /// [`CredentialsError`] when it could not be removed.
    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError>;
}

/// What a secret in [`Credentials`] is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CredentialName {
    /// Who is signed in and with which tokens, as one JSON object so that it changes in one write.
    SignIn,
    /// This device's id on the server.
    DeviceId,
    /// This device's X25519 private key.
    DevicePrivateKey,
    /// The key that wraps what lies on this device's disk.
    DatabaseKey,
}

impl CredentialName {
    /// The name as a keychain or a file would show it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::DeviceId => "device-id",
            Self::DevicePrivateKey => "device-private-key",
            Self::DatabaseKey => "database-key",
        }
    }
}

/// What kind of trouble a port has; the kind decides what Levi does, the source is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortErrorKind {
    /// Locked, busy, full or slow: asking again later may help.
    Unavailable,
    /// Permission is missing, or a keychain is locked: a person must do something.
    Denied,
    /// What was read makes no sense.
    Corrupt,
}

macro_rules! port_error {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            kind: PortErrorKind,
            source: Box<dyn Error + Send + Sync>,
        }

        impl $name {
            /// Wraps what the store said. The source must carry no secret.
            pub fn new(kind: PortErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
                Self { kind, source: source.into() }
            }

            /// What kind of trouble it is.
            pub const fn kind(&self) -> PortErrorKind {
                self.kind
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let state = match self.kind {
                    PortErrorKind::Unavailable => "is not available now",
                    PortErrorKind::Denied => "denies access",
                    PortErrorKind::Corrupt => "holds something unreadable",
                };
                write!(f, concat!($what, " {}: {}"), state, self.source)
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&*self.source)
            }
        }
    };
}

port_error! {
    /// The session store could not answer.
    StoreError, "the session store"
}
port_error! {
    /// The credentials store could not answer.
    CredentialsError, "the credentials store"
}
