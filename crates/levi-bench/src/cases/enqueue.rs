//! Durable enqueue: how many messages a second are stored, and how long each producer waits.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use levi::{HttpOptions, Levi, LeviConfig};
use levi_outbox::OutboxStore as _;
use levi_outbox::sqlite::{SqliteOutbox, Synchronous};
use levi_testkit::outbox::FaultyOutbox;
use levi_types::SessionId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::baselines::{self, Payloads, QueuedRow, SESSIONS};
use crate::report::{Figure, Run, Target};
use crate::stats::percentile;
use crate::{Effort, Fallible, fixture, scratch};

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let sync = usual_sync()?;
    for slower in [1, 15] {
        for producers in [1, 64, 1024] {
            against_the_baseline(run, effort, producers, slower, sync * (slower - 1)).await?;
        }
    }
    Ok(())
}

/// Measures Levi and its baselines in short slices, interleaved, so that other load on the machine affects all of them.
/// Each keeps its outbox open from slice to slice, because opening one is not part of storing a message.
async fn against_the_baseline(
    run: &mut Run,
    effort: Effort,
    producers: usize,
    slower: u32,
    extra_sync: Duration,
) -> Fallible<()> {
    // Long enough that the last messages of a slice, which share commits with fewer and fewer others, are few.
    let time = Duration::from_millis(if producers > 64 { 200 } else { 100 });
    let with_levi = LeviStore::start(extra_sync)?;
    let sealed_loop = BaselineLoop::start(extra_sync, Payloads::Sealed)?;
    let sealing_loop = BaselineLoop::start(extra_sync, Payloads::Plain)?;
    let (mut levi, mut sealed, mut sealing) = (Slices::default(), Slices::default(), Slices::default());
    for round in 0..effort.pick(8, 60) {
        // Each comes first in turn, because the disk is affected by what was written a moment ago.
        for turn in 0..3 {
            match (round + turn) % 3 {
                0 => levi.add(produce(producers, time, &with_levi).await?),
                1 => sealed.add(produce(producers, time, &sealed_loop).await?),
                // The time for sealing is negligible on a slow disk.
                _ if slower == 1 => sealing.add(produce(producers, time, &sealing_loop).await?),
                _ => {}
            }
        }
    }
    with_levi.levi.shutdown(Duration::from_secs(5)).await;
    sealed_loop.end()?;
    sealing_loop.end()?;
    let disk = if slower == 1 { String::new() } else { format!(", syncs {slower} times slower") };
    let mut figure = |against: &str, baseline: Slices, target| {
        run.figure(Figure {
            what: format!("enqueue_durable, {producers} producer(s){disk}"),
            against: against.into(),
            unit: "rows/s".into(),
            note: levi.compare_waits(&baseline),
            levi: levi.rates.clone(),
            baseline: baseline.rates,
            target,
        });
    };
    figure("group-commit loop, rows sealed beforehand", sealed, Target::AtLeast(least(producers)));
    if slower == 1 {
        figure("group-commit loop that seals its rows too", sealing, Target::None);
    }
    Ok(())
}

/// What Levi reaches at least, next to the bare loop.
const fn least(producers: usize) -> f64 {
    match producers {
        1 => 0.92,
        64 => 0.93,
        _ => 0.9,
    }
}

/// Rows a second in each slice, and the milliseconds of every wait.
#[derive(Default)]
struct Slices {
    rates: Vec<f64>,
    waits: Vec<f64>,
}

impl Slices {
    fn add(&mut self, outcome: Outcome) {
        self.rates.push(outcome.rate);
        self.waits.extend(outcome.waits);
    }

    fn compare_waits(&self, other: &Self) -> String {
        let of = |share| (percentile(&self.waits, share), percentile(&other.waits, share));
        let ((p50, other_p50), (p99, other_p99)) = (of(0.5), of(0.99));
        format!("p50 {p50:.2} ms against {other_p50:.2}, p99 {p99:.2} ms against {other_p99:.2}")
    }
}

/// Something that stores messages durably.
trait MessageStore: Clone + Send + Sync + 'static {
    /// Returns when the message is on disk.
    fn store(&self, session: usize, number: i64) -> impl Future<Output = Result<(), String>> + Send;

    /// The next sequence number of each session.
    fn numbers(&self) -> &[AtomicI64; SESSIONS];
}

/// Levi without a sign-in, so that nothing is sent.
#[derive(Clone)]
struct LeviStore {
    levi: Arc<Levi>,
    content: Arc<str>,
    sessions: Arc<[SessionId]>,
    numbers: Arc<[AtomicI64; SESSIONS]>,
    _folder: Arc<tempfile::TempDir>,
}

