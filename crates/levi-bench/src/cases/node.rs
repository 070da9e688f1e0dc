//! What people would write instead with the official JavaScript client: where Node and the packages of `node/` are there.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use levi::{Levi, LeviConfig, SyncContext};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::drain::{Backlog, ROWS, Rates, Took, with_levi};
use crate::report::{Figure, Run, Target};
use crate::server::Server;
use crate::stats::{Spread, percentile};
use crate::{Effort, Fallible, fixture, scratch};

const CLIENT: &str = "supabase-js, @noble/ciphers and better-sqlite3, 50 a batch";

/// What a drain took.
#[derive(Deserialize)]
struct Drained {
    wall_ms: f64,
    cpu_ms: f64,
    peak_kib: f64,
}

/// What a message that is written by itself took.
#[derive(Deserialize)]
struct Live {
    p50_ms: f64,
}

pub(super) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    if !script().with_file_name("node_modules").exists() {
        println!("NOT MEASURED: the JavaScript client; run `npm ci` beside {}", script().display());
        return Ok(());
    }
    for round_trip in [0, 50] {
        drain(run, effort, round_trip).await?;
    }
    live(run, effort).await
}

async fn drain(run: &mut Run, effort: Effort, round_trip: u64) -> Fallible<()> {
    let (backlog, latency) = (Backlog::write(ROWS, 1)?, Duration::from_millis(round_trip));
    let (mut levi, mut node, mut peak) = (Rates::default(), Rates::default(), 0.0);
    for _ in 0..effort.pick(1, 3) {
        levi.add(ROWS, with_levi(&backlog, latency).await?);
        let server = Server::start(1, latency)?;
        let took: Drained = client(&server, ROWS, "drain")?;
        node.add(ROWS, Took { wall: took.wall_ms / 1e3, cpu: took.cpu_ms / 1e3 });
        peak = took.peak_kib / 1024.0;
    }
    run.figure(Figure {
        what: format!("{ROWS} rows, 1 session, round trip {round_trip} ms"),
        against: CLIENT.into(),
        unit: "rows/s".into(),
        levi: levi.rates,
        baseline: node.rates,
        target: Target::None,
        note: format!(
            "CPU s per 10,000: Levi {:.2}, Node {:.2}; Node's peak memory {peak:.0} MiB",
            Spread::of(&levi.cpu).median,
            Spread::of(&node.cpu).median
        ),
    });
    Ok(())
}

/// One message at a time, every 100 ms, from its storing to the server's answer. The interval of Levi's batches is
/// shorter than that, or all but the first would wait for company.
async fn live(run: &mut Run, effort: Effort) -> Fallible<()> {
    let messages = effort.pick(30, 200);
    let (server, folder) = (Server::start(1, Duration::ZERO)?, scratch()?);
    let config = LeviConfig {
        data_dir: Some(folder.path().to_owned()),
        flush_interval: Duration::from_millis(50),
        ..LeviConfig::default()
    };
    let levi = Levi::builder(server.http(), fixture::secrets()).config(config).build()?;
    levi.start()?;
    levi.set_context(SyncContext { access_token: server.token() }).await;
    let (session, content) = (fixture::session(0), fixture::content());
    let mut waits = Vec::new();
    for number in 0..messages {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        let receipt = levi.enqueue_durable(fixture::request(&session, number as i64, &content)).await?;
        levi.synced(&receipt).await?;
        waits.push(start.elapsed().as_secs_f64() * 1e3);
    }
    levi.shutdown(Duration::from_secs(5)).await;
    let node: Live = client(&Server::start(1, Duration::ZERO)?, messages, "live")?;
    run.figure(Figure {
        what: "one message by itself, from its storing to the server's answer, p50".into(),
        against: CLIENT.into(),
        unit: "ms".into(),
        levi: vec![percentile(&waits, 0.5)],
        baseline: vec![node.p50_ms],
        target: Target::None,
        note: format!("{messages} messages, 10 a second; Levi removes the row in this time too"),
    });
    Ok(())
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node/client.mjs")
}

/// Runs the client and returns what it prints.
fn client<T: DeserializeOwned>(server: &Server, messages: usize, what: &str) -> Fallible<T> {
    let folder = scratch()?;
    let [url, key, token] = server.address().parts();
    let output = Command::new("node")
        .arg(script())
        .args([url, key, token, fixture::session(0).as_str()])
        .args([messages, fixture::MESSAGE_BYTES].map(|number| number.to_string()))
        .arg(folder.path().join("node.sqlite"))
        .arg(what)
        .output()?;
    let failed = |error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout).map_err(failed)?)
}
