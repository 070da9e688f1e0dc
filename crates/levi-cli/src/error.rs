use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levi::core::DeviceListError;
use levi::devices::pairing::PairingCodeError;
use levi::devices::recovery::RecoveryKeyError;
use levi::outbox::OutboxError;
use levi::outbox::sqlite::AdminError;
#[cfg(feature = "demo")]
use levi::transport::SignInError;
use levi::transport::{ApiError, HttpConfigError, SignUpError, TokenError};
use levi::types::{AuthError, CredentialsError, FinalWord, StoreError};
use levi::{BuildError, DeviceError, DeviceId, NotConnected, ReadError, SessionId, StartError, SyncError};

use crate::config::ConfigError;
use crate::devices::exit::exit_of;
use crate::exit::Exit;
use crate::text::seconds;

/// Why a command failed. The text says what to do and holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    #[error(
        "no project named; give --url and --key (or LEVI_URL and LEVI_PUBLISHABLE_KEY), or run `levi login` with them once"
    )]
    NoProject,
    #[error("this data directory is signed in to another project; use another --data-dir for the new one")]
    OtherProject,
    #[error("this data directory belongs to another user; use another --data-dir for this one")]
    OtherUser,
    #[error("not signed in; run `levi login`")]
    NotSignedIn,
    #[error("this device is not registered; run `levi login` again")]
    NoDevice,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}; see `levi login`")]
    SignUp(SignUpError),
    #[error(transparent)]
    Http(#[from] HttpConfigError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Start(StartError),
    #[error(transparent)]
    Outbox(OutboxError),
    #[error(transparent)]
    Admin(AdminError),
    #[error(
        "another process owns the outbox at {path}, a daemon or another `levi`; let it send, or stop it and run this again",
        path = .path.display()
    )]
    Owned { path: PathBuf },
    #[error("there is no outbox at {path}: no message was ever enqueued there (see --data-dir)", path = .path.display())]
    NoOutbox { path: PathBuf },
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("{0}")]
    Store(Arc<StoreError>),
    #[error("the email address or the password is wrong (invalid_credentials); nothing was changed")]
    WrongPassword,
    #[error("{0}, with `levi login`")]
    SignInEnded(FinalWord),
    #[error("{why}{wait}", wait = try_again(*retry_after))]
    SignInUnavailable { why: String, retry_after: Option<Duration> },
    #[error(
        "the project does not accept a token that the sign-in server granted a moment ago ({code}); the sign-in is \
         still valid; run this again in a moment, and if it fails for longer, compare the clocks and the JWT keys of \
         the project's servers", code = .0.code
    )]
    TokenNotAccepted(ApiError),
    #[error(
        "the request to Supabase failed: {error}{wait}; run `levi doctor --server`",
        error = .0, wait = try_again(.0.retry_after)
    )]
    Server(ApiError),
    #[error(transparent)]
    Read(ReadError),
    #[error(transparent)]
    Sync(SyncError),
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    #[error(
        "the project's table of devices does not take the device type {given}; give one of its own with --device-type"
    )]
    DeviceType { given: String },
    #[error("{what} is not a uuid, such as 4be0643f-1d98-473b-97cd-ca98a65347dd")]
    NotAUuid { what: &'static str },
    #[error("{0}")]
    Usage(&'static str),
    #[error(transparent)]
    DeviceList(DeviceListError),
    #[error(transparent)]
    RecoveryKey(#[from] RecoveryKeyError),
    #[error(transparent)]
    PairingCode(#[from] PairingCodeError),
    #[error(
        "the recovery key was not typed back, so nothing was changed; run this again when you can write it down"
    )]
    NotTypedBack,
    #[error(
        "{name} ({fingerprint}) was not added; if it is not yours, somebody else has seen the code: show a new one with `levi pair`"
    )]
    NotPaired { name: String, fingerprint: String },
    #[error("none of your other devices is {given:?}; {}", candidates(.others))]
    NoSuchDevice { given: String, others: Vec<Candidate> },
    #[error("several of your devices are named {name:?}; give the id of one: {}", candidates(.named))]
    AmbiguousDevice { name: String, named: Vec<Candidate> },
    #[error("{given} is this device, which can read what it can share")]
    ThisDevice { given: String },
    #[error(
        "{device} cannot be given secrets: it is not on the signed device list, or has no key that can be used; run \
         `levi pair` here and follow it there"
    )]
    NotAccepted { device: Candidate },
    #[error("there is no session {session} of yours; `levi sessions` lists them")]
    NoSuchSession { session: SessionId },
    #[error(
        "session {session} is not shared with this device; run `levi share {device}` on a device that can read it"
    )]
    NotShared { session: SessionId, device: DeviceId },
    #[error("the stored secret of session {session} is malformed; restore the data directory from a backup")]
    MalformedSecret { session: SessionId },
    #[error("the server does not answer; run this again when it does, or give it longer with --patience")]
    NoAnswer,
    #[error("the outbox is half full and the server accepts nothing; run this again when it does")]
    OutboxHalfFull,
    #[error(transparent)]
    Device(DeviceError),
    #[error(
        "another `levi` follows with the cursor {name}; end it, or follow beside it with --cursor and another name"
    )]
    CursorInUse { name: String },
    #[error("cannot read {path}: {source}", path = .path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error(
        "line {line} could not be stored: {error}; the lines before it are stored, run the command again from the start"
    )]
    NotStored { line: u64, error: levi::EnqueueError },
    #[error("cannot write {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path} was not written by Levi, or is damaged; move it away and run `levi login` again", path = .path.display())]
    ProjectFile { path: PathBuf },
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    #[error("cannot {what}: {source}")]
    System { what: &'static str, source: io::Error },
    #[cfg(feature = "demo")]
    #[error(transparent)]
    FakeSupabase(#[from] levi_testkit::supabase::StartError),
    #[cfg(feature = "demo")]
    #[error("cannot read the tables of the fake server: {0}")]
    Inspect(#[from] levi_testkit::supabase::InspectError),
    #[cfg(feature = "demo")]
    #[error("a background task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[cfg(feature = "demo")]
    #[error("{0}")]
    Demo(String),
}

/// A device that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: DeviceId,
    pub(crate) name: String,
}

impl std::fmt::Display for Candidate {
    /// The name is another device's text: it is quoted, so that it does not move the cursor of a terminal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} ({})", self.name, self.id)
    }
}

