//! The receiving device: fetch the envelope, open it, pull messages after a cursor in order, decrypt. A row
//! that cannot be read is named with the reason, and the next one is read all the same.

mod adding;
mod arrival;
mod changes;
mod cursor;
mod cursor_text;
mod epochs;
pub(crate) mod error;
mod follow;
mod keys_to_try;
mod listing;
mod message_error;
mod notifier;
mod open_row;
mod pace;
mod waiting;

use std::sync::{Arc, Mutex, OnceLock};

use levi_crypto::envelope::DevicePrivateKey;
use levi_crypto::{MessageKey, OpenError, SessionSecret};
use levi_outbox::backoff::Backoff;
use levi_transport::rows::MessageRow;
use levi_transport::{Supabase, SystemClock};
use levi_types::{Auth, AuthError, AuthSession, Clock, DeviceId, SessionId, SessionStore, UserId};
use tokio::sync::watch;

pub use self::arrival::Arrival;
pub use self::changes::{Change, ChangePage};
pub use self::cursor::ChangeCursor;
pub use self::cursor_text::BadCursor;
pub use self::error::ReadError;
pub use self::follow::{Follow, FollowStatus, Timer};
use self::keys_to_try::KeysToTry;
pub use self::listing::{
    Access, DeviceSummary, SessionSummary, SessionsPage, SharedSessions, UnreadableDevice, UnreadableSession,
};
pub use self::message_error::{MessageError, UnreadableMessage};
pub use self::notifier::{Notifications, Notifier, PollingReason};
use self::open_row::{asks_for_list, open};
pub use self::pace::Pace;
use self::waiting::Waiting;
use crate::device_list::SignedDeviceList;
use crate::opening::Opening;
use crate::patient_store::PatientStore;
use crate::read_policy::{OnReadRetry, Retries};
use crate::reads::Reads;
use crate::secrets_cache::SecretsCache;
use crate::server::{DeviceTrust, Server, ThisDevice};

/// The most rows in a row that cannot be read and that one [`Reader::pull`] goes past.
const MOST_UNREADABLE: usize = 100_000;

/// Reads on one device what was written on another, for one user: the one who is signed in when it is made or, if
/// that is not known yet, when it is first used. For another user it reads nothing ([`AuthError::OtherUser`]).
///
/// Every read goes in pages whose size follows what the server can answer, and is tried again as uploads are: after
/// a busy server, a statement timeout, a lost connection, a refused token. Each row is tried with every secret of its
/// session that this device has: the daemon's own, those that it opened before, and, once a row does not open, the
/// one in the session's present envelope.
///
/// # Two ways to read
/// [`changes`](Self::changes) and [`follow`](Self::follow) read what changed in all sessions, edits and late messages
/// included. [`pull`](Self::pull) reads one session by sequence number, and sees what is past its cursor: a row that is
/// put back by hand below the cursor, one that is edited there, and a message with a lower number than one that was sent
/// before are not seen. A server that hides the last rows cannot be told from one that never had them.
pub struct Reader {
    server: Server,
    opening: Opening,
    retries: Retries,
    user: OnceLock<UserId>,
    /// The sessions whose keys the change feed waits for.
    waiting: Mutex<Waiting>,
    /// Wakes the followers.
    network: watch::Sender<()>,
    clock: Arc<dyn Clock>,
}

/// One message that could be read.
#[derive(Clone, PartialEq, Eq)]
pub struct PulledMessage {
    /// Its place in the session.
    pub sequence_number: i64,
    /// What was written.
    pub content: String,
}

impl std::fmt::Debug for PulledMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulledMessage")
            .field("sequence_number", &self.sequence_number)
            .field("content_bytes", &self.content.len())
            .finish()
    }
}

