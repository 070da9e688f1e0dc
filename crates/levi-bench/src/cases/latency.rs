//! The time from `enqueue` to the request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use levi::{Flush, HttpOptions, Levi, LeviConfig, SyncContext};

use crate::in_process::InProcessServer;
use crate::report::{Figure, Line, Plot, Run, Target};
use crate::stats::{Spread, percentile};
use crate::{Effort, Fallible, fixture, scratch};

/// How long the server takes to answer.
const LATENCY: Duration = Duration::from_millis(20);

/// The mark for a message that finds Levi idle: from `enqueue` to the request, its commit included.
const AT_ONCE_MS: f64 = 2.0;

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    run.figure(at_once(idle(Flush::Leading, Duration::from_millis(50), effort.pick(20, 200)).await?));
    for interval in [LeviConfig::default().flush_interval, Duration::from_millis(50)] {
        let waits = idle(Flush::Trailing, interval, effort.pick(4, 20)).await?;
        run.figure(after_the_interval(interval, waits));
    }
    let (mut middle, mut high) = (Vec::new(), Vec::new());
    for rate in [1, 10, 100, 1000] {
        let seconds = if rate == 1 { effort.pick(10, 30) } else { effort.pick(3, 15) };
        let Loaded { waits, requests } = loaded(rate, Duration::from_secs(seconds as u64)).await?;
        let (p50, p99) = (percentile(&waits, 0.5), percentile(&waits, 0.99));
        middle.push((f64::from(rate), p50));
        high.push((f64::from(rate), p99));
        run.figure(under_load(rate, p50, p99, requests as f64 / seconds as f64));
    }
    run.plots.push(Plot {
        file: "latency".into(),
        title: "From enqueue to the request (flush_interval 500 ms, batch_size 50)".into(),
        x: "messages a second".into(),
        y: "ms".into(),
        log_x: true,
        log_y: false,
        lines: vec![Line { name: "p50".into(), points: middle }, Line { name: "p99".into(), points: high }],
    });
    Ok(())
}

fn at_once(waits: Vec<f64>) -> Figure {
    let note = format!("p99 {:.2} ms; the commit is in it", percentile(&waits, 0.99));
    Figure {
        what: "one message on an idle Levi".into(),
        against: "the mark".into(),
        unit: "ms".into(),
        levi: waits,
        baseline: vec![AT_ONCE_MS],
        target: Target::AtMost(1.0),
        note,
    }
}

fn after_the_interval(interval: Duration, waits: Vec<f64>) -> Figure {
    let ms = interval.as_secs_f64() * 1e3;
    let over: Vec<f64> = waits.iter().map(|wait| wait - ms).collect();
    Figure {
        what: format!("the same with Flush::Trailing, flush_interval {ms:.0} ms"),
        against: "flush_interval".into(),
        unit: "ms".into(),
        levi: waits,
        baseline: vec![ms],
        target: Target::AtMost(if ms > 100.0 { 1.02 } else { 1.1 }),
        note: format!("over flush_interval: median {:.2} ms", Spread::of(&over).median),
    }
}

fn under_load(rate: u32, p50: f64, p99: f64, requests: f64) -> Figure {
    // The first message of a batch waits until the batch is full or the interval is over.
    let flush = LeviConfig::default().flush_interval;
    let ms = flush.as_secs_f64().min(50.0 / f64::from(rate)) * 1e3;
    Figure {
        what: format!("{rate} messages a second, one session, p99"),
        against: "the longest time to fill a batch: flush_interval or 50 messages".into(),
        unit: "ms".into(),
        levi: vec![p99],
        baseline: vec![ms],
        target: Target::None,
        note: format!(
            "p50 {p50:.1} ms, p99 {p99:.1} ms, {requests:.1} requests a second; responses take 20 ms"
        ),
    }
}

struct Harness {
    levi: Levi,
    server: Arc<InProcessServer>,
    _folder: tempfile::TempDir,
}

async fn harness(flush: Flush, flush_interval: Duration) -> Fallible<Harness> {
    let folder = scratch()?;
    let server = Arc::new(InProcessServer { latency: LATENCY, ..InProcessServer::default() });
    let data_dir = Some(folder.path().to_owned());
    let config = LeviConfig { data_dir, flush, flush_interval, ..LeviConfig::default() };
    let levi =
        Levi::builder(HttpOptions::new("http://127.0.0.1:9", "sb_publishable_bench"), fixture::secrets())
            .config(config)
            .supabase(server.clone())
            .build()?;
    levi.start()?;
    levi.set_context(SyncContext { access_token: "token".into() }).await;
    Ok(Harness { levi, server, _folder: folder })
}

/// Milliseconds from `enqueue` to the request, for messages that each find Levi idle.
async fn idle(flush: Flush, flush_interval: Duration, messages: i64) -> Fallible<Vec<f64>> {
    let harness = harness(flush, flush_interval).await?;
    let (session, content) = (fixture::session(0), fixture::content());
    let mut waits = Vec::new();
    for number in 0..messages {
        let before = Instant::now();
        harness.levi.enqueue(fixture::request(&session, number, &content))?;
        while harness.server.count_arrivals() == 0 {
            harness.server.arrived.notified().await;
        }
        let arrivals = harness.server.take_arrivals();
        waits.extend(arrivals.iter().map(|(_, at)| (*at - before).as_secs_f64() * 1e3));
        let mut status = harness.levi.watch_status();
        status.wait_for(|status| status.totals.pending_rows == 0 && status.requests_in_flight == 0).await?;
        // The next message is to find a quiet interval behind it.
        tokio::time::sleep(flush_interval).await;
    }
    harness.levi.shutdown(Duration::from_secs(5)).await;
    Ok(waits)
}

/// Messages at a steady rate.
struct Loaded {
    /// Milliseconds from `enqueue` to the request, for each message.
    waits: Vec<f64>,
    requests: u64,
}

async fn loaded(rate: u32, time: Duration) -> Fallible<Loaded> {
    let harness = harness(Flush::default(), LeviConfig::default().flush_interval).await?;
    let (session, content) = (fixture::session(0), fixture::content());
    let step = Duration::from_secs(1) / rate;
    let messages = (time.as_secs_f64() * f64::from(rate)) as usize;
    let start = tokio::time::Instant::now();
    let mut enqueued = Vec::with_capacity(messages);
    for number in 0..messages {
        tokio::time::sleep_until(start + step * number as u32).await;
        enqueued.push(Instant::now());
        harness.levi.enqueue(fixture::request(&session, number as i64, &content))?;
    }
    while harness.server.count_arrivals() < messages {
        harness.server.arrived.notified().await;
    }
    let arrivals = harness.server.take_arrivals();
    harness.levi.shutdown(Duration::from_secs(5)).await;
    let wait = |(number, at): &(i64, Instant)| {
        enqueued.get(*number as usize).map(|enqueued| (*at - *enqueued).as_secs_f64() * 1e3)
    };
    let requests = harness.server.upserts.load(Ordering::Relaxed);
    Ok(Loaded { waits: arrivals.iter().filter_map(wait).collect(), requests })
}
