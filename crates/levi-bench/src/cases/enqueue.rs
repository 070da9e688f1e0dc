//! Durable enqueue: how many messages a second are on disk, and how long each producer waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use levi::{HttpOptions, Levi, LeviConfig};
use levi_outbox::sqlite::{SqliteOutbox, Synchronous};
use levi_outbox::{
    Change, Due, DueQuery, DueTasks, Enqueued, LaneId, ListedRow, ListedTask, NewRow, OutboxError,
    OutboxStore, PayloadSink, RowHead, RowId, RowKey, RowState, Totals,
};
use levi_types::{SessionId, Wall};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::rivals::{self, Bare};
use crate::report::{Figure, Mark, Report};
use crate::stats::percentile;
use crate::{Effort, Fallible, fixture, scratch};

/// Sessions that the producers write to.
const SESSIONS: usize = 8;

pub(crate) async fn measure(report: &mut Report, effort: Effort) -> Fallible<()> {
    let sync = median_sync()?;
    for slower in [1, 15] {
        for producers in [1, 64, 1024] {
            beside_the_bare_loop(report, effort, producers, slower, sync * (slower - 1)).await?;
        }
    }
    Ok(())
}

/// Short slices by turns, so that whatever else the machine does falls on both.
async fn beside_the_bare_loop(
    report: &mut Report,
    effort: Effort,
    producers: usize,
    slower: u32,
    extra_sync: Duration,
) -> Fallible<()> {
    let time = effort.pick(Duration::from_millis(150), Duration::from_millis(400));
    let (mut levi, mut bare) = (Vec::new(), Vec::new());
    let (mut levi_waits, mut bare_waits) = (Vec::new(), Vec::new());
    for _ in 0..effort.pick(9, 25) {
        let outcome = through_levi(producers, time, extra_sync).await?;
        levi.push(outcome.rate);
        levi_waits.extend(outcome.waits);
        let outcome = through_bare_loop(producers, time, extra_sync).await?;
        bare.push(outcome.rate);
        bare_waits.extend(outcome.waits);
    }
    let disk = if slower == 1 { String::new() } else { format!(", syncs {slower} times slower") };
    let note = format!(
        "p50 {:.2} ms beside {:.2}, p99 {:.2} ms beside {:.2}",
        percentile(&levi_waits, 0.5),
        percentile(&bare_waits, 0.5),
        percentile(&levi_waits, 0.99),
        percentile(&bare_waits, 0.99)
    );
    report.figure(Figure {
        group: "enqueue",
        what: format!("enqueue_durable, {producers} producer(s){disk}"),
        against: "bare group-commit loop, rows sealed beforehand".into(),
        unit: "rows/s",
        levi,
        rival: bare,
        mark: Mark::AtLeast(0.9),
        note,
    });
    Ok(())
}

/// What one run showed: rows a second, and each wait in milliseconds.
struct Outcome {
    rate: f64,
    waits: Vec<f64>,
}

async fn through_levi(producers: usize, time: Duration, extra_sync: Duration) -> Fallible<Outcome> {
    let folder = scratch()?;
    let store = SqliteOutbox::open(folder.path().join("outbox.sqlite"), fixture::options(Synchronous::Full))?;
    let levi =
        Levi::builder(HttpOptions::new("http://127.0.0.1:9", "sb_publishable_bench"), fixture::secrets())
            .config(LeviConfig { data_dir: Some(folder.path().to_owned()), ..LeviConfig::default() })
            .outbox(Box::new(SlowDisk { store, extra_sync }))
            .build()?;
    levi.start()?;
    let levi = Arc::new(levi);
    let content = Arc::new(fixture::content());
    let inner = Arc::clone(&levi);
    let outcome = produce(producers, time, move |session, number| {
        let (levi, content) = (Arc::clone(&inner), Arc::clone(&content));
        async move {
            let stored = levi.enqueue_durable(fixture::request(&session, number, &content)).await;
            stored.map(|_| ()).map_err(|error| error.to_string())
        }
    })
    .await;
    levi.shutdown(Duration::from_secs(5)).await;
    outcome
}

async fn through_bare_loop(producers: usize, time: Duration, extra_sync: Duration) -> Fallible<Outcome> {
    let folder = scratch()?;
    let (queue, thread) = rivals::group_commit(&folder.path().join("outbox.sqlite"), extra_sync)?;
    let row = fixture::sealed_row(&fixture::message_key()?, &fixture::session(0), 0)?;
    let lanes: Vec<SessionId> = (0..SESSIONS).map(fixture::session).collect();
    let outcome = produce(producers, time, move |session, number| {
        let (stored, done) = oneshot::channel();
        let lane = lanes.iter().position(|lane| *lane == session).unwrap_or_default() as i64;
        let message_id = row.message_id.as_str().to_owned();
        let bare = Bare { lane, sequence_number: number, message_id, payload: row.payload.clone(), stored };
        let sent = queue.send(bare);
        async move {
            sent.map_err(|_| "the bare loop ended".to_owned())?;
            done.await.map_err(|error| error.to_string())
        }
    })
    .await;
    thread.join().map_err(|_| "the bare loop panicked")??;
    outcome
}

/// Producers, a task each, that hand in one message after the other until the time is over.
async fn produce<F>(
    producers: usize,
    time: Duration,
    enqueue: impl Fn(SessionId, i64) -> F + Send + Sync + 'static,
) -> Fallible<Outcome>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let shared = Arc::new((enqueue, [const { AtomicI64::new(0) }; SESSIONS]));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let (shared, place) = (Arc::clone(&shared), producer % SESSIONS);
        tasks.spawn(async move {
            let (enqueue, numbers) = &*shared;
            let session = fixture::session(place);
            let mut waits = Vec::new();
            while start.elapsed() < time {
                let before = Instant::now();
                enqueue(session.clone(), numbers[place].fetch_add(1, Ordering::Relaxed)).await?;
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

/// How long a commit of one row takes here: what a slow disk is so many times slower than.
fn median_sync() -> Fallible<Duration> {
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
    Ok(Duration::from_secs_f64(percentile(&times, 0.5)))
}

/// A store whose every commit takes longer, as on a disk with slow syncs.
struct SlowDisk {
    store: SqliteOutbox,
    extra_sync: Duration,
}

impl OutboxStore for SlowDisk {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        let answers = self.store.commit(changes, rows);
        if !self.extra_sync.is_zero() {
            std::thread::sleep(self.extra_sync);
        }
        answers
    }

    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        self.store.due(query)
    }

    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        self.store.heads(lane, after, limit)
    }

    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        self.store.payloads(rows, sink)
    }

    fn at_rest(&self, lane: LaneId, limit: usize) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        self.store.at_rest(lane, limit)
    }

    fn due_tasks(&self, now: Wall, horizon: Wall, limit: usize) -> Result<DueTasks, OutboxError> {
        self.store.due_tasks(now, horizon, limit)
    }

    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        self.store.row_state(row)
    }

    fn totals(&self) -> Result<Totals, OutboxError> {
        self.store.totals()
    }

    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        self.store.list(after, limit)
    }

    fn tasks(&self, limit: usize) -> Result<Vec<ListedTask>, OutboxError> {
        self.store.tasks(limit)
    }
}