/// At most a screenful.
const MOST_CANDIDATES: usize = 20;

fn candidates(devices: &[Candidate]) -> String {
    if devices.is_empty() {
        return "there are no others; run `levi login` on one".to_owned();
    }
    let shown: Vec<_> = devices.iter().take(MOST_CANDIDATES).map(ToString::to_string).collect();
    let more = if devices.len() > MOST_CANDIDATES { ", ..." } else { "" };
    format!("they are {}{more}", shown.join(", "))
}

impl CliError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::OtherProject | Self::OtherUser | Self::NotSignedIn | Self::NoDevice => Exit::NotSignedIn,
            Self::SignInEnded(_) | Self::WrongPassword => Exit::NotSignedIn,
            Self::SignInUnavailable { .. } | Self::TokenNotAccepted(_) => Exit::Server,
            Self::Sync(SyncError::DeviceList(_)) => Exit::DeviceList,
            Self::NoAnswer | Self::Server(_) | Self::Sync(_) | Self::Read(_) => Exit::Server,
            Self::Owned { .. } => Exit::Owned,
            Self::DeviceList(error) => exit_of(error),
            Self::SignUp(SignUpError::AlreadyRegistered) => Exit::NotSignedIn,
            Self::SignUp(SignUpError::WeakPassword { .. }) => Exit::BadInput,
            Self::SignUp(_) => Exit::Server,
            Self::Usage(_)
            | Self::Config(ConfigError::NoProfile { .. })
            | Self::NoProject
            | Self::NotAUuid { .. }
            | Self::DeviceType { .. }
            | Self::NoSuchDevice { .. }
            | Self::AmbiguousDevice { .. }
            | Self::ThisDevice { .. }
            | Self::NotAccepted { .. }
            | Self::NoSuchSession { .. }
            | Self::NotShared { .. }
            | Self::RecoveryKey(_)
            | Self::PairingCode(_)
            | Self::NotTypedBack
            | Self::NotPaired { .. }
            | Self::Admin(AdminError::RowsWait { .. } | AdminError::OtherUser { .. }) => Exit::BadInput,
            _ => Exit::LocalError,
        }
    }
}

