//! What a signed device list costs: messages of version 2, adding and removing a device, a start.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::core::{DeviceListAdmin, OtherDevices};
use levi::devices::MemberKeys;
use levi::devices::pairing::PairingCode;
use levi::devices::recovery::RecoveryKey;
use levi::transport::rows::DeviceRow;
use levi::{DatabaseKey, DeviceId, HttpSupabase, Levi, LeviConfig, SqliteSessionStore};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::message_v2::{self, Epoch, EpochMessageKey, EpochSecret, Form};
use levi_crypto::{Author, MessageKey, WRITER_BYTES};
use levi_testkit::fixtures::{coding_session, repository, uuid_of};
use levi_transport::rows::{encode_message_row, encode_message_row_as, upsert_of};
use levi_transport::{Supabase as _, user_of_token};
use levi_types::SessionId;

use super::request_build::micros_per_message;
use crate::reader::TokenAuth;
use crate::report::{Figure, Run, Target};
use crate::server::{Seen, Server};
use crate::{Effort, Fallible, fixture, scratch};

/// How long one device waits for the other.
const WITHIN: Duration = Duration::from_secs(30);

/// Entries of the list whose cost at a start is measured.
const ENTRIES: usize = 100;

/// Sessions of the user with few and of the one with many.
const SESSIONS: [usize; 2] = [10, 1000];

/// Envelopes in one request.
const ENVELOPES: f64 = 200.0;

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    messages(run, effort)?;
    changes(run).await?;
    start(run, effort).await
}

/// A message in both versions.
struct Versions {
    session: SessionId,
    content: String,
    key: MessageKey,
    epoch: Epoch,
    epoch_key: EpochMessageKey,
}

impl Versions {
    fn new() -> Fallible<Self> {
        let (session, secret) = (fixture::session(0), fixture::secret()?);
        let (epoch, epoch_secret) = (Epoch::FIRST, EpochSecret::from_bytes([7; 32]));
        let epoch_key = EpochMessageKey::derive(&secret, &session, epoch, &epoch_secret)?;
        Ok(Self { session, content: fixture::content(), key: secret.message_key(), epoch, epoch_key })
    }

    const fn position(&self) -> MessagePosition<'_> {
        MessagePosition { session_id: &self.session, sequence_number: 1 }
    }

    const fn author(&self) -> Author<'_> {
        Author { writer: &[1; WRITER_BYTES], message_id: "00000000-0000-7000-8000-000000000001" }
    }

    fn row_1(&self) -> Fallible<Vec<u8>> {
        let sealed = message::seal_as(&self.key, self.position(), &self.content, self.author())?;
        let mut row = Vec::new();
        encode_message_row(&mut row, &self.session, 1, &sealed.ciphertext, &sealed.nonce);
        Ok(row)
    }

    fn row_2(&self) -> Fallible<Vec<u8>> {
        let (form, position) = (Form::default(), self.position());
        let (key, author) = (&self.epoch_key, self.author());
        let sealed = message_v2::seal_as(key, &self.key, position, &self.content, form, author)?;
        let nonce = message_v2::nonce_to_wire(self.epoch, &sealed.nonce);
        let mut row = Vec::new();
        encode_message_row_as(&mut row, &self.session, 1, &sealed.ciphertext, &nonce);
        Ok(row)
    }
}

fn messages(run: &mut Run, effort: Effort) -> Fallible<()> {
    let versions = Versions::new()?;
    let position = versions.position();
    let one = message::seal_as(&versions.key, position, &versions.content, versions.author())?;
    let (key, form, author) = (&versions.epoch_key, Form::default(), versions.author());
    let two = message_v2::seal_as(key, &versions.key, position, &versions.content, form, author)?;
    let nonce = message_v2::nonce_to_wire(versions.epoch, &two.nonce);
    let nonce_1 = base64_simd::STANDARD.encode_to_string(one.nonce);
    // From the columns of the row, but for the ciphertext, which is the same work.
    let open_1 = || {
        let nonce = base64_simd::STANDARD.decode_to_vec(&nonce_1).ok()?;
        message::open(&versions.key, position, &one.ciphertext, &nonce).ok()
    };
    let open_2 = || {
        let wire = message_v2::nonce_from_wire(&nonce).ok()?;
        message_v2::open(key, position, &two.ciphertext, &wire.nonce).ok()
    };
    let (mut write_1, mut write_2, mut read_1, mut read_2) =
        <(Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>)>::default();
    for _ in 0..effort.pick(31, 101) {
        write_1.push(micros_per_message(|| black_box(versions.row_1().map_or(0, |_| 1))));
        write_2.push(micros_per_message(|| black_box(versions.row_2().map_or(0, |_| 1))));
        read_1.push(micros_per_message(|| black_box(open_1().map_or(0, |_| 1))));
        read_2.push(micros_per_message(|| black_box(open_2().map_or(0, |_| 1))));
    }
    let bytes = (versions.row_1()?.len() as f64, versions.row_2()?.len() as f64);
    let figure = |what: &str, unit: &str, levi: Vec<f64>, baseline: Vec<f64>, most: f64| Figure {
        what: format!("{what}, a message of 1 KiB in version 2"),
        against: "version 1".into(),
        unit: unit.into(),
        levi,
        baseline,
        target: Target::AtMost(most),
        note: String::new(),
    };
    run.figure(figure("seal and encode", "CPU µs", write_2, write_1, 1.15));
    run.figure(figure("open", "CPU µs", read_2, read_1, 1.15));
    run.figure(figure("bytes of the row, without padding", "bytes", vec![bytes.1], vec![bytes.0], 1.03));
    Ok(())
}

