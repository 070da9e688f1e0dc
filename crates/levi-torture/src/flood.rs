//! A daemon that enqueues messages as fast as it can while the server is down.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use levi::{DatabaseKey, EnqueueError, HttpOptions, Levi, LeviConfig, SqliteSessionStore, SyncContext};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::content::{message, secret_of};
use crate::environment::session_id;
use crate::memory;

/// The most memory that a flooding process may use, however much is pending on disk: Levi's queue
/// of 8 MiB, both as content and sealed, SQLite's caches, the batcher's windows, and the program
/// itself.
pub const MEMORY_LIMIT: u64 = 64 << 20;

/// How many tasks enqueue messages.
const PRODUCERS: u64 = 8;

/// The settings of a flood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flood {
    /// The folder of the outbox.
    pub folder: PathBuf,
    /// The duration.
    pub lasting: Duration,
    /// `LeviConfig::max_pending_bytes`.
    pub max_pending_bytes: u64,
    /// Bytes of each message.
    pub bytes: usize,
}

/// What became of the messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Messages that `enqueue` accepted.
    pub accepted: u64,
    /// Messages that `enqueue_durable` acknowledged.
    pub acknowledged: u64,
    /// Refusals because the queue was full.
    pub queue_full: u64,
    /// Refusals because the outbox was full.
    pub outbox_full: u64,
    /// Other refusals. There should be none.
    pub other: u64,
    /// Payload bytes pending on disk at the end.
    pub pending_bytes: u64,
    /// The peak resident memory; zero where the system does not tell.
    pub peak_bytes: u64,
}

/// Floods from a process of its own, so that only Levi's memory is measured.
///
/// # Errors
/// When that process fails.
pub fn run(program: &Path, flood: &Flood) -> Result<Tally, Error> {
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
pub async fn flood(flood: Flood) -> Result<Tally, Error> {
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

fn start(flood: &Flood) -> Result<Levi, Error> {
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
    // Nothing listens on this port.
    let http = HttpOptions::new("http://127.0.0.1:9", "sb_publishable_nobody");
    let levi = Levi::builder(http, Arc::new(store)).config(config).database_key(key).build()?;
    levi.start()?;
    Ok(levi)
}

fn session(number: u64) -> levi::SessionId {
    session_id(&format!("flood {number}"))
}

/// Enqueues until the time is over. Half of the producers wait for the disk, half do not.
async fn produce(levi: Arc<Levi>, counts: Arc<Counts>, number: u64, bytes: usize, until: Instant) {
    let (session, mut sequence_number) = (session(number), 0);
    while Instant::now() < until {
        sequence_number += 1;
        let request = message(&session, sequence_number, bytes);
        let outcome = if number.is_multiple_of(2) {
            levi.enqueue_durable(request).await.map(|_| &counts.acknowledged)
        } else {
            levi.enqueue(request).map(|()| &counts.accepted)
        };
        let count = outcome.unwrap_or_else(|error| match error {
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
    accepted: AtomicU64,
    acknowledged: AtomicU64,
    queue_full: AtomicU64,
    outbox_full: AtomicU64,
    other: AtomicU64,
}

impl Counts {
    fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            accepted: read(&self.accepted),
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
        writeln!(f, "{:>10}  messages accepted by enqueue", self.accepted)?;
        writeln!(f, "{:>10}  refused because the queue was full", self.queue_full)?;
        writeln!(f, "{:>10}  refused because the outbox was full", self.outbox_full)?;
        writeln!(f, "{:>10}  refused for another reason", self.other)?;
        writeln!(f, "{:>10}  KiB pending on disk", self.pending_bytes >> 10)?;
        writeln!(
            f,
            "{:>10}  KiB of memory at the peak (the limit is {})",
            self.peak_bytes >> 10,
            MEMORY_LIMIT >> 10
        )
    }
}
