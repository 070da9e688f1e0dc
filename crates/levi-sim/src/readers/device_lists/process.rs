//! A process of a device: Levi's own parts, and the jobs that its user starts.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levi_core::engine::Sealer;
use levi_core::{
    BackfillReport, ChangeCursor, DeviceListAdmin, DeviceListError, DeviceListParts, DeviceListState,
    NextLook, OtherDevices, PulledMessage, ReadError, Reader, Recovery, SecretsCache, SessionSyncService,
    SignedDeviceList, SyncError, UnreadableMessage, stored_device_list,
};
use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_devices::MemberKeys;
use levi_devices::pairing::PairingCode;
use levi_devices::recovery::RecoveryKey;
use levi_outbox::backoff::Backoff;
use levi_testkit::clock::VirtualClock;
use levi_transport::{Supabase, Table, Upsert};
use levi_types::{AccessToken, Auth, Clock, DeviceId, SecretString, SessionId, SessionStore, UserId};

use super::super::device::{SignedIn, Store};
use super::super::following::{How, Process as Following};
use super::super::server::Project;
use super::disk::{Disk, ListStore};
use super::line::{Line, Network, Weather, step};
use super::sealing::seal;
use crate::random::Random;

/// How long one device waits for the other while they are paired.
const PAIR_WITHIN: Duration = Duration::from_secs(40);

/// The change that replaces the recovery key.
pub(super) const NEW_RECOVERY_KEY: &str = "recovery new";

/// At once, so that nothing waits for a real clock.
const NO_DELAY: Backoff = Backoff { base: Duration::ZERO, max: Duration::ZERO, jitter: 0.0 };

/// As a follower waits after a failure.
const PATIENT: Backoff = Backoff { base: Duration::from_secs(2), max: Duration::from_secs(300), jitter: 0.0 };

/// What outlives a device's processes.
pub(super) struct Machine {
    pub(super) id: DeviceId,
    pub(super) name: String,
    pub(super) user: UserId,
    pub(super) keys: MemberKeys,
    pub(super) database_key: DatabaseKey,
    pub(super) disk: Arc<Disk>,
    pub(super) store: Arc<Store>,
    pub(super) project: Project,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) weather: Arc<Mutex<Weather>>,
}

/// What a process has in memory, and its connection.
struct Knows<'a> {
    list: &'a SignedDeviceList,
    cache: &'a SecretsCache,
    network: &'a Network,
}

impl Machine {
    fn reader(&self, knows: &Knows<'_>) -> Reader {
        let Knows { list, cache, network } = knows;
        let supabase: Arc<dyn Supabase> = Arc::new(Network::clone(network));
        let auth: Arc<dyn Auth> = Arc::new(SignedIn(self.user.clone()));
        let (id, key) = (self.id.clone(), self.keys.envelope.clone());
        Reader::new(supabase, auth, id, key, SecretsCache::clone(cache))
            .with_store(self.store.clone() as Arc<dyn SessionStore>)
            .with_device_list(SignedDeviceList::clone(list))
            .with_clock(self.clock.clone() as Arc<dyn Clock>)
    }

    /// What a new process would make of the list that is stored here, if there is one.
    pub(super) fn stored_list(&self, line: Arc<Line>) -> Option<DeviceListState> {
        let store = ListStore { disk: Arc::clone(&self.disk), line };
        let stored = stored_device_list(&store, &self.user, &self.id, Some(&self.database_key));
        stored.ok().flatten().map(|stored| stored.state)
    }
}

/// Passes a pairing code from one device to the other. `Some(None)`: there will be none.
pub(super) type CodeCell = Arc<Mutex<Option<Option<SecretString>>>>;

/// The rows of a session, and why those that cannot be read cannot.
pub(super) type Messages = Vec<Result<PulledMessage, UnreadableMessage>>;

/// What a job came to.
pub(super) enum Done {
    Looked(NextLook),
    Sent,
    Read { session: usize, result: Result<Messages, ReadError> },
    Changed { what: &'static str, result: Result<(), DeviceListError> },
    Shared(Result<BackfillReport, SyncError>),
    Mended(Result<(), SyncError>),
    Distributed { session: usize, result: Result<(), SyncError> },
}

pub(super) type Job = Pin<Box<dyn Future<Output = Done>>>;

/// The product's parts in one process.
pub(super) struct Process {
    pub(super) line: Arc<Line>,
    pub(super) list: SignedDeviceList,
    network: Network,
    user: UserId,
    clock: Arc<VirtualClock>,
    admin: Arc<DeviceListAdmin>,
    auth: Arc<dyn Auth>,
    store: Arc<Store>,
    cache: SecretsCache,
    service: SessionSyncService,
    reader: Arc<Reader>,
    sealer: Sealer,
    disk: Arc<Disk>,
    random: Random,
}

impl Process {
    pub(super) fn start(machine: &Machine, random: &Random) -> Self {
        Self::on(Arc::new(Line::new(Arc::clone(&machine.weather), random.clone())), machine, random)
    }