/// A device with a folder of its own.
struct Member {
    name: &'static str,
    id: DeviceId,
    keys: MemberKeys,
    store: Arc<SqliteSessionStore>,
    levi: Levi,
    folder: tempfile::TempDir,
}

impl Member {
    /// A registered device.
    async fn register(server: &Server, name: &'static str) -> Fallible<Self> {
        let id: DeviceId = uuid_of("device", name).as_str().into();
        let (keys, folder) = (MemberKeys::generate(&mut rand::rng()), scratch()?);
        let user = user_of_token(&server.token()).ok_or("the token names no user")?;
        let row = DeviceRow {
            public_key: Some(keys.envelope.public_key().to_base64()),
            ..DeviceRow::new(id.clone(), user, name, "desktop")
        };
        HttpSupabase::new(&server.http())?.upsert(&server.token(), upsert_of(&[row])).await?;
        let store = Self::store(folder.path())?;
        store.save_repository(&repository())?;
        let levi = Self::levi(server, folder.path(), &store, Some((&id, &keys)))?;
        Ok(Self { name, id, keys, store, levi, folder })
    }

    fn store(folder: &Path) -> Fallible<Arc<SqliteSessionStore>> {
        Ok(Arc::new(SqliteSessionStore::open(folder.join("sessions.sqlite"), database_key())?))
    }

    /// The device's Levi, with its list or without any.
    fn levi(
        server: &Server,
        folder: &Path,
        store: &Arc<SqliteSessionStore>,
        list: Option<(&DeviceId, &MemberKeys)>,
    ) -> Fallible<Levi> {
        let config = LeviConfig { data_dir: Some(folder.to_owned()), ..LeviConfig::default() };
        let levi = Levi::builder(server.http(), Arc::clone(store) as _)
            .config(config)
            .database_key(database_key())
            .auth(Arc::new(TokenAuth(server.token())));
        let levi = match list {
            Some((id, keys)) => levi.device_list(id.clone(), keys.clone(), Arc::clone(store) as _),
            None => levi,
        };
        Ok(levi.build()?)
    }

    fn admin(&self) -> Fallible<DeviceListAdmin> {
        Ok(self.levi.device_list()?.with_poll_interval(Duration::from_millis(50)))
    }

    /// Begins the list, with this recovery key.
    async fn init(&self) -> Fallible<RecoveryKey> {
        let key = RecoveryKey::generate(&mut rand::rng());
        self.admin()?.init(self.name, &key, OtherDevices::Refuse).await?;
        Ok(key)
    }

    /// The first `count` sessions of the server, with a secret each.
    async fn begin_sessions(&self, count: usize) -> Fallible<()> {
        let sync = self.levi.session_sync(self.id.clone(), self.keys.envelope.clone())?;
        let secret = fixture::secret()?;
        for number in 0..count {
            let session = fixture::session(number);
            self.store.save_session(&coding_session(session.clone(), repository().id))?;
            self.store.save_secret(&session, &secret)?;
            sync.distribute_secret_now(&session, &secret).await?.complete()?;
        }
        Ok(())
    }

    /// Puts `new` on the list, and gives it the secrets of all sessions.
    async fn add(&self, new: &Self) -> Fallible<()> {
        let (admin, theirs) = (self.admin()?, new.admin()?);
        let invitation = admin.invite().await?;
        let code = PairingCode::parse(invitation.expose_code().expose())?;
        let name = new.name;
        let join = tokio::spawn(async move { theirs.join(&code, name, WITHIN).await });
        let asked = invitation.request(WITHIN).await?;
        let id = invitation.accept(asked).await?;
        join.await??;
        let sync = self.levi.session_sync(self.id.clone(), self.keys.envelope.clone())?;
        let report = sync.share_with_device(&id).await?;
        if report.unreadable.is_empty() { Ok(()) } else { Err(format!("not shared: {report:?}").into()) }
    }
}

fn database_key() -> DatabaseKey {
    DatabaseKey::from_bytes([5; 32])
}

/// What a change of the list cost.
#[derive(Clone, Copy)]
struct Cost {
    requests: f64,
    bytes: f64,
    /// Of the bytes, those of the envelopes that were written.
    envelopes: f64,
}

