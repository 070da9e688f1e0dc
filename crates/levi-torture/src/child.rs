//! The process that is killed: a daemon that enqueues messages and reports each acknowledgement on
//! standard output.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use levi::{FileCredentials, Levi, LeviConfig, SessionId, SqliteSessionStore, Status};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::content::{message, secret_of};
use crate::environment::{credentials, http};

/// The task of a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The server's URL.
    pub url: String,
    /// The server's publishable key.
    pub key: String,
    /// The folder of the credentials and the session store.
    pub data_dir: PathBuf,
    /// The folder of the outbox.
    pub folder: PathBuf,
    /// The messages to enqueue.
    pub lanes: Vec<Lane>,
    /// Sessions whose secret is saved after all messages were enqueued.
    pub arriving: Vec<SessionId>,
    /// What the child does after that.
    pub end: End,
}

/// Messages of one session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lane {
    /// The session.
    pub session: SessionId,
    /// The first sequence number.
    pub first: i64,
    /// How many messages.
    pub count: i64,
    /// How many messages are enqueued before the child waits for them.
    pub burst: i64,
    /// Bytes of each message.
    pub bytes: usize,
    /// Whether the session's secret is in the session store from the start.
    pub has_secret: bool,
}

/// What a child does once everything is enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Keeps sending until it is killed.
    Linger,
    /// Shuts Levi down.
    ShutDown,
    /// Waits until nothing is left to send, then shuts Levi down.
    Drain,
}

/// What a child prints, one JSON value on each line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// It is about to open the outbox.
    Opening,
    /// The outbox is open.
    Open,
    /// It is about to enqueue the message with this sequence number.
    Enqueueing(SessionId, i64),
    /// `enqueue_durable` returned `Ok`: the message is on disk.
    Acknowledged(SessionId, i64),
    /// `enqueue_durable` returned this error.
    Refused(SessionId, i64, String),
    /// The secret is in the session store, and the child is about to call `secret_arrived`.
    Secret(SessionId),
    /// It is about to shut down.
    Stopping,
    /// Levi shut down with so many messages pending and so many parked.
    Stopped(u64, u64),
    /// The child cannot continue, for this reason.
    Failed(String),
}

/// Carries out a job.
///
/// # Errors
/// When Levi cannot be built or started. The child prints [`Line::Failed`] too.
pub async fn run(job: Job) -> Result<(), Error> {
    exit_with_the_parent();
    let outcome = work(job).await;
    if let Err(error) = &outcome {
        print(&Line::Failed(error.to_string()))?;
    }
    outcome
}

async fn work(job: Job) -> Result<(), Error> {
    let daemon = Daemon::open(&job.data_dir)?;
    for lane in job.lanes.iter().filter(|lane| lane.has_secret) {
        daemon.store.save_secret(&lane.session, &secret_of(&lane.session)?)?;
    }
    let levi = Arc::new(daemon.levi(&job)?);
    print(&Line::Opening)?;
    levi.start()?;
    print(&Line::Open)?;
    let lanes: Vec<_> =
        job.lanes.into_iter().map(|lane| tokio::spawn(enqueue(Arc::clone(&levi), lane))).collect();
    for lane in lanes {
        lane.await??;
    }
    for session in &job.arriving {
        daemon.store.save_secret(session, &secret_of(session)?)?;
        print(&Line::Secret(session.clone()))?;
        levi.secret_arrived(session);
    }
    match job.end {
        End::Linger => std::future::pending().await,
        End::ShutDown => {}
        End::Drain => drained(&levi).await?,
    }
    print(&Line::Stopping)?;
    let left = levi.shutdown(Duration::from_millis(200)).await;
    print(&Line::Stopped(left.pending, left.parked))
}

/// What a daemon has besides Levi.
struct Daemon {
    store: Arc<SqliteSessionStore>,
    credentials: Arc<FileCredentials>,
    database_key: levi::DatabaseKey,
}

impl Daemon {
    fn open(data_dir: &Path) -> Result<Self, Error> {
        let credentials = Arc::new(FileCredentials::open(credentials(data_dir))?);
        let database_key = levi::store::database_key(&*credentials, &mut rand::rng())?;
        let store = Arc::new(SqliteSessionStore::open(data_dir.join("store.sqlite"), database_key.clone())?);
        Ok(Self { store, credentials, database_key })
    }

    fn levi(&self, job: &Job) -> Result<Levi, Error> {
        let config = LeviConfig {
            data_dir: Some(job.folder.clone()),
            flush_interval: Duration::from_millis(5),
            backoff_base: Duration::from_millis(10),
            backoff_max: Duration::from_millis(100),
            ..LeviConfig::default()
        };
        let levi = Levi::builder(http(&job.url, &job.key), self.store.clone())
            .config(config)
            .database_key(self.database_key.clone())
            .credentials(self.credentials.clone())
            .build()?;
        Ok(levi)
    }
}

async fn enqueue(levi: Arc<Levi>, lane: Lane) -> Result<(), Error> {
    let mut next = lane.first;
    let end = lane.first + lane.count;
    while next < end {
        let burst: Vec<i64> = (next..end.min(next + lane.burst.max(1))).collect();
        next += lane.burst.max(1);
        let mut waiting = Vec::new();
        for number in burst {
            print(&Line::Enqueueing(lane.session.clone(), number))?;
            let (levi, request) = (Arc::clone(&levi), message(&lane.session, number, lane.bytes));
            // The first poll enqueues, so polling here keeps the order of the burst.
            let mut enqueued = Box::pin(async move { levi.enqueue_durable(request).await });
            let first = poll_once(&mut enqueued).await;
            waiting.push((number, first, enqueued));
        }
        for (number, first, enqueued) in waiting {
            let outcome = match first {
                Some(outcome) => outcome,
                None => enqueued.await,
            };
            print(&match outcome {
                Ok(_) => Line::Acknowledged(lane.session.clone(), number),
                Err(error) => Line::Refused(lane.session.clone(), number, error.to_string()),
            })?;
        }
    }
    Ok(())
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// Waits until nothing is pending.
async fn drained(levi: &Levi) -> Result<(), Error> {
    let mut status = levi.watch_status();
    let done = |status: &Status| {
        status.totals.pending_rows == 0 && status.totals.control_rows == 0 && status.rows_in_flight == 0
    };
    let wait = tokio::time::timeout(Duration::from_secs(120), status.wait_for(done)).await;
    match wait {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("not drained within two minutes: {:?}", levi.status()).into()),
    }
}

/// Exits when standard input ends, because then the parent is gone and nobody would kill this
/// process.
fn exit_with_the_parent() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        std::process::exit(3);
    });
}

/// Prints one line with one write, so that a kill cuts off the last line only.
fn print(line: &Line) -> Result<(), Error> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(std::io::stdout().lock().write_all(&text)?)
}
