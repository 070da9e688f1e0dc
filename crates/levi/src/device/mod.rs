//! One device of one user, in one folder: what the command `levi` is built on.

mod error;
mod folder;
mod options;
mod stored_cursor;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use levi_core::{
    DeviceListParts, DeviceSummary, DeviceTrust, LeviConfig, NewSession, ReadError, Reader, SecretsCache,
    SessionSummary, SessionSyncService, SignedDeviceList, UnreadableDevice, UnreadableSession,
};
use levi_crypto::SessionSecret;
use levi_store::SqliteSessionStore;
use levi_transport::rows::{DeviceRow, upsert_of};
use levi_transport::{
    ApiError, HttpOptions, HttpSignIn, HttpSupabase, RefreshingAuth, SignedUp, Supabase as _, Tokens,
    Verdict, user_of_token,
};
use levi_types::{AuthSession, CodingSession, DeviceId, Repository, SecretString, UserId};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

pub use self::error::DeviceError;
pub use self::folder::{DeviceFolder, Project};
pub use self::options::DeviceOptions;
use self::options::address;
pub use self::stored_cursor::StoredCursor;
use crate::random_uuid;
use crate::{Levi, LeviBuilder, NotConnected};

/// Sessions of one request.
const PAGE: u32 = 1000;

/// The most sessions of one user. A server could show more without end.
const MOST_SESSIONS: usize = 1_000_000;

/// `invalid_text_representation`: the column is an enum without the word.
const NOT_IN_ENUM: &str = "22P02";

/// A device of a user, with everything that it keeps in one folder. The command `levi` works on the
/// same folder: `levi status`, `doctor`, `pull` and `share` show and do what a daemon's device has.
///
/// ```
/// use levi::{Device, DeviceOptions, LeviConfig};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let options = DeviceOptions::new("https://abcd.supabase.co", "sb_publishable_...");
/// let device = Device::open("/home/ada/.local/share/parser", options)?;
/// if device.user_id().await?.is_none() {
///     device.sign_in("ada@example.org", &"a long password".into()).await?;
///     device.register("laptop", "desktop").await?;
/// }
/// let levi = device.levi(LeviConfig::default())?;
/// levi.start()?;
/// let reader = device.reader()?;
/// # Ok(())
/// # }
/// ```
pub struct Device {
    folder: DeviceFolder,
    http: HttpOptions,
    auth: RefreshingAuth,
    supabase: Arc<HttpSupabase>,
    cache: SecretsCache,
    trust: Option<DeviceTrust>,
    store: Mutex<Option<Arc<SqliteSessionStore>>>,
    /// Made once this device is registered. One for all that share `cache`.
    list: Mutex<Option<SignedDeviceList>>,
}

impl Device {
    /// The device in the folder at `path`, which is created when somebody signs in. Sends no
    /// request.
    ///
    /// # Errors
    /// [`DeviceError`] if no project is named, or the folder is another project's.
    pub fn open(path: impl Into<PathBuf>, options: DeviceOptions) -> Result<Self, DeviceError> {
        Self::in_folder(DeviceFolder::new(Some(path.into())), options)
    }

