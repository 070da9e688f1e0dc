//! Draining a backlog to a server with a given round trip.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use levi::{HttpSupabase, Levi, LeviConfig, SyncContext};
use tokio::time::timeout;

use super::{baselines, node};
use crate::process::cpu_time;
use crate::report::{Figure, Line, Plot, Run, Target};
use crate::server::Server;
use crate::stats::Spread;
use crate::{Effort, Fallible, fixture, scratch};

/// More time than any drain takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// The most rows that the wire alone is measured with.
const WIRE_ROWS: usize = 100_000;

/// Rows of the small backlogs, which divide into as many sessions.
pub(super) const ROWS: usize = 9_600;

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    sessions(run, effort).await?;
    let mut lines = Vec::new();
    for sessions in [1, 8, 64] {
        let mut points = (Vec::new(), Vec::new());
        for round_trip in [0, 20, 50] {
            let backlog = Backlog::write(ROWS, sessions)?;
            let speeds = against_the_bound(run, &backlog, round_trip, effort.pick(2, 5)).await?;
            points.0.push((f64::from(round_trip), speeds.0));
            points.1.push((f64::from(round_trip), speeds.1));
        }
        lines.push(Line { name: format!("Levi, {sessions} session(s)"), points: points.0 });
        lines.push(Line { name: format!("bound, {sessions} session(s)"), points: points.1 });
    }
    let larger: &[usize] = effort.pick(&[100_000], &[100_000, 1_000_000]);
    for rows in larger {
        for sessions in effort.pick(&[8][..], &[1, 8]) {
            let backlog = Backlog::write(*rows, *sessions)?;
            for round_trip in effort.pick(&[0][..], &[0, 20, 50]) {
                against_the_bound(run, &backlog, *round_trip, 1).await?;
            }
        }
    }
    simple_baselines(run, effort).await?;
    node::measure(run, effort).await?;
    run.plots.push(Plot {
        file: "drain".into(),
        title: format!("Draining {ROWS} messages of 1 KiB"),
        x: "round trip, ms".into(),
        y: "messages a second".into(),
        log_x: false,
        log_y: false,
        lines,
    });
    Ok(())
}

