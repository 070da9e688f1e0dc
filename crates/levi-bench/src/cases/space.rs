//! What a drained backlog leaves on the disk, and how long giving it back keeps a message waiting.

use std::path::Path;
use std::time::{Duration, Instant};

use levi::{Levi, LeviConfig, SyncContext};
use levi_outbox::sqlite::{SqliteOutbox, Synchronous};
use levi_testkit::outbox::{FaultyOutbox, OutboxFaults};
use tokio::time::timeout;

use crate::process::cpu_time;
use crate::report::{Figure, Run, Target};
use crate::server::Server;
use crate::stats::percentile;
use crate::{Effort, Fallible, fixture, scratch};

/// The most that may be left over what is live, and the time for it.
const LEFT: u64 = 16 << 20;
const WITHIN: Duration = Duration::from_secs(60);

/// The longest time for which a step may keep a message waiting.
const LONGEST_STEP_MS: f64 = 5.0;

/// The pause between messages that are stored meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// More time than a drain takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Sessions whose rows lie between each other.
const SESSIONS: usize = 8;

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let rows = effort.pick(100_000, 1_000_000);
    let folder = scratch()?;
    let server = Server::start(SESSIONS, Duration::ZERO)?;
    let (levi, faults) = drained(folder.path(), &server, rows).await?;
    let mut producer = Producer { levi: &levi, next: 1_000_000_000 };
    let (start, cpu, before) = (Instant::now(), cpu_time(), bytes_in(folder.path())?);
    let mut waits = Vec::new();
    while left(&levi, folder.path())? > LEFT && start.elapsed() < 2 * WITHIN {
        waits.push(producer.store().await?);
    }
    let (took, cpu, after) = (start.elapsed(), cpu_time() - cpu, bytes_in(folder.path())?);
    let step = faults.counts().longest_step;
    let mut idle_waits = Vec::new();
    for _ in 0..waits.len().max(100) {
        idle_waits.push(producer.store().await?);
    }
    levi.shutdown(Duration::from_secs(5)).await;

    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    run.figure(Figure {
        what: format!(
            "after {rows} rows were drained, until at most 16 MiB more than what is live are taken"
        ),
        against: "a minute".into(),
        unit: "s".into(),
        levi: vec![took.as_secs_f64()],
        baseline: vec![WITHIN.as_secs_f64()],
        target: Target::AtMost(1.0),
        note: format!(
            "{:.0} MiB before, {:.0} after; {:.2} CPU s",
            mib(before),
            mib(after),
            cpu.as_secs_f64()
        ),
    });
    run.figure(Figure {
        what: "the longest step, for which a message that comes then waits".into(),
        against: "the mark".into(),
        unit: "ms".into(),
        levi: vec![step.as_secs_f64() * 1e3],
        baseline: vec![LONGEST_STEP_MS],
        target: Target::AtMost(1.0),
        note: String::new(),
    });
    run.figure(Figure {
        what: "enqueue_durable meanwhile, each 20 ms, p50".into(),
        against: "the same when nothing is given back".into(),
        unit: "ms".into(),
        levi: vec![percentile(&waits, 0.5)],
        baseline: vec![percentile(&idle_waits, 0.5)],
        target: Target::None,
        note: format!("p99 {:.1} ms against {:.1}", percentile(&waits, 0.99), percentile(&idle_waits, 0.99)),
    });
    Ok(())
}

/// A Levi that has just sent a backlog. The handle measures the steps; nothing fails.
async fn drained(folder: &Path, server: &Server, rows: usize) -> Fallible<(Levi, OutboxFaults)> {
    let path = folder.join("outbox.sqlite");
    fixture::backlog(&path, rows, SESSIONS, SESSIONS)?;
    let outbox = FaultyOutbox::new(SqliteOutbox::open(&path, fixture::options(Synchronous::Full))?);
    let faults = outbox.faults();
    let config = LeviConfig { max_pending_bytes: 1 << 36, ..LeviConfig::default() };
    let levi =
        Levi::builder(server.http(), fixture::secrets()).config(config).outbox(Box::new(outbox)).build()?;
    levi.start()?;
    levi.set_context(SyncContext { access_token: server.token() }).await;
    let mut status = levi.watch_status();
    timeout(PATIENCE, status.wait_for(|status| status.totals.pending_rows == 0)).await??;
    Ok((levi, faults))
}

/// Stores messages one after the other.
struct Producer<'a> {
    levi: &'a Levi,
    next: i64,
}

impl Producer<'_> {
    /// The milliseconds that one message takes.
    async fn store(&mut self) -> Fallible<f64> {
        tokio::time::sleep(PAUSE).await;
        let request = fixture::request(&fixture::session(0), self.next, "hello");
        self.next += 1;
        let started = Instant::now();
        self.levi.enqueue_durable(request).await?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }
}

/// The bytes that are taken beside those that are live.
fn left(levi: &Levi, folder: &Path) -> Fallible<u64> {
    let space = levi.status().space.ok_or("the outbox does not say what it takes")?;
    Ok(bytes_in(folder)?.saturating_sub(space.file_bytes - space.free_bytes))
}

fn bytes_in(folder: &Path) -> Fallible<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
