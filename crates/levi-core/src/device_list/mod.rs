//! The user's signed device list, as this device knows it: kept in the daemon's store, compared with what the server
//! shows, and used by everything that seals or reads.

mod admin;
mod fetch;
mod look;
mod mode;
mod problem;
mod read;
mod record;
mod spoiled;
mod stored;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levi_crypto::at_rest::DatabaseKey;
use levi_crypto::envelope::DevicePublicKey;
use levi_devices::keyring::Keyring;
use levi_devices::list::DeviceList;
use levi_devices::{EntryHash, Epoch, EpochSecret, Member, MemberKeys};
use levi_transport::rows::KeyringRow;
use levi_types::{DeviceId, DeviceListStore, EpochStart, Now, SessionId, StoreError, UserId};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand_core::CryptoRng;
use tokio::sync::watch;

pub use self::admin::{
    DeviceListAdmin, DeviceListError, ListedDevice, OpenInvitation, OtherDevices, PairingRequest, Recovery,
};
pub(crate) use self::look::LookError;
use self::mode::{mode, state_of};
pub use self::problem::{DeviceListProblem, DeviceListState};
use self::read::Read;
use self::record::{Alarm, Keyrings};
pub use self::stored::{StoredDeviceList, stored_device_list};
pub use self::upkeep::NextLook;
pub(crate) use self::upkeep::{INTERVAL, WithToken, has_passed};

use crate::random::SharedRng;
use crate::sealing_key::SealingMode;
use crate::secrets_cache::SecretsCache;

/// What a [`SignedDeviceList`] is made of.
pub struct DeviceListParts {
    /// This device's id.
    pub device_id: DeviceId,
    /// This device's private keys.
    pub keys: MemberKeys,
    /// Remembers the list.
    pub store: Arc<dyn DeviceListStore>,
    /// Encrypts the keyring in `store`. Without it, the keyring is fetched again after each start.
    pub database_key: Option<DatabaseKey>,
    /// The keys in memory, shared with everything that seals and reads.
    pub cache: SecretsCache,
}

/// The signed device list of the user who is signed in, for this device. Clones share their state.
///
/// With it, secrets are given to the devices on the list only, under the list's keys, and messages are sealed under the
/// current epoch. For a user who has no list, the device table counts ([`DeviceListState::DeviceTable`]), once the
/// server has said that there is none.
#[derive(Clone)]
pub struct SignedDeviceList(Arc<Inner>);

struct Inner {
    device_id: DeviceId,
    keys: MemberKeys,
    store: Arc<dyn DeviceListStore>,
    database_key: Option<DatabaseKey>,
    cache: SecretsCache,
    known: Mutex<Known>,
    state: watch::Sender<DeviceListState>,
    /// Held during a look at the server and during a change of the list.
    changing: tokio::sync::Mutex<()>,
    /// The source of ids, pairing codes, nonces and ephemeral keys.
    random: Mutex<Box<dyn CryptoRng + Send>>,
}

/// What is known of one user's list.
#[derive(Default)]
struct Known {
    user: Option<UserId>,
    /// As the store has it.
    stored: Option<Vec<u8>>,
    list: Option<Arc<DeviceList>>,
    /// When the server was asked last.
    looked: Option<Now>,
    /// When this process asked it first.
    first_look: Option<Now>,
    /// When the members' keyrings were compared last with what they should be.
    compared: Option<Now>,
    /// As the store has it.
    alarm: Option<Alarm>,
    /// As the store has it.
    keyrings: Keyrings,
    /// Whether the store has `list`.
    is_stored: bool,
}

impl Known {
    fn is_of(&self, user: &UserId) -> bool {
        self.user.as_ref() == Some(user)
    }
}

/// Who is given a session's secret.
pub(crate) enum Recipients {
    /// The active rows of the table `devices`.
    DeviceTable,
    /// These, under these keys.
    Members(Vec<Member>),
    /// Nobody now.
    Stopped(DeviceListProblem),
}

/// Which envelopes and messages a list opens: those of its members, in the epochs whose secrets are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opens {
    head: EntryHash,
    has_epoch: bool,
}

#[cfg(test)]
impl Opens {
    pub(crate) fn for_tests(head: u8, has_epoch: bool) -> Self {
        Self { head: EntryHash::from_bytes([head; 32]), has_epoch }
    }
}

/// What the list says of a device that sealed an envelope.
pub(crate) enum Sender {
    /// There is no list.
    DeviceTable,
    /// Its key, and whether it has not been removed.
    Member { key: DevicePublicKey, is_active: bool },
    /// It never was on the list.
    Unknown,
}