/// An outbox to drain, kept as a file that each round copies.
pub(super) struct Backlog {
    rows: usize,
    sessions: usize,
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Backlog {
    pub(super) fn write(rows: usize, sessions: usize) -> Fallible<Self> {
        let folder = scratch()?;
        let file = folder.path().join("template.sqlite");
        fixture::backlog(&file, rows, sessions, sessions)?;
        Ok(Self { rows, sessions, _folder: folder, file })
    }
}

/// The seconds that one drain took.
#[derive(Clone, Copy)]
pub(super) struct Took {
    pub(super) wall: f64,
    pub(super) cpu: f64,
}

/// In each round measures Levi, the wire alone at this round trip, and disk and wire separately. Returns the median speeds
/// of Levi and of the bound.
async fn against_the_bound(
    run: &mut Run,
    backlog: &Backlog,
    round_trip: u32,
    rounds: usize,
) -> Fallible<(f64, f64)> {
    let latency = Duration::from_millis(round_trip.into());
    let config = LeviConfig::default();
    let (mut levi, mut bound, mut cpu, mut wire_cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let rows = backlog.rows as f64;
    for _ in 0..rounds {
        let took = with_levi(backlog, latency).await?;
        levi.push(rows / took.wall);
        cpu.push(took.cpu / rows * 1e4);
        let wire = wire_only(backlog, latency, &config).await?;
        wire_cpu.push(wire.cpu / rows * 1e4);
        let disk = disk_only(backlog, &config)?;
        // Without the round trip, the bound is disk and wire one after the other.
        let wire_at_zero =
            if round_trip == 0 { wire.wall } else { wire_only(backlog, Duration::ZERO, &config).await?.wall };
        bound.push(rows / wire.wall.max(disk + wire_at_zero));
    }
    let speeds = (Spread::of(&levi).median, Spread::of(&bound).median);
    run.figure(Figure {
        what: format!("{} rows, {} session(s), round trip {round_trip} ms", backlog.rows, backlog.sessions),
        against: "max(wire alone at this round trip, disk alone + wire alone at 0 ms)".into(),
        unit: "rows/s".into(),
        levi,
        baseline: bound,
        target: Target::AtLeast(0.8),
        note: format!(
            "CPU s per 10,000: Levi {:.2}, wire alone {:.2}",
            Spread::of(&cpu).median,
            Spread::of(&wire_cpu).median
        ),
    });
    Ok(speeds)
}

pub(super) async fn with_levi(backlog: &Backlog, latency: Duration) -> Fallible<Took> {
    let mut server = Server::start(backlog.sessions, latency)?;
    let folder = scratch()?;
    fixture::copy_outbox(&backlog.file, folder.path())?;
    let config = LeviConfig {
        data_dir: Some(folder.path().to_owned()),
        max_pending_bytes: 1 << 36,
        ..LeviConfig::default()
    };
    let levi = Levi::builder(server.http(), fixture::secrets()).config(config).build()?;
    let (start, cpu) = (Instant::now(), cpu_time());
    levi.start()?;
    levi.set_context(SyncContext { access_token: server.token() }).await;
    let mut status = levi.watch_status();
    let rows = backlog.rows as u64;
    timeout(
        PATIENCE,
        status.wait_for(|status| status.rows_accepted >= rows && status.totals.pending_rows == 0),
    )
    .await??;
    let took = Took { wall: start.elapsed().as_secs_f64(), cpu: (cpu_time() - cpu).as_secs_f64() };
    levi.shutdown(Duration::from_secs(5)).await;
    let seen = server.seen()?;
    if (seen.rows, seen.again, seen.late) != (rows, 0, 0) {
        return Err(format!("after the drain of {rows} rows the server has counted {seen:?}").into());
    }
    Ok(took)
}

async fn wire_only(backlog: &Backlog, latency: Duration, config: &LeviConfig) -> Fallible<Took> {
    let server = Server::start(backlog.sessions, latency)?;
    let supabase = HttpSupabase::new(&server.http())?;
    // The speed does not depend on the number of rows.
    let rows = backlog.rows.min(WIRE_ROWS);
    let chains = baselines::bodies(rows, backlog.sessions, config.catch_up_batch_size)?;
    let cpu = cpu_time();
    let wall = baselines::wire_only(&supabase, &server.token(), chains, config.max_in_flight).await?;
    let scale = backlog.rows as f64 / rows as f64;
    Ok(Took { wall: wall.as_secs_f64() * scale, cpu: (cpu_time() - cpu).as_secs_f64() * scale })
}

fn disk_only(backlog: &Backlog, config: &LeviConfig) -> Fallible<f64> {
    let folder = scratch()?;
    fixture::copy_outbox(&backlog.file, folder.path())?;
    let file = folder.path().join("outbox.sqlite");
    let (batch, in_flight) = (config.catch_up_batch_size, config.max_in_flight);
    Ok(baselines::disk_only(&file, batch, in_flight, backlog.sessions)?.as_secs_f64())
}

/// What a message costs the processor where the rows of many sessions lie between each other, next to one session.
async fn sessions(run: &mut Run, effort: Effort) -> Fallible<()> {
    let counts = [1, 8, 64];
    let backlogs: Vec<Backlog> =
        counts.iter().map(|count| Backlog::write(ROWS, *count)).collect::<Fallible<_>>()?;
    let mut cpu = counts.map(|_| Vec::new());
    for _ in 0..effort.pick(5, 15) {
        for (backlog, cpu) in backlogs.iter().zip(&mut cpu) {
            cpu.push(with_levi(backlog, Duration::ZERO).await?.cpu * 1e6 / ROWS as f64);
        }
    }
    for (count, levi) in counts.into_iter().zip(&cpu).skip(1) {
        run.figure(Figure {
            what: format!("{ROWS} rows, {count} sessions, interleaved, a message"),
            against: "1 session".into(),
            unit: "CPU µs".into(),
            levi: levi.clone(),
            baseline: cpu[0].clone(),
            target: Target::AtMost(1.4),
            note: String::new(),
        });
    }
    Ok(())
}

/// One POST per message and the simple loop. Both have a steady rate, so a sample of a backlog is enough.
async fn simple_baselines(run: &mut Run, effort: Effort) -> Fallible<()> {
    let ticks = effort.pick(4, 20);
    let backlog = Backlog::write(ROWS, 1)?;
    for round_trip in [0, 20, 50] {
        let latency = Duration::from_millis(round_trip);
        let singles = effort.pick(500, 5_000) / if round_trip == 0 { 1 } else { 10 };
        let (mut levi, mut single, mut simple) = (Rates::default(), Rates::default(), Rates::default());
        for _ in 0..effort.pick(1, 3) {
            levi.add(ROWS, with_levi(&backlog, latency).await?);
            single.add(singles, one_by_one(latency, singles).await?);
            simple.add(ticks * 50, simple_loop(latency, ticks).await?);
        }
        let baselines = [
            (single, format!("one POST per message ({singles} of them)")),
            (simple, format!("simple loop: 50 a batch, one batch at a time, 500 ms tick ({ticks} ticks)")),
        ];
        for (baseline, against) in baselines {
            run.figure(Figure {
                what: format!("{ROWS} rows, 1 session, round trip {round_trip} ms"),
                against,
                unit: "rows/s".into(),
                levi: levi.rates.clone(),
                baseline: baseline.rates,
                target: Target::None,
                note: format!(
                    "CPU s per 10,000: Levi {:.2}, baseline {:.2}",
                    Spread::of(&levi.cpu).median,
                    Spread::of(&baseline.cpu).median
                ),
            });
        }
    }
    Ok(())
}

/// Rows a second, and processor seconds per 10,000 rows, round by round.
#[derive(Default)]
pub(super) struct Rates {
    pub(super) rates: Vec<f64>,
    pub(super) cpu: Vec<f64>,
}

impl Rates {
    pub(super) fn add(&mut self, rows: usize, took: Took) {
        self.rates.push(rows as f64 / took.wall);
        self.cpu.push(took.cpu / rows as f64 * 1e4);
    }
}

async fn one_by_one(latency: Duration, messages: usize) -> Fallible<Took> {
    let server = Server::start(1, latency)?;
    let supabase = HttpSupabase::new(&server.http())?;
    let cpu = cpu_time();
    let wall = baselines::one_by_one(&supabase, &server.token(), messages).await?;
    Ok(Took { wall: wall.as_secs_f64(), cpu: (cpu_time() - cpu).as_secs_f64() })
}

async fn simple_loop(latency: Duration, ticks: usize) -> Fallible<Took> {
    let (server, folder) = (Server::start(1, latency)?, scratch()?);
    let supabase = HttpSupabase::new(&server.http())?;
    let cpu = cpu_time();
    let wall =
        baselines::simple_loop(&supabase, &server.token(), &folder.path().join("simple.sqlite"), ticks)
            .await?;
    // The first tick comes at once, so the loop lacks one of its pauses.
    Ok(Took { wall: wall.as_secs_f64().max(0.5 * ticks as f64), cpu: (cpu_time() - cpu).as_secs_f64() })
}