    /// A process that ends with the others on `line`.
    pub(super) fn on(line: Arc<Line>, machine: &Machine, random: &Random) -> Self {
        let Machine { id, keys, user, clock, .. } = machine;
        let mut random = random.clone();
        let network = Network { project: machine.project.clone(), line: Arc::clone(&line) };
        let cache = SecretsCache::new();
        cache.signed_in(user);
        let list = SignedDeviceList::new(DeviceListParts {
            device_id: id.clone(),
            keys: keys.clone(),
            store: Arc::new(ListStore { disk: Arc::clone(&machine.disk), line: Arc::clone(&line) }),
            database_key: Some(machine.database_key.clone()),
            cache: cache.clone(),
        })
        .with_random(Random::new(random.number(), 1));
        let supabase: Arc<dyn Supabase> = Arc::new(network.clone());
        let auth: Arc<dyn Auth> = Arc::new(SignedIn(user.clone()));
        let store = Arc::clone(&machine.store);
        let sessions: Arc<dyn SessionStore> = store.clone();
        let service = SessionSyncService::with_parts(
            Arc::clone(&supabase),
            Arc::clone(&sessions),
            Arc::clone(&auth),
            id.clone(),
            keys.envelope.clone(),
            cache.clone(),
        )
        .with_device_list(list.clone())
        .with_random(Random::new(random.number(), 2))
        .with_retries(NO_DELAY, 2);
        let knows = Knows { list: &list, cache: &cache, network: &network };
        let reader = machine.reader(&knows).with_retries(NO_DELAY, 2);
        let database_key = Some(machine.database_key.clone());
        let sealer = Sealer::new(cache.clone(), sessions, database_key).with_device_list(Some(list.clone()));
        let admin =
            DeviceListAdmin::new(supabase, Arc::clone(&auth), list.clone(), clock.clone() as Arc<dyn Clock>);
        let admin = Arc::new(admin.with_poll_interval(Duration::ZERO));
        Self {
            line,
            list,
            network,
            user: user.clone(),
            clock: Arc::clone(clock),
            admin,
            auth,
            store,
            cache,
            service,
            reader: Arc::new(reader),
            sealer,
            disk: Arc::clone(&machine.disk),
            random,
        }
    }

    pub(super) fn look(&self) -> Job {
        let (list, user, network) = (self.list.clone(), self.user.clone(), self.network.clone());
        let clock = Arc::clone(&self.clock);
        Box::pin(async move {
            let now = clock.now();
            let token = AccessToken::from("token");
            Done::Looked(list.look_and_write(Arc::new(network), (&user, token), now).await)
        })
    }

    fn change(
        what: &'static str,
        change: impl Future<Output = Result<(), DeviceListError>> + 'static,
    ) -> Job {
        Box::pin(async move { Done::Changed { what, result: change.await } })
    }

    /// Like `levi init`: continues an interrupted job, or begins a list.
    pub(super) fn init(&self, name: &str, key: RecoveryKey) -> Job {
        let (admin, name) = (Arc::clone(&self.admin), name.to_owned());
        Self::change("init", async move {
            if admin.resume().await? {
                return Ok(());
            }
            admin.init(&name, &key, OtherDevices::PairLater).await
        })
    }

    /// Shows a code, adds the device that answers and shares all sessions with it.
    pub(super) fn invite(&self, code: CodeCell) -> Job {
        let (admin, service) = (Arc::clone(&self.admin), self.service.clone());
        Box::pin(async move {
            let added = add_with_code(&admin, &code).await;
            lock(&code).get_or_insert(None);
            match added {
                Ok(new) => Done::Shared(service.share_with_device(&new).await),
                Err(error) => Done::Changed { what: "invite", result: Err(error) },
            }
        })
    }

    /// Like `levi pair CODE`: continues an interrupted job, or asks to be added.
    pub(super) fn join(&self, name: &str, code: CodeCell) -> Job {
        let (admin, name) = (Arc::clone(&self.admin), name.to_owned());
        Self::change("join", async move {
            let code = loop {
                // Not held while it waits.
                let shown = lock(&code).clone();
                match shown {
                    Some(code) => break code,
                    // The other device has ended, and shows none.
                    None if Arc::strong_count(&code) == 1 => break None,
                    None => step().await,
                }
            };
            if admin.resume().await? {
                return Ok(());
            }
            // Exposed as the person types it.
            let code = code.and_then(|code| PairingCode::parse(code.expose()).ok());
            match code {
                Some(code) => admin.join(&code, &name, PAIR_WITHIN).await,
                None => Err(DeviceListError::TimedOut),
            }
        })
    }

    pub(super) fn remove(&self, device: DeviceId) -> Job {
        let admin = Arc::clone(&self.admin);
        Self::change("remove", async move { admin.remove(&device).await })
    }

