//! What Levi needs from the daemon. Both ports are narrow and blocking, so an implementation should
//! answer within milliseconds. For messages, the engine thread calls `SessionStore`. If there is no
//! database key, `enqueue` calls it too for a session whose key is not cached, because it must tell
//! the caller at once whether the message can be stored. Session sync calls it in async tasks: the
//! caller's, and those that send control rows. `RefreshingAuth` and `StoredAuth` call `Credentials`
//! on threads of their own, because a keychain may ask a person first. Only `Levi::start` waits for
//! such a call, because it has to know for which user the next rows are recorded.

use std::error::Error;
use std::fmt;

use crate::{CodingSession, DeviceId, MessageId, Repository, RepositoryId, SecretString, SessionId, UserId};

/// The daemon's own store of repositories, sessions and their secrets.
pub trait SessionStore: Send + Sync {
    /// The secret of `session` (`sess_...`), or `None` while this device does not have it.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read; Levi asks again later.
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError>;

    /// The repository with this id, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError>;

    /// The session with this id, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError>;

    /// The highest sequence number of `session` that was recorded as sent; `None` if there is none,
    /// or the store keeps no such record.
    ///
    /// If the user has a signed device list, `None` makes the session's messages count as late
    /// until Levi has asked the server for its highest number (`sync_new_session`,
    /// `next_sequence_number`). Late messages begin no epoch, so a store should keep this number.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn last_sent(&self, session: &SessionId) -> Result<Option<i64>, StoreError> {
        let _ = session;
        Ok(None)
    }

    /// The user for whom the session was recorded; `None` if the store does not know that. While
    /// another user is signed in, Levi does nothing with the session or its secret. A store that
    /// has the sessions of several users must implement this, or return only the sessions and
    /// secrets of the signed-in user.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn session_user(&self, session: &SessionId) -> Result<Option<UserId>, StoreError> {
        let _ = session;
        Ok(None)
    }

    /// `user` is signed in from now on, and the records that the daemon writes next are this
    /// user's. Levi calls this at least when the user changes, before it sends anything for that
    /// user. A store with only one user need not do anything.
    ///
    /// # Errors
    /// [`StoreError`]. Levi logs it.
    fn signed_in(&self, user: &UserId) -> Result<(), StoreError> {
        let _ = user;
        Ok(())
    }

    /// Records the delivery of messages. Levi calls this at least once for each message that was in
    /// a request or was parked, but not for one that waits for its session's secret. The call comes
    /// just before the outbox commits the same change, so after a crash in between Levi calls it
    /// again. A store without such a record returns `Ok(())`.
    ///
    /// # Errors
    /// [`StoreError`]. Levi logs it and does not call again, because the outbox and not this record
    /// decides what is sent.
    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError>;

    /// The secrets of `session` that this device has opened for `user`, and earlier secrets of its
    /// own store, the latest first. Levi uses them for reading only, and seals nothing under them.
    ///
    /// On the server, a session's later secret replaces the earlier one, and a device's later key
    /// replaces its earlier one. So messages stay readable after a restart only if the store keeps
    /// the secrets that were opened. The default keeps none.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn received_secrets(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Vec<ReceivedSecret>, StoreError> {
        let _ = (user, session);
        Ok(Vec::new())
    }

    /// Keeps a secret that this device opened for `user`. Keeping it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; Levi logs it and reads with the secret all the same.
    fn keep_received_secret(
        &self,
        user: &UserId,
        session: &SessionId,
        received: &ReceivedSecret,
    ) -> Result<(), StoreError> {
        let _ = (user, session, received);
        Ok(())
    }

    /// The public keys (base64) of `sender` under which this device opened an envelope for `user`
    /// before.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn sender_keys(&self, user: &UserId, sender: &DeviceId) -> Result<Vec<String>, StoreError> {
        let _ = (user, sender);
        Ok(Vec::new())
    }
}

/// A secret, other than the present one, under which messages of a session may have been sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedSecret {
    /// The secret (`sess_...`).
    pub secret: SecretString,
    /// Who sealed it for this device. `None`: it is an earlier secret of this device's own store.
    pub sender: Option<SenderKey>,
}

/// A device, and the public key that it had when it sealed an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderKey {
    /// The device.
    pub device_id: DeviceId,
    /// base64 of 32 bytes.
    pub public_key: String,
}

/// The delivery of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The message's session.
    pub session_id: SessionId,
    /// The position in that session.
    pub sequence_number: i64,
    /// The daemon's own id for the message.
    pub message_id: MessageId,
    /// Whether the message is on the server, and if not, why.
    pub delivery: Delivery,
}

/// Whether a message is on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// The message is on the server.
    Sent,
    /// The last request failed; Levi retries.
    Failed {
        /// A short code: an SQLSTATE, a PostgREST code, or a word such as `timeout`.
        code: String,
    },
    /// The server refused the message; Levi does not retry it until an operator unparks it.
    Parked {
        /// As for `Failed`.
        code: String,
    },
}

/// A store for small secrets: an OS keychain, or files that only the user can read.
pub trait Credentials: Send + Sync {
    /// The secret under `name`, or `None` if there is none.
    ///
    /// # Errors
    /// [`CredentialsError`] if the store is locked or cannot be read. Never return `None` then.
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError>;

    /// Stores `secret` under `name` and atomically replaces an older one. Durable once this
    /// returns.
    ///
    /// # Errors
    /// [`CredentialsError`]; the older secret is still stored then.
    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError>;

    /// Removes the secret under `name`, if there is one.
    ///
    /// # Errors
    /// [`CredentialsError`] if it could not be removed.
    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError>;
}

/// The name of a secret in [`Credentials`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CredentialName {
    /// The user id and both tokens, as one JSON object, so that they change in one write.
    SignIn,
    /// The end of a wait that the sign-in server asked for. It is not a secret, but it must survive
    /// a restart, and every process that uses the sign-in must see it. It has its own name, because
    /// a process that stores a wait must not write back tokens that another process has replaced.
    SignInWait,
    /// This device's id on the server.
    DeviceId,
    /// This device's X25519 private key.
    DevicePrivateKey,
    /// The seed of this device's Ed25519 key, which signs entries of the device list.
    DeviceSigningKey,
    /// The seed of this device's X-Wing key, which opens keyrings.
    DeviceKeyringKey,
    /// The key that encrypts what is stored on this device's disk.
    DatabaseKey,
}

impl CredentialName {
    /// The name of the keychain entry or file.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::SignInWait => "sign-in-wait",
            Self::DeviceId => "device-id",
            Self::DevicePrivateKey => "device-private-key",
            Self::DeviceSigningKey => "device-signing-key",
            Self::DeviceKeyringKey => "device-keyring-key",
            Self::DatabaseKey => "database-key",
        }
    }
}

/// The kind of a port's error. It decides what Levi does; the source is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortErrorKind {
    /// Busy, full or slow: a later call may succeed.
    Unavailable,
    /// Permission is missing, or a keychain is locked: a person has to act.
    Denied,
    /// The stored value is malformed.
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
            /// An error of the given kind. `source` must not contain a secret.
            pub fn new(kind: PortErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
                Self { kind, source: source.into() }
            }

            /// The kind of the error.
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
    /// The session store failed.
    StoreError, "the session store"
}
port_error! {
    /// The credentials store failed.
    CredentialsError, "the credentials store"
}