impl From<OutboxError> for CliError {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Owned { path } => Self::Owned { path },
            other => Self::Outbox(other),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<AdminError> for CliError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Outbox(error) => error.into(),
            other => Self::Admin(other),
        }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Outbox(error) => error.into(),
            other => Self::Start(other),
        }
    }
}

impl From<TokenError> for CliError {
    fn from(error: TokenError) -> Self {
        AuthError::from(error).into()
    }
}

impl From<DeviceError> for CliError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NoProject => Self::NoProject,
            DeviceError::OtherProject => Self::OtherProject,
            DeviceError::OtherUser => Self::OtherUser,
            DeviceError::TokensOfTwoUsers => {
                Self::Usage("the access token is another user's than user_id says")
            }
            DeviceError::NotSignedIn => Self::NotSignedIn,
            DeviceError::NotRegistered => Self::NoDevice,
            DeviceError::DeviceType { given } => Self::DeviceType { given },
            DeviceError::ProjectFile { path } => Self::ProjectFile { path },
            DeviceError::SignUp(SignUpError::SignIn(error)) => TokenError::from(error).into(),
            DeviceError::SignUp(error) => Self::SignUp(error),
            DeviceError::Http(error) => error.into(),
            DeviceError::Build(error) => error.into(),
            DeviceError::NotConnected(error) => error.into(),
            DeviceError::Credentials(error) => error.into(),
            DeviceError::Store(error) => error.into(),
            DeviceError::Auth(error) => error.into(),
            DeviceError::Server(error) => error.into(),
            DeviceError::Read(error) => error.into(),
            DeviceError::Sync(error) => error.into(),
            DeviceError::CursorInUse { name } => Self::CursorInUse { name },
            other => Self::Device(other),
        }
    }
}

#[cfg(feature = "demo")]
impl From<SignInError> for CliError {
    fn from(error: SignInError) -> Self {
        TokenError::from(error).into()
    }
}

impl From<AuthError> for CliError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::SignedOut => Self::NotSignedIn,
            AuthError::Ended(word) => Self::SignInEnded(word),
            AuthError::Unavailable { why, retry_after } => Self::SignInUnavailable { why, retry_after },
            AuthError::OtherUser { .. } => Self::OtherUser,
        }
    }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        // A command asks for a fresh token before it says so.
        if error.verdict == levi::transport::Verdict::SignedOut {
            Self::TokenNotAccepted(error)
        } else {
            Self::Server(error)
        }
    }
}

impl From<DeviceListError> for CliError {
    fn from(error: DeviceListError) -> Self {
        match error {
            DeviceListError::Auth(error) => error.into(),
            DeviceListError::Supabase(error) => error.into(),
            other => Self::DeviceList(other),
        }
    }
}

impl From<SyncError> for CliError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::NotAuthenticated => Self::NotSignedIn,
            SyncError::NoDeviceIdentity => Self::NoDevice,
            SyncError::SignIn(auth) | SyncError::TokenRefused { auth, .. } => auth.into(),
            SyncError::Supabase(error) => error.into(),
            SyncError::Store(error) => Self::Store(error),
            other => Self::Sync(other),
        }
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Auth(error) => error.into(),
            ReadError::Supabase(error) => error.into(),
            other => Self::Read(other),
        }
    }
}

/// When the server's wait is over, if it asked for one.
fn try_again(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!("; next try in {}", seconds(wait.as_secs_f64())))
}