    pub(super) fn new_recovery_key(&self, old: RecoveryKey, new: RecoveryKey) -> Job {
        let admin = Arc::clone(&self.admin);
        Self::change(NEW_RECOVERY_KEY, async move { admin.replace_recovery_key(&old, &new).await })
    }

    /// Like `levi recover`: puts this device on the list with the recovery key, then shares all
    /// sessions.
    pub(super) fn recover(&self, name: &str, keep: Vec<DeviceId>, key: RecoveryKey) -> Job {
        let how = Recovery { name: name.to_owned(), keep, after: None };
        let (admin, supabase) = (Arc::clone(&self.admin), Arc::new(self.network.clone()));
        let (store, auth, cache) = (Arc::clone(&self.store), Arc::clone(&self.auth), self.cache.clone());
        let (list, random) = (self.list.clone(), Random::new(self.random.clone().number(), 3));
        Box::pin(async move {
            let recovered = match admin.recover(&key, &how).await {
                // The person gives up what nobody was given.
                Err(DeviceListError::OlderKeyring { after, .. }) => {
                    admin.recover(&key, &Recovery { after: Some(after), ..how }).await
                }
                recovered => recovered,
            };
            let recovery = match recovered {
                Ok(recovery) => recovery,
                Err(error) => return Done::Changed { what: "recover", result: Err(error) },
            };
            let this_device = list.device_id().clone();
            let envelope = key.member_keys().envelope;
            let service = SessionSyncService::with_parts(supabase, store, auth, recovery, envelope, cache)
                .with_device_list(list)
                .with_random(random)
                .with_retries(NO_DELAY, 2);
            Done::Shared(service.share_with_device(&this_device).await)
        })
    }

    pub(super) fn share(&self, device: DeviceId) -> Job {
        let service = self.service.clone();
        Box::pin(async move { Done::Shared(service.share_with_device(&device).await) })
    }

    /// Like `levi verify`: looks after the recovery key's envelopes.
    pub(super) fn mend(&self) -> Job {
        let service = self.service.clone();
        Box::pin(async move { Done::Mended(service.mend_recovery_envelopes().await.map(drop)) })
    }

    pub(super) fn distribute(&self, session: usize, id: SessionId, secret: SessionSecret) -> Job {
        let service = self.service.clone();
        Box::pin(async move {
            let result = service.distribute_secret_now(&id, &secret).await;
            Done::Distributed { session, result: result.and_then(|done| done.complete()) }
        })
    }

    /// A follower that shares what this process has in memory.
    pub(super) fn follow(&self, machine: &Machine, cursor: Option<ChangeCursor>, limit: u32) -> Following {
        let knows = Knows { list: &self.list, cache: &self.cache, network: &self.network };
        let reader = machine.reader(&knows).with_retries(PATIENT, 4);
        Following::start(reader, How { cursor, limit, push: None }, &self.clock)
    }

    pub(super) fn read(&self, session: usize, id: SessionId) -> Job {
        let reader = Arc::clone(&self.reader);
        Box::pin(async move { Done::Read { session, result: read_all(&reader, &id).await } })
    }

    /// Seals the waiting messages for which there is a key, and sends the sealed ones in order.
    pub(super) fn send(&self) -> Job {
        let (disk, sealer, network) = (Arc::clone(&self.disk), self.sealer.clone(), self.network.clone());
        let (user, clock, mut random) = (self.user.clone(), Arc::clone(&self.clock), self.random.clone());
        random.number();
        Box::pin(async move {
            let at = clock.now().wall;
            let count = disk.kept().outbox.len();
            for index in 0..count {
                seal(&disk, &sealer, (&user, at, index), &mut random);
            }
            while let Some(row) = disk.first_sealed() {
                let body = [b"[", row.as_slice(), b"]"].concat();
                let columns = Table::Messages.columns().into();
                let insert = Upsert { table: Table::Messages, columns, body };
                if network.insert(&AccessToken::from("token"), insert).await.is_err() {
                    break;
                }
                let outbox = &mut disk.kept().outbox;
                if outbox.first().is_some_and(|waiting| waiting.row.as_ref() == Some(&row)) {
                    outbox.remove(0);
                }
            }
            Done::Sent
        })
    }
}

/// Page after page, because pages are made smaller by a server that was busy.
async fn read_all(reader: &Reader, session: &SessionId) -> Result<Messages, ReadError> {
    let (mut messages, mut after) = (Vec::new(), None);
    loop {
        let page = reader.pull(session, after, 500).await?;
        messages.extend(page.messages);
        match page.cursor {
            Some(cursor) => after = Some(cursor),
            None => return Ok(messages),
        }
    }
}

async fn add_with_code(admin: &DeviceListAdmin, code: &CodeCell) -> Result<DeviceId, DeviceListError> {
    let invitation = admin.invite().await?;
    // Exposed to the person.
    *lock(code) = Some(Some(invitation.expose_code()));
    let request = invitation.request(PAIR_WITHIN).await?;
    invitation.accept(request).await
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