    /// As [`open`](Self::open), in a folder that is open.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn in_folder(folder: DeviceFolder, options: DeviceOptions) -> Result<Self, DeviceError> {
        let http = address(options, folder.project()?.as_ref())?;
        let auth = RefreshingAuth::new(Arc::new(HttpSignIn::new(&http)?), folder.credentials());
        let supabase = Arc::new(HttpSupabase::new(&http)?);
        let (cache, store, list) = (SecretsCache::new(), Mutex::default(), Mutex::default());
        Ok(Self { folder, http, auth, supabase, cache, trust: None, store, list })
    }

    /// Shares only with devices that `trust` accepts, and reads only what they sealed.
    #[must_use]
    pub fn with_trust(mut self, trust: DeviceTrust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Signs in with a password. A refused sign-in changes nothing.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub async fn sign_in(&self, email: &str, password: &SecretString) -> Result<UserId, DeviceError> {
        let tokens = self.auth.grant(email, password).await?;
        self.adopt_tokens(tokens).await
    }

    /// Signs up a new user, where the project allows it, and signs in if it asks for no
    /// confirmation of the address.
    ///
    /// # Errors
    /// [`DeviceError::SignUp`], and as for [`sign_in`](Self::sign_in)
    pub async fn sign_up(&self, email: &str, password: &SecretString) -> Result<Option<UserId>, DeviceError> {
        if self.folder.project()?.is_some() {
            // A folder belongs to one user, and a new one is another.
            return Err(DeviceError::OtherUser);
        }
        match HttpSignIn::new(&self.http)?.sign_up(email, password).await? {
            SignedUp::SignedIn(tokens) => self.adopt_tokens(tokens).await.map(Some),
            SignedUp::ConfirmationNeeded => Ok(None),
        }
    }

    /// Signs in with tokens of another sign-in flow than a password. They are Levi's alone from now
    /// on: a refresh token works once.
    ///
    /// # Errors
    /// [`DeviceError::OtherUser`] if the folder is another user's.
    pub async fn adopt_tokens(&self, tokens: Tokens) -> Result<UserId, DeviceError> {
        if user_of_token(&tokens.access_token).is_some_and(|user| user != tokens.user_id) {
            return Err(DeviceError::TokensOfTwoUsers);
        }
        let user = tokens.user_id.clone();
        if self.folder.project()?.is_some_and(|known| known.user_id != user) {
            return Err(DeviceError::OtherUser);
        }
        self.folder.create()?;
        let (url, key) = (self.http.api_url.clone(), self.http.publishable_key.clone());
        self.folder.save_project(&Project::new(url, key, user.clone()))?;
        // Before a running `Levi` goes on with these tokens.
        self.cache.signed_in(&user);
        self.auth.adopt(tokens).await?;
        self.folder.tell_owner();
        Ok(user)
    }

    /// Writes this device's row, with its id and its public key, which are created at the first
    /// call. `name` and `device_type` (a word such as `desktop` or `phone`) are shown to people.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub async fn register(&self, name: &str, device_type: &str) -> Result<DeviceId, DeviceError> {
        let signed_in = self.signed_in().await?;
        let id = match self.folder.device_id()? {
            Some(known) => known,
            None => {
                // Saved before the server has it, because a crash in between would register this
                // device twice.
                let id = DeviceId::from(random_uuid());
                self.folder.save_device_id(&id)?;
                id
            }
        };
        let row = DeviceRow {
            public_key: Some(self.folder.private_key()?.public_key().to_base64()),
            ..DeviceRow::new(id.clone(), signed_in.user_id.clone(), name, device_type)
        };
        match self.write(&signed_in, &row).await? {
            Err(error) if error.code == NOT_IN_ENUM => {
                Err(DeviceError::DeviceType { given: device_type.to_owned() })
            }
            written => Ok(written.map(|()| id)?),
        }
    }

    async fn write(
        &self,
        signed_in: &AuthSession,
        row: &DeviceRow,
    ) -> Result<Result<(), ApiError>, DeviceError> {
        let body = || upsert_of(std::slice::from_ref(row));
        let token = &signed_in.access_token;
        match self.supabase.upsert(token, body()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let fresh = self.auth.refresh(token).await?;
                Ok(self.supabase.upsert(&fresh.access_token, body()).await)
            }
            written => Ok(written),
        }
    }

    /// The worker that sends this device's messages, not started yet. `config.data_dir` is replaced
    /// by the folder.
    ///
    /// Made before [`register`](Self::register), it knows no signed device list, and no
    /// [`session_sync`](Self::session_sync) goes through it: make another one then.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub fn levi(&self, config: LeviConfig) -> Result<Levi, DeviceError> {
        Ok(self.builder(config)?.build()?)
    }

    /// As [`levi`](Self::levi), for a daemon that adds to it.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub fn builder(&self, config: LeviConfig) -> Result<LeviBuilder, DeviceError> {
        let config = LeviConfig { data_dir: Some(self.folder.path().to_owned()), ..config };
        let builder = Levi::builder(self.http.clone(), self.session_store()?)
            .config(config)
            .database_key(self.folder.database_key()?)
            .auth(Arc::new(self.auth.clone()))
            .secrets_cache(self.cache.clone());
        let builder = match self.device_list()? {
            Some(list) => builder.shared_device_list(list),
            None => builder,
        };
        Ok(match &self.trust {
            Some(trust) => builder.trust_only(Arc::clone(trust)),
            None => builder,
        })
    }

    /// Session sync through the outbox of `levi`, for this device.
    ///
    /// # Errors
    /// [`DeviceError::NotRegistered`]; [`DeviceError::RegisteredLater`] if `levi` was made before
    /// the device was registered.
    pub fn session_sync(&self, levi: &Levi) -> Result<SessionSyncService, DeviceError> {
        let id = self.registered()?;
        if matches!(levi.device_list(), Err(NotConnected::NoDeviceList)) {
            return Err(DeviceError::RegisteredLater { id });
        }
        Ok(levi.session_sync(self.registered()?, self.folder.private_key()?)?)
    }

    /// Begins a session of this device: into the session store first, with a new secret, then to
    /// the server and to the devices that may read it. What cannot be sent now is in the outbox of
    /// `levi`, before the session's messages.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub async fn begin_session(
        &self,
        levi: &Levi,
        repository: &Repository,
        session: &CodingSession,
    ) -> Result<NewSession, DeviceError> {
        let (store, sync) = (self.session_store()?, self.session_sync(levi)?);
        let secret = SessionSecret::generate(&mut UnwrapErr(SysRng));
        store.save_repository(repository)?;
        store.save_session(session)?;
        // Before anything is encrypted under it, because a message whose secret is lost cannot be
        // read.
        store.save_secret(&session.id, &secret)?;
        Ok(sync.sync_new_session(&session.id, &repository.id, &secret).await?)
    }

    /// A reader of what was shared with this device. It needs no started [`Levi`], and no outbox.
    ///
    /// # Errors
    /// [`DeviceError::NotRegistered`]
    pub fn reader(&self) -> Result<Reader, DeviceError> {
        let (id, key) = (self.registered()?, self.folder.private_key()?);
        // Through the builder, so that a reader trusts whom the worker trusts.
        Ok(self.builder(LeviConfig::default())?.build()?.reader(id, key)?)
    }

    /// Supabase Realtime, for one follower of a [`reader`](Self::reader):
    /// `with_notifier(device.realtime()?)`. The follower falls back to polling by itself, and its
    /// status says why.
    ///
    /// # Errors
    /// [`DeviceError`]
    #[cfg(feature = "realtime")]
    pub fn realtime(&self) -> Result<Arc<levi_realtime::Realtime>, DeviceError> {
        let auth = Arc::new(self.auth.clone());
        Ok(Arc::new(levi_realtime::Realtime::new(&self.http, auth)?))
    }

    /// Every session of the user, whether this device can read it or not.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub async fn sessions(&self) -> Result<Vec<Result<SessionSummary, UnreadableSession>>, DeviceError> {
        let reader = self.reader()?;
        let (mut sessions, mut after) = (Vec::new(), None);
        loop {
            let page = reader.sessions(after.as_ref(), PAGE).await?;
            let Some(cursor) = page.cursor else { return Ok(sessions) };
            after = Some(cursor);
            sessions.extend(page.sessions);
            if sessions.len() > MOST_SESSIONS {
                let detail = format!("more than {MOST_SESSIONS} sessions; is this the right project?");
                let error = ApiError::new(Verdict::Unexpected, "too_many_rows", detail);
                return Err(ReadError::Supabase(error).into());
            }
        }
    }

    /// Every device of the user, and those whose row cannot be read.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub async fn devices(&self) -> Result<Vec<Result<DeviceSummary, UnreadableDevice>>, DeviceError> {
        Ok(self.reader()?.devices().await?)
    }

    /// Deletes the tokens, and removes the token and the session keys from everything that was made
    /// of this device: a running [`Levi`] sends nothing more, unless its daemon gave it a token of
    /// its own (`set_context`). The device's keys, sessions and outbox stay, and what is pending is
    /// sent after the next [`sign_in`](Self::sign_in), for which a running `Levi` waits.
    ///
    /// # Errors
    /// [`DeviceError::Auth`] if the tokens could not be deleted: the next start would be signed in.
    pub async fn sign_out(&self) -> Result<(), DeviceError> {
        self.cache.signed_out();
        self.auth.sign_out().await?;
        // The tokens are gone, so the next ones are of a new sign-in, perhaps by `levi login` on
        // this folder.
        self.cache.await_sign_in();
        self.folder.tell_owner();
        Ok(())
    }

    /// Who is signed in, if anybody is. Sends no request.
    ///
    /// # Errors
    /// [`DeviceError::Auth`]
    pub async fn user_id(&self) -> Result<Option<UserId>, DeviceError> {
        Ok(self.auth.current().await?.map(|signed_in| signed_in.user_id))
    }

    /// This device's record of sessions, opened once.
    ///
    /// # Errors
    /// [`DeviceError::Store`]
    pub fn session_store(&self) -> Result<Arc<SqliteSessionStore>, DeviceError> {
        // A panic cannot leave it half changed.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*store {
            return Ok(Arc::clone(store));
        }
        let opened = Arc::new(self.folder.session_store()?);
        *store = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The folder.
    pub const fn folder(&self) -> &DeviceFolder {
        &self.folder
    }

    /// How the project is reached.
    pub const fn http(&self) -> &HttpOptions {
        &self.http
    }

    /// The project.
    pub fn supabase(&self) -> &HttpSupabase {
        &self.supabase
    }

    /// The sign-in. A refresh token works once, so every part of this device uses this one.
    pub const fn auth(&self) -> &RefreshingAuth {
        &self.auth
    }

    /// The user's signed list, as this device; `None` before it is registered.
    fn device_list(&self) -> Result<Option<SignedDeviceList>, DeviceError> {
        let Some(device_id) = self.folder.device_id()? else { return Ok(None) };
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.is_none() {
            *list = Some(SignedDeviceList::new(DeviceListParts {
                device_id,
                keys: self.folder.member_keys()?,
                store: self.session_store()?,
                database_key: Some(self.folder.database_key()?),
                cache: self.cache.clone(),
            }));
        }
        Ok(list.clone())
    }

    async fn signed_in(&self) -> Result<AuthSession, DeviceError> {
        self.auth.current().await?.ok_or(DeviceError::NotSignedIn)
    }

    fn registered(&self) -> Result<DeviceId, DeviceError> {
        self.folder.device_id()?.ok_or(DeviceError::NotRegistered)
    }
}
