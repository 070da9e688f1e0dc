//! A daemon that hands messages over as fast as it can while the server is down.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use levi::{DatabaseKey, EnqueueError, HttpOptions, Levi, LeviConfig, SqliteSessionStore, SyncContext};
use serde::{Deserialize, Serialize};

use crate::Trouble;
use crate::content::{message, secret_of};
use crate::memory;
use crate::scene::session_id;

/// What a flooding process may have in memory at most, whatever waits on disk: Levi's queue of 8 MiB, as content and
/// sealed, SQLite's caches, the batcher's windows, and the program itself.
pub const BOUND: u64 = 64 << 20;

/// Tasks that hand messages over.
const PRODUCERS: u64 = 8;

/// How to flood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flood {
    /// Where the outbox lies.
    pub folder: PathBuf,
    /// For how long.
    pub lasting: Duration,
    /// `max_pending_bytes`.
    pub max_pending_bytes: u64,
    /// Bytes of a message at most.
    pub bytes: usize,
}

/// What it came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Messages that `enqueue` took.
    pub taken: u64,
    /// Messages that `enqueue_durable` acknowledged.
    pub acknowledged: u64,
    /// Refusals for a full queue.
    pub queue_full: u64,
    /// Refusals for a full outbox.
    pub outbox_full: u64,
    /// Other refusals, of which there should be none.
    pub other: u64,
    /// Payload bytes waiting on disk at the end.
    pub pending_bytes: u64,
    /// The most that the process had in memory; zero where that cannot be told.
    pub peak_bytes: u64,
}

/// Floods from a process of its own, so that nothing but Levi is measured.
///
/// # Errors
/// When that process cannot do it.
pub fn run(program: &Path, flood: &Flood) -> Result<Tally, Trouble> {
    let output = Command::new(program).args(["flood-child", &serde_json::to_string(flood)?]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Floods from this process.
///
/// # Errors
/// When Levi cannot be started.
pub async fn flood(flood: Flood) -> Result<Tally, Trouble> {
    let levi = Arc::new(start(&flood)?);
    levi.set_context(SyncContext { access_token: "nobody".into() }).await;
    let counts = Arc::new(Counts::default());
    let until = Instant::now() + flood.lasting;
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|number| {
            tokio::spawn(produce(Arc::clone(&levi), Arc::clone(&counts), number, flood.bytes, until))
        })
        .collect();
    for producer in producers {
        producer.await?;
    }
    let mut tally = counts.tally();
    tally.pending_bytes = levi.status().totals.pending_bytes;
    tally.peak_bytes = memory::peak_bytes().unwrap_or(0);
    Ok(tally)
}

fn start(flood: &Flood) -> Result<Levi, Trouble> {
    let key = DatabaseKey::from_bytes([7; 32]);
    let store = SqliteSessionStore::open(flood.folder.join("store.sqlite"), key.clone())?;
    for number in 0..PRODUCERS {
        let session = session(number);
        store.save_secret(&session, &secret_of(&session)?)?;
    }
    let config = LeviConfig {
        data_dir: Some(flood.folder.clone()),
        max_pending_bytes: flood.max_pending_bytes,
        ..LeviConfig::default()
    };
    // Nobody listens there.
    let http = HttpOptions::new("http://127.0.0.1:9", "sb_publishable_nobody");
    let levi = Levi::builder(http, Arc::new(store)).config(config).database_key(key).build()?;
    levi.start()?;
    Ok(levi)
}

fn session(number: u64) -> levi::SessionId {
    session_id(&format!("flood {number}"))
}

/// Half of the producers wait for the disk, half do not.
async fn produce(levi: Arc<Levi>, counts: Arc<Counts>, number: u64, bytes: usize, until: Instant) {
    let (session, mut place) = (session(number), 0);
    while Instant::now() < until {
        place += 1;
        let request = message(&session, place, bytes);
        let refusal = if number.is_multiple_of(2) {
            levi.enqueue_durable(request).await.map(|_| &counts.acknowledged)
        } else {
            levi.enqueue(request).map(|()| &counts.taken)
        };
        let count = refusal.unwrap_or_else(|error| match error {
            EnqueueError::QueueFull { .. } => &counts.queue_full,
            EnqueueError::OutboxFull { .. } => &counts.outbox_full,
            _ => &counts.other,
        });
        count.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    acknowledged: AtomicU64,
    queue_full: AtomicU64,
    outbox_full: AtomicU64,
    other: AtomicU64,
}

impl Counts {
    fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            taken: read(&self.taken),
            acknowledged: read(&self.acknowledged),
            queue_full: read(&self.queue_full),
            outbox_full: read(&self.outbox_full),
            other: read(&self.other),
            ..Tally::default()
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10}  messages acknowledged on disk", self.acknowledged)?;
        writeln!(f, "{:>10}  messages taken by enqueue", self.taken)?;
        writeln!(f, "{:>10}  refused, the queue being full", self.queue_full)?;
        writeln!(f, "{:>10}  refused, the outbox being full", self.outbox_full)?;
        writeln!(f, "{:>10}  refused for another reason", self.other)?;
        writeln!(f, "{:>10}  KiB waiting on disk", self.pending_bytes >> 10)?;
        writeln!(f, "{:>10}  KiB in memory at most (the bound is {})", self.peak_bytes >> 10, BOUND >> 10)
    }
}
