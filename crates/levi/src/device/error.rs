use std::io;
use std::path::PathBuf;

use levi_core::{ReadError, SyncError};
use levi_transport::{ApiError, HttpConfigError, SignUpError, TokenError};
use levi_types::{AuthError, CredentialsError, DeviceId, StoreError};

use crate::{BuildError, NotConnected};

/// Why a device cannot be used. The text says what to do and holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Neither the options nor an earlier sign-in name a project.
    #[error("no project named; give its address and publishable key")]
    NoProject,
    /// The folder is signed in to another project, whose tokens must not be sent to this one.
    #[error("this folder is signed in to another project; use another folder for the new one")]
    OtherProject,
    /// The folder's outbox holds another user's messages.
    #[error("this folder belongs to another user; use another one for this user")]
    OtherUser,
    /// The tokens name two users.
    #[error("the access token is another user's than user_id says")]
    TokensOfTwoUsers,
    /// Nobody signed in here.
    #[error("nobody is signed in on this device; sign in first")]
    NotSignedIn,
    /// The device has no id yet.
    #[error("this device is not registered; call register first")]
    NotRegistered,
    /// The Levi knows no signed device list, and would give secrets to every device in the
    /// project's table.
    #[error("this Levi was made before the device was registered as {id}; make another one")]
    RegisteredLater {
        /// The device's id.
        id: DeviceId,
    },
    /// The project has a fixed list of kinds of devices.
    #[error("the project's table of devices does not take the device type {given}; give one of its own")]
    DeviceType {
        /// What it did not take.
        given: String,
    },
    /// The folder's record of its project cannot be parsed.
    #[error("{path} was not written by Levi, or is damaged; move it away and sign in again", path = .path.display())]
    ProjectFile {
        /// The file.
        path: PathBuf,
    },
    /// A later version of Levi wrote the folder.
    #[error("{path} was written by a later version of Levi; update this program", path = .path.display())]
    LaterLayout {
        /// The folder.
        path: PathBuf,
    },
    /// A stored cursor cannot be parsed.
    #[error("{path} is not a cursor of this version; delete it to read from the beginning", path = .path.display())]
    CursorFile {
        /// The file.
        path: PathBuf,
    },
    /// Another program follows by this cursor.
    #[error(
        "another program follows with the cursor {name} of this folder; end it, or use a cursor of another name"
    )]
    CursorInUse {
        /// The cursor's name.
        name: String,
    },
    /// A cursor's name has other characters than letters, digits and dashes, or too many.
    #[error("a cursor's name is 1 to 64 letters, digits and dashes")]
    CursorName,
    /// A file of the folder cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The project's address or key cannot be used.
    #[error(transparent)]
    Http(#[from] HttpConfigError),
    /// The worker cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The worker cannot provide session sync.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// Tokens or keys cannot be read or written.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The session store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sign-in failed, or cannot be used now.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// There is no new account.
    #[error(transparent)]
    SignUp(#[from] SignUpError),
    /// The server refused a request or could not be reached.
    #[error("the request to Supabase failed: {0}")]
    Server(#[from] ApiError),
    /// A session cannot be synced.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A list cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<TokenError> for DeviceError {
    fn from(error: TokenError) -> Self {
        AuthError::from(error).into()
    }
}
