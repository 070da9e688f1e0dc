//! What a day costs: processor time, memory, disk, requests and bytes at five loads, a model of them, and what the limits of
//! a plan make of it.

use std::time::Duration;

use levi::{Levi, LeviConfig, SyncContext};
use tokio::time::{Instant, sleep_until};

use crate::process::{bytes_to_disk, cpu_time, memory_kib};
use crate::report::{Figure, Line, Plot, Run, Target};
use crate::server::Server;
use crate::{Effort, Fallible, fixture, scratch};

const SECONDS_A_DAY: f64 = 86_400.0;

/// Messages a second, and the sessions that they are spread over. The model is fitted to the first three.
const LOADS: [(f64, usize); 5] = [(1.0, 1), (100.0, 1), (10.0, 100), (10.0, 1), (100.0, 100)];

/// Bytes of a stored row in PostgreSQL beside what its writer sends: the tuple's head, `user_id`, `change_id`, and its
/// entries in three indexes. Computed, not measured.
const ROW_OVERHEAD: f64 = 200.0;

/// Bytes of a request and its answer beside their bodies. An estimate of Supabase's.
const HEADS: f64 = 1_500.0;

const DAYS: f64 = 30.0;

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let mut points = Vec::new();
    for (rate, sessions) in LOADS {
        points.push(Point::measure(rate, sessions, effort.pick(5.0, 30.0)).await?);
    }
    let fitted = [&points[0], &points[1], &points[2]];
    let cost = Cost {
        micros: Model::fit(fitted, |point| point.micros),
        written: Model::fit(fitted, |point| point.written),
        bytes: points[1].bytes,
        mib: points.iter().map(|point| point.mib).fold(0.0, f64::max),
    };
    for point in &points {
        run.figure(figure(point, "CPU µs", point.micros, &cost.micros));
        run.figure(figure(point, "KB to disk", point.written, &cost.written));
    }
    println!("model: {cost:?}");
    run.plots.extend([cost.of_a_day(), cost.of_plans()]);
    Ok(())
}

fn figure(point: &Point, unit: &str, measured: f64, model: &Model) -> Figure {
    let Point { rate, sessions, requests, lanes, bytes, mib, .. } = *point;
    Figure {
        what: format!("{rate} messages a second, {sessions} session(s), a message"),
        against: "the model".into(),
        unit: unit.into(),
        levi: vec![measured],
        baseline: vec![model.of(requests, lanes)],
        target: Target::Within(0.1),
        note: format!(
            "{requests:.2} requests and {bytes:.0} bytes of bodies a message; {mib:.1} MiB resident"
        ),
    }
}

/// What one load cost.
struct Point {
    rate: f64,
    sessions: usize,
    /// Processor time of a message.
    micros: f64,
    /// KB that a message writes to the disk.
    written: f64,
    /// Requests of a message.
    requests: f64,
    /// Sessions in each request, of a message.
    lanes: f64,
    /// Bytes of a message in bodies.
    bytes: f64,
    mib: f64,
}

impl Point {
    async fn measure(rate: f64, sessions: usize, seconds: f64) -> Fallible<Self> {
        let mut server = Server::start(sessions, Duration::ZERO)?;
        let folder = scratch()?;
        let config = LeviConfig { data_dir: Some(folder.path().to_owned()), ..LeviConfig::default() };
        let levi = Levi::builder(server.http(), fixture::secrets()).config(config).build()?;
        levi.start()?;
        levi.set_context(SyncContext { access_token: server.token() }).await;
        let (content, count) = (fixture::content(), (rate * seconds.max(10.0 / rate)) as usize);
        let mut last = None;
        // One before, which connects.
        levi.synced(&levi.enqueue_durable(fixture::request(&fixture::session(0), 0, &content)).await?)
            .await?;
        let (before, cpu, disk, begun) = (server.seen()?, cpu_time(), bytes_to_disk()?, Instant::now());
        for number in 1..=count {
            sleep_until(begun + Duration::from_secs_f64(number as f64 / rate)).await;
            let request = fixture::request(&fixture::session(number % sessions), number as i64, &content);
            last = Some(levi.enqueue_durable(request).await?);
        }
        if let Some(last) = last {
            levi.synced(&last).await?;
        }
        let (cpu, seen, messages) = (cpu_time() - cpu, server.seen()?, count as f64);
        let disk = bytes_to_disk()? - disk;
        let mib = memory_kib(std::process::id(), "VmRSS")? as f64 / 1024.0;
        levi.shutdown(Duration::from_secs(5)).await;
        let requests = (seen.posts - before.posts) as f64 / messages;
        Ok(Self {
            rate,
            sessions,
            micros: cpu.as_secs_f64() * 1e6 / messages,
            written: disk as f64 / 1e3 / messages,
            requests,
            lanes: (requests * sessions as f64).min(1.0),
            bytes: (seen.bytes_in - before.bytes_in) as f64 / messages,
            mib,
        })
    }
}

/// A cost is a sum: so much for each request, for each session in a request, and for each message.
#[derive(Debug)]
struct Model {
    request: f64,
    lane: f64,
    message: f64,
}

