//! The time from `enqueue` to the request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::{HttpOptions, Levi, LeviConfig, SyncContext};

use crate::in_process::InProcessServer;
use crate::report::{Figure, Line, Plot, Run, Target};
use crate::stats::{Spread, percentile};
use crate::{Effort, Fallible, fixture, scratch};

/// How long the server takes to answer.
const LATENCY: Duration = Duration::from_millis(20);

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let flush = LeviConfig::default().flush_interval;
    for interval in [flush, Duration::from_millis(50)] {
        let waits = idle(interval, effort.pick(4, 20)).await?;
        let ms = interval.as_secs_f64() * 1e3;
        let over: Vec<f64> = waits.iter().map(|wait| wait - ms).collect();
        run.figure(Figure {
            what: format!("one message on an idle Levi, flush_interval {ms:.0} ms"),
            against: "flush_interval".into(),
            unit: "ms".into(),
            levi: waits,
            baseline: vec![ms],
            target: Target::AtMost(if ms > 100.0 { 1.02 } else { 1.1 }),
            note: format!("over flush_interval: median {:.2} ms", Spread::of(&over).median),
        });
    }
    let (mut middle, mut high) = (Vec::new(), Vec::new());
    for rate in [10, 100, 1000] {
        let waits = loaded(rate, effort.pick(Duration::from_secs(3), Duration::from_secs(15))).await?;
        let (p50, p99) = (percentile(&waits, 0.5), percentile(&waits, 0.99));
        middle.push((f64::from(rate), p50));
        high.push((f64::from(rate), p99));
        // The first message of a batch waits until the batch is full or the interval is over.
        let ms = (flush.as_secs_f64()).min(50.0 / f64::from(rate)) * 1e3;
        run.figure(Figure {
            what: format!("{rate} messages a second, one session, p99"),
            against: "the longest time to fill a batch: flush_interval or 50 messages".into(),
            unit: "ms".into(),
            levi: vec![p99],
            baseline: vec![ms],
            target: Target::None,
            note: format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {} messages; answers take 20 ms", waits.len()),
        });
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

struct Harness {
    levi: Levi,
    server: Arc<InProcessServer>,
    _folder: tempfile::TempDir,
}

async fn harness(flush_interval: Duration) -> Fallible<Harness> {
    let folder = scratch()?;
    let server = Arc::new(InProcessServer { latency: LATENCY, ..InProcessServer::default() });
    let config =
        LeviConfig { data_dir: Some(folder.path().to_owned()), flush_interval, ..LeviConfig::default() };
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
async fn idle(flush_interval: Duration, messages: i64) -> Fallible<Vec<f64>> {
    let harness = harness(flush_interval).await?;
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
    }
    harness.levi.shutdown(Duration::from_secs(5)).await;
    Ok(waits)
}

/// Milliseconds from `enqueue` to the request, for messages at a steady rate.
async fn loaded(rate: u32, time: Duration) -> Fallible<Vec<f64>> {
    let harness = harness(LeviConfig::default().flush_interval).await?;
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
    Ok(arrivals.iter().filter_map(wait).collect())
}
