//! Measurements that need a process of their own: memory, start-up, idleness. The child prints JSON lines.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::{HttpOptions, Levi, LeviConfig, SyncContext};
use levi_outbox::sqlite::{SqliteOutbox, Synchronous};
use levi_testkit::outbox::FaultyOutbox;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::near::Near;
use crate::process::memory_kib;
use crate::server::Address;
use crate::{Fallible, fixture};

/// What a drain showed of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drained {
    /// The most that was ever resident, in KiB.
    pub(crate) most_kib: u64,
    /// Rows sent, and KiB resident then.
    pub(crate) samples: Vec<(u64, u64)>,
}

/// What a start showed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) first_request_ms: f64,
}

/// A child that has nothing more to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) pid: u32,
}

/// What a child asked of its outbox and its server since it was ready.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) reads: u64,
    pub(crate) commits: u64,
    pub(crate) requests: u64,
}

/// A child process of this same program. Dropping it ends it.
pub(crate) struct Child {
    process: std::process::Child,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(args: &[&str]) -> Fallible<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("child")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().ok_or("the child has no output")?);
        Ok(Self { process, output })
    }

    /// The next line it prints.
    pub(crate) fn line<T: DeserializeOwned>(&mut self) -> Fallible<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Asks it to print a line.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self) -> Fallible<T> {
        let input = self.process.stdin.as_mut().ok_or("the child has no input")?;
        input.write_all(b"\n")?;
        self.line()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Gone already: then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The child's side.
pub(crate) async fn run(what: &str, args: &[&str]) -> Fallible<()> {
    match (what, args) {
        ("drain", [folder, server, rows]) => say(&drain(folder, server, rows.parse()?).await?),
        ("start", [folder]) => say(&start(folder).await?),
        ("idle", [folder, server, waiting]) => idle(folder, server, *waiting == "1").await,
        _ => Err(format!("there is no child task `{what}`").into()),
    }
}

fn say(answer: &impl Serialize) -> Fallible<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line)?;
    Ok(std::io::stdout().flush()?)
}

fn config(folder: &str) -> LeviConfig {
    LeviConfig { data_dir: Some(PathBuf::from(folder)), max_pending_bytes: 1 << 36, ..LeviConfig::default() }
}

async fn drain(folder: &str, server: &str, rows: u64) -> Fallible<Drained> {
    let server: Address = serde_json::from_str(server)?;
    let levi = Levi::builder(server.http(), fixture::secrets()).config(config(folder)).build()?;
    levi.start()?;
    levi.set_context(SyncContext { access_token: server.token() }).await;
    let mut status = levi.watch_status();
    let mut samples = Vec::new();
    for part in 1..=50 {
        let until = rows * part / 50;
        status.wait_for(|status| status.rows_accepted >= until).await?;
        samples.push((until, memory_kib(std::process::id(), "VmRSS")?));
    }
    levi.shutdown(Duration::from_secs(10)).await;
    Ok(Drained { most_kib: memory_kib(std::process::id(), "VmHWM")?, samples })
}

async fn start(folder: &str) -> Fallible<Started> {
    let near = Arc::new(Near::default());
    let levi =
        Levi::builder(HttpOptions::new("http://127.0.0.1:9", "sb_publishable_bench"), fixture::secrets())
            .config(config(folder))
            .supabase(near.clone())
            .build()?;
    let start = Instant::now();
    levi.start()?;
    levi.set_context(SyncContext { access_token: "token".into() }).await;
    near.leaving.notified().await;
    Ok(Started { first_request_ms: start.elapsed().as_secs_f64() * 1e3 })
}

/// Sends a few messages where nothing waits already, says so when nothing is left to do, and goes on doing nothing.
/// Asked, it says what became of that.
async fn idle(folder: &str, server: &str, waiting: bool) -> Fallible<()> {
    let server: Address = serde_json::from_str(server)?;
    let path = Path::new(folder).join("outbox.sqlite");
    // Nothing is made to fail: it counts.
    let outbox = FaultyOutbox::new(SqliteOutbox::open(path, fixture::options(Synchronous::Full))?);
    let faults = outbox.faults();
    let levi = Levi::builder(server.http(), fixture::secrets())
        .config(config(folder))
        .outbox(Box::new(outbox))
        .build()?;
    levi.start()?;
    levi.set_context(SyncContext { access_token: server.token() }).await;
    if !waiting {
        for number in 0..20 {
            let stored =
                levi.enqueue_durable(fixture::request(&fixture::session(0), number, "hello")).await?;
            levi.synced(&stored).await?;
        }
    }
    // Longer than the runtime keeps a thread that is out of work.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, batches) = (faults.counts(), levi.status().batches_accepted);
    let status = levi.watch_status();
    // A thread and not a task: the runtime would wake up to look at standard input.
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            let now = faults.counts();
            let asked = Asked {
                reads: now.reads - before.reads,
                commits: now.commits - before.commits,
                requests: status.borrow().batches_accepted - batches,
            };
            if say(&asked).is_err() {
                return;
            }
        }
    });
    say(&Ready { pid: std::process::id() })?;
    std::future::pending().await
}