impl LeviStore {
    fn start(extra_sync: Duration) -> Fallible<Self> {
        let folder = scratch()?;
        let path = folder.path().join("outbox.sqlite");
        let outbox = FaultyOutbox::new(SqliteOutbox::open(path, fixture::options(Synchronous::Full))?);
        outbox.faults().delay_commits(extra_sync);
        let levi =
            Levi::builder(HttpOptions::new("http://127.0.0.1:9", "sb_publishable_bench"), fixture::secrets())
                .config(LeviConfig { data_dir: Some(folder.path().to_owned()), ..LeviConfig::default() })
                .outbox(Box::new(outbox))
                .build()?;
        levi.start()?;
        Ok(Self {
            levi: Arc::new(levi),
            content: fixture::content().into(),
            sessions: (0..SESSIONS).map(fixture::session).collect(),
            numbers: Arc::new([const { AtomicI64::new(0) }; SESSIONS]),
            _folder: Arc::new(folder),
        })
    }
}

impl MessageStore for LeviStore {
    async fn store(&self, session: usize, number: i64) -> Result<(), String> {
        let request = fixture::request(&self.sessions[session], number, &self.content);
        let stored = self.levi.enqueue_durable(request).await;
        stored.map(|_| ()).map_err(|error| error.to_string())
    }

    fn numbers(&self) -> &[AtomicI64; SESSIONS] {
        &self.numbers
    }
}

#[derive(Clone)]
struct BaselineLoop {
    queue: mpsc::Sender<QueuedRow>,
    payload: Arc<[u8]>,
    numbers: Arc<[AtomicI64; SESSIONS]>,
    thread: Arc<JoinHandle<rusqlite::Result<()>>>,
    _folder: Arc<tempfile::TempDir>,
}

impl BaselineLoop {
    fn start(extra_sync: Duration, payloads: Payloads) -> Fallible<Self> {
        let folder = scratch()?;
        let path = folder.path().join("outbox.sqlite");
        let (queue, thread) = baselines::group_commit(&path, extra_sync, payloads)?;
        let row = fixture::sealed_row(&fixture::message_key()?, &fixture::session(0), 0)?;
        Ok(Self {
            queue,
            payload: match payloads {
                Payloads::Sealed => row.payload.into(),
                Payloads::Plain => fixture::content().into_bytes().into(),
            },
            numbers: Arc::new([const { AtomicI64::new(0) }; SESSIONS]),
            thread: Arc::new(thread),
            _folder: Arc::new(folder),
        })
    }

    fn end(self) -> Fallible<()> {
        drop(self.queue);
        let thread = Arc::into_inner(self.thread).ok_or("a producer still uses the baseline loop")?;
        Ok(thread.join().map_err(|_| "the baseline loop panicked")??)
    }
}

impl MessageStore for BaselineLoop {
    async fn store(&self, session: usize, number: i64) -> Result<(), String> {
        let (stored, done) = oneshot::channel();
        let row = QueuedRow {
            lane: session as i64,
            sequence_number: number,
            message_id: fixture::message_id(number),
            payload: self.payload.to_vec(),
            stored,
        };
        self.queue.send(row).map_err(|_| "the baseline loop has ended".to_owned())?;
        done.await.map_err(|error| error.to_string())
    }

    fn numbers(&self) -> &[AtomicI64; SESSIONS] {
        &self.numbers
    }
}

/// The result of one slice: rows a second, and each wait in milliseconds.
struct Outcome {
    rate: f64,
    waits: Vec<f64>,
}

/// Runs producers, a task each, that store one message after the other until the time is over.
async fn produce(producers: usize, time: Duration, store: &impl MessageStore) -> Fallible<Outcome> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let (store, session) = (store.clone(), producer % SESSIONS);
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while start.elapsed() < time {
                let before = Instant::now();
                let number = store.numbers()[session].fetch_add(1, Ordering::Relaxed);
                store.store(session, number).await?;
                waits.push(before.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, String>(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(own) = tasks.join_next().await {
        waits.extend(own??);
    }
    Ok(Outcome { rate: waits.len() as f64 / start.elapsed().as_secs_f64(), waits })
}

/// How long a commit of one row takes on this disk, as the lower quartile of 200. The slower ones waited for other
/// programs.
fn usual_sync() -> Fallible<Duration> {
    let folder = scratch()?;
    let mut store =
        SqliteOutbox::open(folder.path().join("outbox.sqlite"), fixture::options(Synchronous::Full))?;
    let key = fixture::message_key()?;
    let mut times = Vec::new();
    for number in 0..200 {
        let row = fixture::sealed_row(&key, &fixture::session(0), number)?;
        let before = Instant::now();
        store.commit(&[], &[row])?;
        times.push(before.elapsed().as_secs_f64());
    }
    Ok(Duration::from_secs_f64(percentile(&times, 0.25)))
}