/// Some messages, in order.
#[derive(Debug)]
pub struct Page {
    /// What was read, and what could not be.
    pub messages: Vec<Result<PulledMessage, UnreadableMessage>>,
    /// The last message that could be read: ask for the next page after this, now or later. `None`: nothing past the
    /// cursor could be read; keep the cursor, and ask again later.
    ///
    /// Rows that cannot be read move the cursor only if a message that can be read follows them. So nobody without the
    /// session's key can place a row that makes readers overlook later messages. Those at the end of a session are
    /// returned again by the next call.
    pub cursor: Option<i64>,
}

impl Reader {
    /// A reader for `device_id`, which holds `device_private_key`.
    pub fn new(
        supabase: Arc<dyn Supabase>,
        auth: Arc<dyn Auth>,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
        secrets_cache: SecretsCache,
    ) -> Self {
        let user = secrets_cache.user();
        let device = ThisDevice::new(device_id, device_private_key);
        let server = Server::new(supabase, auth, secrets_cache.clone());
        if let Some(user) = &user {
            server.claim(user);
        }
        Self {
            server,
            opening: Opening { device, cache: secrets_cache, store: None, device_list: None },
            retries: Retries::default(),
            waiting: Mutex::default(),
            network: watch::Sender::default(),
            clock: Arc::new(SystemClock::new()),
            user: user.map(OnceLock::from).unwrap_or_default(),
        }
    }

    /// Opens only envelopes of senders that `trust` accepts, for daemons that check public keys out of band.
    /// The first call decides.
    #[must_use]
    pub fn with_trust(self, trust: DeviceTrust) -> Self {
        self.opening.device.trust_only(trust);
        self
    }

    /// Opens only what devices on the user's signed list sealed, and reads the messages that are sealed for them (version 2).
    /// The list must be this device's.
    #[must_use]
    pub fn with_device_list(mut self, list: SignedDeviceList) -> Self {
        self.opening.device_list = Some(list);
        self
    }

