//! From `enqueue` to the request leaving.

use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::{HttpOptions, Levi, LeviConfig, SyncContext};

use crate::near::Near;
use crate::report::{Figure, Line, Mark, Plot, Run};
use crate::stats::{Spread, percentile};
use crate::{Effort, Fallible, fixture, scratch};

/// How long the server takes to answer.
const ANSWER: Duration = Duration::from_millis(20);

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
            rival: vec![ms],
            mark: Mark::AtMost(if ms > 100.0 { 1.02 } else { 1.1 }),
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
            against: "the longest wait for company: flush_interval or 50 messages".into(),
            unit: "ms".into(),
            levi: vec![p99],
            rival: vec![ms],
            mark: Mark::None,
            note: format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {} messages; answers take 20 ms", waits.len()),
        });
    }
    run.plots.push(Plot {
        file: "latency".into(),
        title: "From enqueue to the request leaving (flush_interval 500 ms, batch_size 50)".into(),
        x: "messages a second".into(),
        y: "ms".into(),
        log_x: true,
        log_y: false,
        lines: vec![Line { name: "p50".into(), points: middle }, Line { name: "p99".into(), points: high }],
    });
    Ok(())
}

struct Rig {
    levi: Levi,
    near: Arc<Near>,
    _folder: tempfile::TempDir,
}

async fn rig(flush_interval: Duration) -> Fallible<Rig> {
    let folder = scratch()?;
    let near = Arc::new(Near { answers_after: ANSWER, ..Near::default() });
    let config =
        LeviConfig { data_dir: Some(folder.path().to_owned()), flush_interval, ..LeviConfig::default() };
    let levi =
        Levi::builder(HttpOptions::new("http://127.0.0.1:9", "sb_publishable_bench"), fixture::secrets())
            .config(config)
            .supabase(near.clone())
            .build()?;
    levi.start()?;
    levi.set_context(SyncContext { access_token: "token".into() }).await;
    Ok(Rig { levi, near, _folder: folder })
}

/// Milliseconds from `enqueue` to leaving, of messages that each find Levi idle.
async fn idle(flush_interval: Duration, messages: i64) -> Fallible<Vec<f64>> {
    let rig = rig(flush_interval).await?;
    let (session, content) = (fixture::session(0), fixture::content());
    let mut waits = Vec::new();
    for number in 0..messages {
        let before = Instant::now();
        rig.levi.enqueue(fixture::request(&session, number, &content))?;
        while rig.near.count_left() == 0 {
            rig.near.leaving.notified().await;
        }
        let left = rig.near.take_left();
        waits.extend(left.iter().map(|(_, at)| (*at - before).as_secs_f64() * 1e3));
        let mut status = rig.levi.watch_status();
        status.wait_for(|status| status.totals.pending_rows == 0 && status.requests_in_flight == 0).await?;
    }
    rig.levi.shutdown(Duration::from_secs(5)).await;
    Ok(waits)
}

/// The same of messages that come at a steady pace.
async fn loaded(rate: u32, time: Duration) -> Fallible<Vec<f64>> {
    let rig = rig(LeviConfig::default().flush_interval).await?;
    let (session, content) = (fixture::session(0), fixture::content());
    let step = Duration::from_secs(1) / rate;
    let messages = (time.as_secs_f64() * f64::from(rate)) as usize;
    let start = tokio::time::Instant::now();
    let mut handed = Vec::with_capacity(messages);
    for number in 0..messages {
        tokio::time::sleep_until(start + step * number as u32).await;
        handed.push(Instant::now());
        rig.levi.enqueue(fixture::request(&session, number as i64, &content))?;
    }
    while rig.near.count_left() < messages {
        rig.near.leaving.notified().await;
    }
    let left = rig.near.take_left();
    rig.levi.shutdown(Duration::from_secs(5)).await;
    let wait = |(number, at): &(i64, Instant)| {
        handed.get(*number as usize).map(|handed| (*at - *handed).as_secs_f64() * 1e3)
    };
    Ok(left.iter().filter_map(wait).collect())
}