impl Cost {
    fn between(before: Seen, after: Seen) -> Self {
        Self {
            requests: (after.requests - before.requests) as f64,
            bytes: (after.bytes_in + after.bytes_out - before.bytes_in - before.bytes_out) as f64,
            envelopes: (after.envelope_bytes - before.envelope_bytes) as f64,
        }
    }
}

async fn changes(run: &mut Run) -> Fallible<()> {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for sessions in SESSIONS {
        let mut server = Server::start(sessions, Duration::ZERO)?;
        let laptop = Member::register(&server, "laptop").await?;
        laptop.init().await?;
        laptop.begin_sessions(sessions).await?;
        let phone = Member::register(&server, "phone").await?;
        let before = server.seen()?;
        laptop.add(&phone).await?;
        let between = server.seen()?;
        added.push(Cost::between(before, between));
        laptop.admin()?.remove(&phone.id).await?;
        removed.push(Cost::between(between, server.seen()?));
    }
    let [few, many] = SESSIONS;
    let each = |value: fn(&Cost) -> f64| (value(&added[1]) - value(&added[0])) / (many - few) as f64;
    let figure = |what: String, against: &str, unit: &str, levi: f64, baseline: f64, most: f64| Figure {
        what,
        against: against.into(),
        unit: unit.into(),
        levi: vec![levi],
        baseline: vec![baseline],
        target: Target::AtMost(most),
        note: String::new(),
    };
    run.figure(Figure {
        note: format!(
            "{} requests with {few} sessions, {} with {many}",
            added[0].requests, added[1].requests
        ),
        ..figure(
            format!("adding a device, requests for each session beyond {few}"),
            "read, look up owners, write: 200 envelopes in each request",
            "requests",
            each(|cost| cost.requests),
            3.0 / ENVELOPES,
            1.1,
        )
    });
    run.figure(Figure {
        note: format!(
            "{:.0} kB with {few} sessions, {:.0} kB with {many}",
            added[0].bytes / 1e3,
            added[1].bytes / 1e3
        ),
        ..figure(
            format!("adding a device, bytes for each session beyond {few}"),
            "its envelope, read and written",
            "bytes",
            each(|cost| cost.bytes),
            2.0 * each(|cost| cost.envelopes),
            1.25,
        )
    });
    let what = |what: &str| format!("removing a device from {many} sessions, {what}");
    let against = format!("from {few} sessions");
    run.figure(figure(what("requests"), &against, "requests", removed[1].requests, removed[0].requests, 1.0));
    run.figure(figure(what("bytes"), &against, "bytes", removed[1].bytes, removed[0].bytes, 1.02));
    Ok(())
}

async fn start(run: &mut Run, effort: Effort) -> Fallible<()> {
    let (server, plain) = (Server::start(1, Duration::ZERO)?, Server::start(1, Duration::ZERO)?);
    let (listed, unlisted) =
        (Member::register(&server, "laptop").await?, Member::register(&plain, "laptop").await?);
    let mut key = listed.init().await?;
    for _ in 1..ENTRIES {
        let new = RecoveryKey::generate(&mut rand::rng());
        listed.admin()?.replace_recovery_key(&key, &new).await?;
        key = new;
    }
    listed.begin_sessions(1).await?;
    unlisted.store.save_secret(&fixture::session(0), &fixture::secret()?)?;
    let (mut with, mut without) = (Started::default(), Started::default());
    for number in 1..=effort.pick(9, 41) {
        with.add(&server, &listed, Some((&listed.id, &listed.keys)), number).await?;
        without.add(&plain, &unlisted, None, number).await?;
    }
    let more = |with: &[f64], without: &[f64]| {
        with.iter().zip(without).map(|(with, without)| with - without).collect()
    };
    for (what, levi) in [
        ("the first message is on disk", more(&with.stored, &without.stored)),
        ("the server has it", more(&with.synced, &without.synced)),
    ] {
        run.figure(Figure {
            what: format!("a start with a list of {ENTRIES} entries, until {what}: more than without a list"),
            against: "5 ms".into(),
            unit: "ms".into(),
            levi,
            baseline: vec![5.0],
            target: Target::AtMost(1.0),
            note: String::new(),
        });
    }
    Ok(())
}

/// Milliseconds from building a Levi.
#[derive(Default)]
struct Started {
    stored: Vec<f64>,
    synced: Vec<f64>,
}

impl Started {
    async fn add(
        &mut self,
        server: &Server,
        member: &Member,
        list: Option<(&DeviceId, &MemberKeys)>,
        number: i64,
    ) -> Fallible<()> {
        let began = Instant::now();
        let store = Member::store(member.folder.path())?;
        let levi = Member::levi(server, member.folder.path(), &store, list)?;
        levi.start()?;
        let message = fixture::request(&fixture::session(0), number, "the first one");
        let receipt = levi.enqueue_durable(message).await?;
        self.stored.push(began.elapsed().as_secs_f64() * 1e3);
        levi.synced(&receipt).await?;
        self.synced.push(began.elapsed().as_secs_f64() * 1e3);
        levi.shutdown(Duration::from_secs(5)).await;
        Ok(())
    }
}