impl Model {
    /// One lone message, many of one session, and many of many.
    fn fit([lone, one, many]: [&Point; 3], value: impl Fn(&Point) -> f64) -> Self {
        // A request of one session has one lane, so that these two cannot be told apart in the first two points.
        let both = (value(lone) - value(one)) / (lone.requests - one.requests);
        let message = value(lone) - both * lone.requests;
        let lane = (value(many) - message - both * many.requests) / (many.lanes - many.requests);
        Self { request: both - lane, lane, message }
    }

    fn of(&self, requests: f64, lanes: f64) -> f64 {
        self.request * requests + self.lane * lanes + self.message
    }
}

/// Requests a day for so many messages, evenly spread: one each until they are closer than `flush_interval`, then one in
/// each interval, then full batches.
fn requests_a_day(messages: f64) -> f64 {
    let LeviConfig { flush_interval, batch_size, .. } = LeviConfig::default();
    let intervals = SECONDS_A_DAY / flush_interval.as_secs_f64();
    messages.min(intervals.max(messages / batch_size as f64))
}

/// What messages cost.
#[derive(Debug)]
struct Cost {
    micros: Model,
    /// KB.
    written: Model,
    /// Bytes of a message in bodies.
    bytes: f64,
    mib: f64,
}

impl Cost {
    /// Of so many messages a day, evenly spread over the day and the sessions.
    fn a_day(model: &Model, messages: f64, sessions: f64) -> f64 {
        let requests = requests_a_day(messages) / messages;
        messages * model.of(requests, (requests * sessions).min(1.0))
    }

    fn cpu_seconds(&self, messages: f64, sessions: f64) -> f64 {
        Self::a_day(&self.micros, messages, sessions) / 1e6
    }

    /// The picture of a day.
    fn of_a_day(&self) -> Plot {
        let sent = |count: f64| (count * self.bytes + requests_a_day(count) * HEADS) / 1e6;
        Plot {
            title: "A day of messages of 1 KiB".into(),
            y: "a day".into(),
            lines: vec![
                line("requests", requests_a_day),
                line("CPU s, 1 session", |count| self.cpu_seconds(count, 1.0)),
                line("CPU s, 10,000 sessions", |count| self.cpu_seconds(count, 1e4)),
                line("MB sent and received", sent),
                line("MB to disk, 1 session", |count| Self::a_day(&self.written, count, 1.0) / 1e3),
                line("MB to disk, 10,000 sessions", |count| Self::a_day(&self.written, count, 1e4) / 1e3),
                line("MiB of memory", |_| self.mib),
            ],
            ..plot("cost")
        }
    }

    /// The picture of a month under the limits of a plan.
    fn of_plans(&self) -> Plot {
        let bytes = self.bytes;
        let stored = |count: f64| count * DAYS * (bytes + ROW_OVERHEAD);
        let polled =
            |count: f64| DAYS * (count * bytes + (2.0 * requests_a_day(count) + 2_880.0) * HEADS / 2.0);
        let pushed = |count: f64| polled(count) + DAYS * count * bytes;
        Plot {
            title: "A month of messages of 1 KiB, as a share of what there is".into(),
            y: "%".into(),
            lines: vec![
                line("database, Free (500 MB)", |count| 100.0 * stored(count) / 500e6),
                line("database, Pro (8 GB)", |count| 100.0 * stored(count) / 8e9),
                line("egress to 1 device, Free (5 GB)", |count| 100.0 * polled(count) / 5e9),
                line("egress to 1 device, Pro (250 GB)", |count| 100.0 * polled(count) / 250e9),
                line("the same with Realtime, Free", |count| 100.0 * pushed(count) / 5e9),
                line("Realtime messages, Free (2 M)", |count| 100.0 * count * DAYS / 2e6),
                line("one core, 1 session", |count| 100.0 * self.cpu_seconds(count, 1.0) / SECONDS_A_DAY),
                line("one core, 10,000 sessions", |count| {
                    100.0 * self.cpu_seconds(count, 1e4) / SECONDS_A_DAY
                }),
            ],
            ..plot("plans")
        }
    }
}

/// From a hundred to ten million messages a day.
fn line(name: &str, value: impl Fn(f64) -> f64) -> Line {
    let messages = (8..=28).map(|quarter| 10_f64.powf(f64::from(quarter) / 4.0));
    Line { name: name.into(), points: messages.map(|count| (count, value(count))).collect() }
}

fn plot(file: &str) -> Plot {
    Plot {
        file: file.into(),
        title: String::new(),
        x: "messages a day".into(),
        y: String::new(),
        log_x: true,
        log_y: true,
        lines: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_gives_back_the_points_that_it_was_fitted_to() {
        let point = |micros, requests, lanes| Point {
            rate: 1.0,
            sessions: 1,
            micros,
            written: 0.0,
            requests,
            lanes,
            bytes: 0.0,
            mib: 0.0,
        };
        let points = [point(400.0, 1.0, 1.0), point(30.0, 0.02, 0.02), point(90.0, 0.2, 1.0)];
        let model = Model::fit([&points[0], &points[1], &points[2]], |point| point.micros);
        for Point { micros, requests, lanes, .. } in points {
            assert!((model.of(requests, lanes) - micros).abs() < 1e-9);
        }
    }

    #[test]
    fn requests_rise_with_messages_until_batches_are_full() {
        let table = [(1e2, 1e2), (1e5, 1e5), (1e6, 172_800.0), (1e7, 2e5)];
        assert!(table.iter().all(|(messages, requests)| requests_a_day(*messages) == *requests));
    }
}
