//! The process that is killed: a daemon that hands messages over and says aloud what it was promised.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use levi::{FileCredentials, Levi, LeviConfig, SessionId, SqliteSessionStore, Status};
use serde::{Deserialize, Serialize};

use crate::Trouble;
use crate::content::{message, secret_of};
use crate::scene::{credentials, http};

/// What a child is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The server.
    pub url: String,
    /// Its publishable key.
    pub key: String,
    /// Where sign-in and session store lie.
    pub home: PathBuf,
    /// Where the outbox lies.
    pub folder: PathBuf,
    /// What to hand over.
    pub lanes: Vec<Lane>,
    /// Sessions whose secret arrives while it runs.
    pub arriving: Vec<SessionId>,
    /// What it does when everything was handed over.
    pub end: End,
}

/// Messages of one session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lane {
    /// The session.
    pub session: SessionId,
    /// The first place to fill.
    pub first: i64,
    /// How many.
    pub count: i64,
    /// How many are handed over side by side.
    pub burst: i64,
    /// Bytes of each message.
    pub bytes: usize,
    /// Whether the session's secret is in the session store already.
    pub has_secret: bool,
}

/// How a child ends, if it is not killed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Goes on sending until it is killed.
    Linger,
    /// Shuts Levi down.
    ShutDown,
    /// Waits until nothing is left to send, then shuts down.
    Drain,
}

/// What a child says, one line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// About to open the outbox.
    Opening,
    /// The outbox is open.
    Open,
    /// About to hand over the message at this place.
    Try(SessionId, i64),
    /// `enqueue_durable` returned: it is on disk.
    Acknowledged(SessionId, i64),
    /// It was refused, and why.
    Refused(SessionId, i64, String),
    /// A secret is in the session store; Levi is about to be told.
    Secret(SessionId),
    /// About to shut down.
    Stopping,
    /// Shut down, with so many messages pending and parked.
    Stopped(u64, u64),
    /// It could not do its job.
    Failed(String),
}

/// Runs a child's job to its end.
///
/// # Errors
/// When Levi cannot be built or started, which is said aloud too.
pub async fn run(job: Job) -> Result<(), Trouble> {
    end_with_the_parent();
    let outcome = work(job).await;
    if let Err(trouble) = &outcome {
        say(&Line::Failed(trouble.to_string()))?;
    }
    outcome
}

async fn work(job: Job) -> Result<(), Trouble> {
    let home = Home::open(&job.home)?;
    for lane in job.lanes.iter().filter(|lane| lane.has_secret) {
        home.store.save_secret(&lane.session, &secret_of(&lane.session)?)?;
    }
    let levi = Arc::new(home.levi(&job)?);
    say(&Line::Opening)?;
    levi.start()?;
    say(&Line::Open)?;
    let lanes: Vec<_> =
        job.lanes.into_iter().map(|lane| tokio::spawn(hand_over(Arc::clone(&levi), lane))).collect();
    for lane in lanes {
        lane.await??;
    }
    for session in &job.arriving {
        home.store.save_secret(session, &secret_of(session)?)?;
        say(&Line::Secret(session.clone()))?;
        levi.secret_arrived(session);
    }
    match job.end {
        End::Linger => std::future::pending().await,
        End::ShutDown => {}
        End::Drain => drained(&levi).await?,
    }
    say(&Line::Stopping)?;
    let left = levi.shutdown(Duration::from_millis(200)).await;
    say(&Line::Stopped(left.pending, left.parked))
}

/// What a daemon keeps beside the outbox.
struct Home {
    store: Arc<SqliteSessionStore>,
    credentials: Arc<FileCredentials>,
    database_key: levi::DatabaseKey,
}

impl Home {
    fn open(folder: &Path) -> Result<Self, Trouble> {
        let credentials = Arc::new(FileCredentials::open(credentials(folder))?);
        let database_key = levi::database_key(&*credentials, &mut rand::rng())?;
        let store = Arc::new(SqliteSessionStore::open(folder.join("store.sqlite"), database_key.clone())?);
        Ok(Self { store, credentials, database_key })
    }

    fn levi(&self, job: &Job) -> Result<Levi, Trouble> {
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

async fn hand_over(levi: Arc<Levi>, lane: Lane) -> Result<(), Trouble> {
    let mut place = lane.first;
    let end = lane.first + lane.count;
    while place < end {
        let burst: Vec<i64> = (place..end.min(place + lane.burst.max(1))).collect();
        place += lane.burst.max(1);
        let mut waiting = Vec::new();
        for place in burst {
            say(&Line::Try(lane.session.clone(), place))?;
            let (levi, request) = (Arc::clone(&levi), message(&lane.session, place, lane.bytes));
            // Polled once here, so that the messages of a burst are handed over in their order.
            let mut handed_over = Box::pin(async move { levi.enqueue_durable(request).await });
            let first = poll_once(&mut handed_over).await;
            waiting.push((place, first, handed_over));
        }
        for (place, first, handed_over) in waiting {
            let outcome = match first {
                Some(outcome) => outcome,
                None => handed_over.await,
            };
            say(&match outcome {
                Ok(_) => Line::Acknowledged(lane.session.clone(), place),
                Err(error) => Line::Refused(lane.session.clone(), place, error.to_string()),
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

/// Waits until nothing is pending, or says where it got stuck.
async fn drained(levi: &Levi) -> Result<(), Trouble> {
    let mut status = levi.watch_status();
    let done = |status: &Status| {
        status.totals.pending_rows == 0 && status.totals.control_rows == 0 && status.rows_in_flight == 0
    };
    let wait = tokio::time::timeout(Duration::from_secs(120), status.wait_for(done)).await;
    match wait {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("nothing moves any more: {:?}", levi.status()).into()),
    }
}

/// Standard input is the parent's hand: when it lets go, nobody is left to kill this process.
fn end_with_the_parent() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        std::process::exit(3);
    });
}

/// One line, in one write.
fn say(line: &Line) -> Result<(), Trouble> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(std::io::stdout().lock().write_all(&text)?)
}
