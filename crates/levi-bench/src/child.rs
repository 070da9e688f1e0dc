//! Child processes for measurements that need a process of their own: memory, start-up, idleness. A child prints JSON,
//! one value on each line.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::{HttpOptions, Levi, LeviConfig, SyncContext};
use levi_crypto::message::{self, MessagePosition};
use levi_outbox::sqlite::{SqliteOutbox, Synchronous};
use levi_testkit::outbox::FaultyOutbox;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::in_process::InProcessServer;
use crate::process::{cpu_time, memory_kib};
use crate::server::Address;
use crate::{Fallible, fixture};

/// The memory that a drain used.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drained {
    /// Peak resident memory in KiB.
    pub(crate) peak_kib: u64,
    /// Rows sent so far, with the KiB resident at that time.
    pub(crate) samples: Vec<(u64, u64)>,
}

/// What it took to read everything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReadAll {
    /// Processor time of the process, in microseconds.
    pub(crate) cpu_micros: f64,
    /// Of it, what opening as many bytes takes by itself.
    pub(crate) open_micros: f64,
    /// Resident memory after each page.
    pub(crate) resident_kib: Vec<u64>,
}

/// How long a start took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Milliseconds from `start` to the first request.
    pub(crate) first_request_ms: f64,
}

/// Printed by a child that has nothing left to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) pid: u32,
}

/// What a child did with its outbox and its server since it was ready.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) reads: u64,
    pub(crate) commits: u64,
    pub(crate) requests: u64,
}

/// A child process that runs this program. It is killed on drop.
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
        // Fails when the child has exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Carries out a child's task.
pub(crate) async fn run(what: &str, args: &[&str]) -> Fallible<()> {
    match (what, args) {
        ("drain", [folder, server, rows]) => say(&drain(folder, server, rows.parse()?).await?),
        ("read", [server, rows]) => say(&read(server, rows.parse()?).await?),
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
    Ok(Drained { peak_kib: memory_kib(std::process::id(), "VmHWM")?, samples })
}

/// Reads everything that the server has, and opens the same rows once more for the floor.
async fn read(server: &str, rows: usize) -> Fallible<ReadAll> {
    let server: Address = serde_json::from_str(server)?;
    let reader = crate::reader::reader(&server)?;
    let (mut cursor, mut count, mut resident_kib) = (None, 0, Vec::new());
    let began = cpu_time();
    while count < rows {
        let page = reader.changes(cursor.as_ref(), 1000).await?;
        if page.changes.iter().any(|change| change.content.is_err()) || page.changes.is_empty() {
            return Err(format!("a message after {count} cannot be read").into());
        }
        count += page.changes.len();
        cursor = Some(page.cursor);
        resident_kib.push(memory_kib(std::process::id(), "VmRSS")?);
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let cpu_micros = micros(cpu_time() - began);
    let (key, session) = (fixture::message_key()?, fixture::session(0));
    let place = MessagePosition { session_id: &session, sequence_number: 1 };
    let sealed = message::seal(&key, place, &fixture::content(), &mut rand::rng())?;
    let began = cpu_time();
    for _ in 0..rows {
        black_box(message::open(&key, place, black_box(&sealed.ciphertext), &sealed.nonce)?);
    }
    Ok(ReadAll { cpu_micros, open_micros: micros(cpu_time() - began), resident_kib })
}

async fn start(folder: &str) -> Fallible<Started> {
    let server = Arc::new(InProcessServer::default());
    let levi =
        Levi::builder(HttpOptions::new("http://127.0.0.1:9", "sb_publishable_bench"), fixture::secrets())
            .config(config(folder))
            .supabase(server.clone())
            .build()?;
    let start = Instant::now();
    levi.start()?;
    levi.set_context(SyncContext { access_token: "token".into() }).await;
    server.arrived.notified().await;
    Ok(Started { first_request_ms: start.elapsed().as_secs_f64() * 1e3 })
}

/// Sends a few messages unless some are pending already, prints [`Ready`] once nothing is left to do, and then idles. For
/// each line on standard input it prints the [`Usage`] since then.
async fn idle(folder: &str, server: &str, waiting: bool) -> Fallible<()> {
    let server: Address = serde_json::from_str(server)?;
    let path = Path::new(folder).join("outbox.sqlite");
    // Used for its counters. Nothing fails.
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
    // More time than the runtime keeps an idle thread.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, batches) = (faults.counts(), levi.status().batches_accepted);
    let status = levi.watch_status();
    // A thread, because a task that reads standard input would wake the runtime.
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            let now = faults.counts();
            let usage = Usage {
                reads: now.reads - before.reads,
                commits: now.commits - before.commits,
                requests: status.borrow().batches_accepted - batches,
            };
            if say(&usage).is_err() {
                return;
            }
        }
    });
    say(&Ready { pid: std::process::id() })?;
    std::future::pending().await
}