impl SignedDeviceList {
    /// A list that is read from the store when it is first needed. From now on nothing is sealed under `parts.cache` before
    /// the list was looked at.
    pub fn new(parts: DeviceListParts) -> Self {
        let DeviceListParts { device_id, keys, store, database_key, cache } = parts;
        cache.use_device_list();
        let state = watch::Sender::new(DeviceListState::Stopped(DeviceListProblem::NotLooked));
        let (known, changing) = Default::default();
        let random: Mutex<Box<dyn CryptoRng + Send>> = Mutex::new(Box::new(UnwrapErr(SysRng)));
        Self(Arc::new(Inner { device_id, keys, store, database_key, cache, known, state, changing, random }))
    }

    /// Draws from `random` instead of the operating system's source, for all clones.
    #[doc(hidden)]
    #[must_use]
    pub fn with_random(self, random: impl CryptoRng + Send + 'static) -> Self {
        *self.0.random.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(random);
        self
    }

    fn random(&self) -> SharedRng<'_, Box<dyn CryptoRng + Send>> {
        SharedRng(&self.0.random)
    }

    /// What this device knows of the list of the user who is signed in.
    pub fn state(&self) -> DeviceListState {
        self.0.state.borrow().clone()
    }

    /// Receives every change of [`state`](Self::state).
    pub fn watch(&self) -> watch::Receiver<DeviceListState> {
        self.0.state.subscribe()
    }

    /// This device's id.
    pub fn device_id(&self) -> &DeviceId {
        &self.0.device_id
    }

    /// Reads the list of `user` from the store, unless it was read since this user signed in. Does nothing for anybody but
    /// the user whose keys are kept.
    pub(crate) fn load(&self, user: &UserId) {
        if !self.0.cache.keeps_keys_of(user) || (self.0.cache.knows_mode(user) && self.known().is_of(user)) {
            return;
        }
        let mut known = self.known();
        *known = Known { user: Some(user.clone()), ..Known::default() };
        let read = self.read_store(user).unwrap_or_else(Read::problem);
        known.stored = read.stored;
        let keyring = read.list.and_then(|stored| {
            let record::StoredList { list, keyring, alarm, keyrings } = *stored;
            known.list = Some(Arc::new(list));
            (known.alarm, known.keyrings) = (alarm, keyrings);
            known.is_stored = true;
            keyring
        });
        let mode = self.mode(known.list.as_deref(), keyring.as_ref(), read.problem);
        self.publish(user, known.list.as_deref(), mode, keyring);
    }

    /// The list that this device has seen.
    pub(crate) fn list(&self, user: &UserId) -> Option<Arc<DeviceList>> {
        self.load(user);
        let known = self.known();
        known.list.clone().filter(|_| known.is_of(user))
    }

    /// Whether the server should be asked, because it was not for `interval`.
    pub(crate) fn is_due(&self, user: &UserId, now: Now, interval: Duration) -> bool {
        let known = self.known();
        !known.is_of(user) || known.looked.is_none_or(|looked| has_passed(interval, looked, now))
    }

    /// The server was asked at `now`.
    pub(crate) fn looked_at(&self, now: Now) {
        let mut known = self.known();
        known.looked = Some(now);
        known.first_look.get_or_insert(now);
    }

    /// The server should be asked again, because the machine slept or much was sent since.
    pub(crate) fn forget_last_look(&self) {
        self.known().looked = None;
    }

    /// Adopts the list that another process on the same store has stored, and asks the server soon.
    pub(crate) fn catch_up(&self, user: &UserId) {
        // A look or a change that is under way compares with the store by itself.
        if let Ok(_one_at_a_time) = self.0.changing.try_lock() {
            self.catch_up_while_locked(user);
        }
    }

    fn catch_up_while_locked(&self, user: &UserId) {
        let known = self.known();
        if !known.is_of(user) || known.keyrings == Keyrings::Owed {
            return;
        }
        let stored = self.0.store.device_list(user);
        let is_news = matches!(&stored, Ok(Some(stored)) if known.stored.as_ref() != Some(stored));
        drop(known);
        if is_news {
            self.read_again(user);
        }
    }

    /// A look at the list or a change of it holds this lock until its result is stored.
    pub(crate) async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    pub(crate) fn recipients(&self, user: &UserId) -> Recipients {
        let list = self.list(user);
        match (self.state_of(user), list) {
            (DeviceListState::Stopped(problem), _) => Recipients::Stopped(problem),
            (_, Some(list)) => Recipients::Members(list.active_members().cloned().collect()),
            (DeviceListState::DeviceTable, None) => Recipients::DeviceTable,
            (DeviceListState::Listed { .. }, None) => Recipients::Stopped(DeviceListProblem::NotLooked),
        }
    }

    /// What is known of the list of `user`.
    fn state_of(&self, user: &UserId) -> DeviceListState {
        match self.known().is_of(user) {
            true => self.state(),
            false => DeviceListState::Stopped(DeviceListProblem::NotLooked),
        }
    }

    /// Removed members count, because what they sealed while they were members stays readable.
    ///
    /// A device that is on no list reads as without one: it has nothing else to go by, and seals nothing with what it reads.
    pub(crate) fn sender(&self, user: &UserId, device: &DeviceId) -> Sender {
        let Some(list) = self.list(user) else {
            return match self.state_of(user) {
                DeviceListState::DeviceTable
                | DeviceListState::Stopped(DeviceListProblem::NotLooked | DeviceListProblem::NotOnList) => {
                    Sender::DeviceTable
                }
                DeviceListState::Listed { .. } | DeviceListState::Stopped(_) => Sender::Unknown,
            };
        };
        match list.member(device) {
            Some(known) => {
                Sender::Member { key: *known.member.keys().envelope(), is_active: known.is_active() }
            }
            None => Sender::Unknown,
        }
    }

    /// What can be opened by this list, so far: another value says that something else may open.
    pub(crate) fn opens(&self, user: &UserId) -> Option<Opens> {
        let list = self.list(user)?;
        let keyring = self.0.cache.keyring(user);
        let has_epoch = keyring.is_some_and(|keyring| keyring.secret(list.epoch()).is_some());
        Some(Opens { head: list.head(), has_epoch })
    }

    /// The secret of an epoch, if this device has it.
    pub(crate) fn epoch_secret(&self, user: &UserId, epoch: Epoch) -> Option<EpochSecret> {
        self.load(user);
        self.0.cache.keyring(user)?.secret(epoch).cloned()
    }

    /// The keyrings that this device has to write, because it began the current epoch and was interrupted.
    pub(crate) fn owed_keyrings(&self, user: &UserId) -> Option<Vec<KeyringRow>> {
        let known = self.known();
        let list = known.list.clone().filter(|_| known.keyrings == Keyrings::Owed)?;
        drop(known);
        let keyring = self.0.cache.keyring(user).filter(|_| list.user_id() == user)?;
        let members = list.active_members().map(Member::id);
        admin::keyring_rows(&list, &keyring, members).ok()
    }

    /// What this device remembers of the epochs of a session.
    ///
    /// An epoch that the list has no commitment to was cut off by a recovery, so what a thief began in it does not count.
    pub(crate) fn epoch_starts(&self, user: &UserId, session: &SessionId) -> Vec<EpochStart> {
        let mut starts = self.0.store.epoch_starts(user, session).unwrap_or_else(|error| {
            tracing::warn!(session_id = %session, "where its epochs begin is not known: {error}");
            Vec::new()
        });
        starts.retain(|start| self.is_an_epoch(user, start.epoch));
        starts
    }

    /// Whether the list has this epoch.
    pub(crate) fn is_an_epoch(&self, user: &UserId, epoch: u32) -> bool {
        let list = self.list(user);
        list.zip(Epoch::new(epoch)).is_some_and(|(list, epoch)| list.commitment(epoch).is_some())
    }

    pub(crate) fn keep_epoch_start(&self, user: &UserId, session: &SessionId, start: EpochStart) {
        if let Err(error) = self.0.store.keep_epoch_start(user, session, start) {
            tracing::warn!(session_id = %session, "where an epoch begins is not kept: {error}");
        }
    }

    fn mode(
        &self,
        list: Option<&DeviceList>,
        keyring: Option<&Keyring>,
        problem: Option<DeviceListProblem>,
    ) -> Result<SealingMode, DeviceListProblem> {
        mode(&self.0.device_id, list, keyring, problem)
    }

    /// Passes the list on to everything that seals, reads and watches.
    fn publish(
        &self,
        user: &UserId,
        list: Option<&DeviceList>,
        mode: Result<SealingMode, DeviceListProblem>,
        keyring: Option<Keyring>,
    ) {
        let state = state_of(&mode, list);
        let mode = mode.unwrap_or_else(|problem| SealingMode::Stopped(problem.to_reason()));
        if !self.0.cache.seal_in(user, mode, keyring) {
            // Another user is signed in by now, whose list is read when it is needed.
            return;
        }
        self.0.state.send_if_modified(|known| {
            let changed = *known != state;
            if changed {
                if let DeviceListState::Stopped(problem) = &state {
                    tracing::warn!(code = problem.code(), "nothing is sealed: {problem}");
                }
                *known = state;
            }
            changed
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic cannot leave it half changed in a way that matters: it is compared with the server's again.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn store_problem(error: StoreError) -> DeviceListProblem {
    DeviceListProblem::Store(error.to_string())
}

impl std::fmt::Debug for SignedDeviceList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedDeviceList").field("state", &self.state()).finish_non_exhaustive()
    }
}