    /// Reads with the secrets in `store` too, and keeps there what it opens, so that it stays readable after a restart
    /// whatever becomes of the envelope on the server.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.opening.store = Some(Arc::new(PatientStore::new(store)));
        self
    }

    /// Tries each request again up to `retries` times after a passing failure, with these delays. Default: 4 times within
    /// half a minute. A wait of more than a minute, which a server may ask for, is left to the caller.
    #[must_use]
    pub const fn with_retries(mut self, backoff: Backoff, retries: u32) -> Self {
        self.retries = Retries { backoff, most: retries };
        self
    }

    /// Reads the time from `clock` instead of the machine's clocks.
    #[doc(hidden)]
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tells `tell` of each read that is tried again.
    #[must_use]
    pub fn on_read_retry(mut self, tell: OnReadRetry) -> Self {
        self.server.on_read_retry = Some(tell);
        self
    }

    /// The session's key: from memory, else from the session store, else from this device's envelope.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn session_key(&self, session: &SessionId) -> Result<MessageKey, ReadError> {
        let auth = self.sign_in(session).await?;
        let mut keys_to_try = self.keys_to_try(&auth, session);
        keys_to_try.fill(&self.server.reads(&auth, self.retries)).await?;
        keys_to_try.first().ok_or_else(|| self.no_envelope(session))
    }

    /// The session's secret, from this device's envelope.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn session_secret(&self, session: &SessionId) -> Result<SessionSecret, ReadError> {
        let auth = self.sign_in(session).await?;
        let reads = self.server.reads(&auth, self.retries);
        self.keys_to_try(&auth, session).fetch(&reads).await
    }

    /// At most `limit` messages past `after` (from the beginning, for `None`) that can be read, in order, and the rows
    /// between them that cannot.
    ///
    /// # Errors
    /// [`ReadError`] if the page cannot be read. A row that cannot be read is in the page, as an error.
    pub async fn pull(&self, session: &SessionId, after: Option<i64>, limit: u32) -> Result<Page, ReadError> {
        let auth = self.sign_in(session).await?;
        let reads = self.server.reads(&auth, self.retries);
        let mut keys_to_try = self.keys_to_try(&auth, session);
        keys_to_try.fill(&reads).await?;
        let mut messages = Vec::new();
        let mut looked_at = after;
        loop {
            let page = reads.messages(session, looked_at, limit).await?;
            // Somebody else may have signed in meanwhile.
            self.server.check(&auth)?;
            let Some(last) = page.cursor else { return Ok(Page { messages, cursor: None }) };
            let mut read = self.read(&reads, &mut keys_to_try, session, page.rows).await?;
            if let Some(cursor) = to_last_readable(&mut read) {
                messages.append(&mut read);
                return Ok(Page { messages, cursor: Some(cursor) });
            }
            messages.append(&mut read);
            looked_at = Some(last);
            if messages.len() >= MOST_UNREADABLE {
                return Err(ReadError::TooManyUnreadable { after, up_to: last, rows: messages.len() });
            }
        }
    }

    /// Opens rows.
    async fn read(
        &self,
        reads: &Reads<'_>,
        keys_to_try: &mut KeysToTry<'_>,
        session: &SessionId,
        rows: Vec<Result<MessageRow, levi_transport::PassedOver<i64>>>,
    ) -> Result<Vec<Result<PulledMessage, UnreadableMessage>>, ReadError> {
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows {
            let row = match row {
                Ok(row) => row,
                Err(passed) => {
                    let error = MessageError::NotFetched(passed.error);
                    messages.push(Err(UnreadableMessage { sequence_number: passed.key, error }));
                    continue;
                }
            };
            let sequence_number = row.sequence_number;
            messages.push(match open_row(reads, keys_to_try, session, &row).await? {
                Ok(content) => Ok(PulledMessage { sequence_number, content }),
                Err(error) => Err(UnreadableMessage { sequence_number, error }),
            });
        }
        Ok(messages)
    }

    async fn sign_in(&self, session: &SessionId) -> Result<AuthSession, ReadError> {
        session.check()?;
        self.opening.device.id.check()?;
        let auth = self.session().await?;
        auth.user_id.check()?;
        Ok(auth)
    }

    /// The sign-in, if it is still that of this reader's user.
    async fn session(&self) -> Result<AuthSession, AuthError> {
        let auth = self.server.session().await?;
        let user = self.user.get_or_init(|| auth.user_id.clone());
        if *user == auth.user_id {
            return Ok(auth);
        }
        Err(AuthError::OtherUser { expected: user.clone(), found: auth.user_id })
    }

    fn keys_to_try<'a>(&'a self, auth: &'a AuthSession, session: &'a SessionId) -> KeysToTry<'a> {
        KeysToTry::new(&self.opening, &auth.user_id, session)
    }

    fn no_envelope(&self, session: &SessionId) -> ReadError {
        keys_to_try::no_envelope(&self.opening, session)
    }
}

/// Drops what follows the last message that could be read, and returns that one's number. `None`: there is none, and
/// nothing is dropped.
fn to_last_readable(read: &mut Vec<Result<PulledMessage, UnreadableMessage>>) -> Option<i64> {
    let last = read.iter().rposition(Result::is_ok)?;
    read.truncate(last + 1);
    let last = read.last()?.as_ref().ok()?;
    Some(last.sequence_number)
}

/// Opens a row. One that a newer device list may open is tried again once that was looked at, and one that no
/// secret opens with the session's present one, fetched once more.
async fn open_row(
    reads: &Reads<'_>,
    keys_to_try: &mut KeysToTry<'_>,
    session: &SessionId,
    row: &MessageRow,
) -> Result<Result<String, MessageError>, ReadError> {
    let mut read = open(keys_to_try, session, row);
    if read.as_ref().is_err_and(asks_for_list) && keys_to_try.look_at_list(reads).await? {
        read = open(keys_to_try, session, row);
    }
    while matches!(read, Err(MessageError::Open(OpenError::Forged))) && keys_to_try.more(reads).await? {
        read = open(keys_to_try, session, row);
    }
    Ok(read.map_err(|error| keys_to_try.explain(error)))
}
