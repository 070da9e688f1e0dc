//! Draining a backlog to a server behind a round trip.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use levi::{HttpSupabase, Levi, LeviConfig, SyncContext};
use tokio::time::timeout;

use super::rivals;
use crate::process::cpu_time;
use crate::report::{Figure, Line, Mark, Plot, Run};
use crate::server::Server;
use crate::stats::Spread;
use crate::{Effort, Fallible, fixture, scratch};

/// Longer than any drain takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Rows that the wire alone is measured with at most.
const WIRE_ROWS: usize = 100_000;

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let mut lines = Vec::new();
    for sessions in [1, 8] {
        let mut points = (Vec::new(), Vec::new());
        for round_trip in [0, 20, 50] {
            let backlog = Backlog::write(10_000, sessions)?;
            let speeds = beside_the_bound(run, &backlog, round_trip, effort.pick(2, 5)).await?;
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
                beside_the_bound(run, &backlog, *round_trip, 1).await?;
            }
        }
    }
    rivals_sampled(run, effort).await?;
    run.plots.push(Plot {
        file: "drain".into(),
        title: "Draining 10,000 messages of 1 KiB".into(),
        x: "round trip, ms".into(),
        y: "messages a second".into(),
        log_x: false,
        log_y: false,
        lines,
    });
    Ok(())
}

/// An outbox that waits to be drained, kept as a file to be copied.
struct Backlog {
    rows: usize,
    sessions: usize,
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Backlog {
    fn write(rows: usize, sessions: usize) -> Fallible<Self> {
        let folder = scratch()?;
        let file = folder.path().join("template.sqlite");
        fixture::backlog(&file, rows, sessions, sessions)?;
        Ok(Self { rows, sessions, _folder: folder, file })
    }
}

/// What one drain took.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// Rounds of: Levi, the wire alone at this round trip, disk and wire apart. Returns the median speeds of Levi and
/// of the bound.
async fn beside_the_bound(
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
        let took = through_levi(backlog, latency).await?;
        levi.push(rows / took.wall);
        cpu.push(took.cpu / rows * 1e4);
        let wire = wire_alone(backlog, latency, &config).await?;
        wire_cpu.push(wire.cpu / rows * 1e4);
        let disk = disk_alone(&backlog.file, config.catch_up_batch_size)?;
        // Where the round trip is not the bound, disk and wire are: one after the other.
        let near = if round_trip == 0 {
            wire.wall
        } else {
            wire_alone(backlog, Duration::ZERO, &config).await?.wall
        };
        bound.push(rows / wire.wall.max(disk + near));
    }
    let speeds = (Spread::of(&levi).median, Spread::of(&bound).median);
    run.figure(Figure {
        what: format!("{} rows, {} session(s), round trip {round_trip} ms", backlog.rows, backlog.sessions),
        against: "max(wire alone at this round trip, disk alone + wire alone at 0 ms)".into(),
        unit: "rows/s".into(),
        levi,
        rival: bound,
        mark: Mark::AtLeast(0.8),
        note: format!(
            "CPU s per 10,000: Levi {:.2}, wire alone {:.2}",
            Spread::of(&cpu).median,
            Spread::of(&wire_cpu).median
        ),
    });
    Ok(speeds)
}

async fn through_levi(backlog: &Backlog, latency: Duration) -> Fallible<Took> {
    let mut server = Server::start(backlog.sessions, latency).await?;
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
        return Err(format!("the drain of {rows} rows went wrong: {seen:?}").into());
    }
    Ok(took)
}

async fn wire_alone(backlog: &Backlog, latency: Duration, config: &LeviConfig) -> Fallible<Took> {
    let server = Server::start(backlog.sessions, latency).await?;
    let supabase = HttpSupabase::new(&server.http())?;
    // A long wire goes at the pace of a short one.
    let rows = backlog.rows.min(WIRE_ROWS);
    let chains = rivals::bodies(rows, backlog.sessions, config.catch_up_batch_size)?;
    let cpu = cpu_time();
    let wall = rivals::bare_posts(&supabase, &server.token(), chains, config.max_in_flight).await?;
    let scale = backlog.rows as f64 / rows as f64;
    Ok(Took { wall: wall.as_secs_f64() * scale, cpu: (cpu_time() - cpu).as_secs_f64() * scale })
}

fn disk_alone(template: &Path, batch: usize) -> Fallible<f64> {
    let folder = scratch()?;
    fixture::copy_outbox(template, folder.path())?;
    Ok(rivals::outbox_alone(&folder.path().join("outbox.sqlite"), batch)?.as_secs_f64())
}

/// One POST per message and the plain loop, on a sample of a backlog: both go at a steady pace.
async fn rivals_sampled(run: &mut Run, effort: Effort) -> Fallible<()> {
    let ticks = effort.pick(4, 20);
    let backlog = Backlog::write(10_000, 1)?;
    for round_trip in [0, 20, 50] {
        let latency = Duration::from_millis(round_trip);
        let singles = effort.pick(500, 5_000) / if round_trip == 0 { 1 } else { 10 };
        let (mut levi, mut single, mut plain) = (Paces::default(), Paces::default(), Paces::default());
        for _ in 0..effort.pick(1, 3) {
            levi.add(10_000, through_levi(&backlog, latency).await?);
            single.add(singles, one_by_one(latency, singles).await?);
            plain.add(ticks * 50, plain_loop(latency, ticks).await?);
        }
        let rivals = [
            (single, format!("one POST per message ({singles} of them)")),
            (plain, format!("plain loop: 50 a batch, one batch at a time, 500 ms tick ({ticks} ticks)")),
        ];
        for (rival, against) in rivals {
            run.figure(Figure {
                what: format!("10,000 rows, 1 session, round trip {round_trip} ms"),
                against,
                unit: "rows/s".into(),
                levi: levi.rates.clone(),
                rival: rival.rates,
                mark: Mark::None,
                note: format!(
                    "CPU s per 10,000: Levi {:.2}, rival {:.2}",
                    Spread::of(&levi.cpu).median,
                    Spread::of(&rival.cpu).median
                ),
            });
        }
    }
    Ok(())
}

/// Rows a second, and processor seconds per 10,000 rows, round by round.
#[derive(Default)]
struct Paces {
    rates: Vec<f64>,
    cpu: Vec<f64>,
}

impl Paces {
    fn add(&mut self, rows: usize, took: Took) {
        self.rates.push(rows as f64 / took.wall);
        self.cpu.push(took.cpu / rows as f64 * 1e4);
    }
}

async fn one_by_one(latency: Duration, messages: usize) -> Fallible<Took> {
    let server = Server::start(1, latency).await?;
    let supabase = HttpSupabase::new(&server.http())?;
    let cpu = cpu_time();
    let wall = rivals::one_by_one(&supabase, &server.token(), messages).await?;
    Ok(Took { wall: wall.as_secs_f64(), cpu: (cpu_time() - cpu).as_secs_f64() })
}

async fn plain_loop(latency: Duration, ticks: usize) -> Fallible<Took> {
    let (server, folder) = (Server::start(1, latency).await?, scratch()?);
    let supabase = HttpSupabase::new(&server.http())?;
    let cpu = cpu_time();
    let wall =
        rivals::plain_loop(&supabase, &server.token(), &folder.path().join("plain.sqlite"), ticks).await?;
    // The first tick comes at once: there are as many waits as ticks only with the one before it.
    Ok(Took { wall: wall.as_secs_f64().max(0.5 * ticks as f64), cpu: (cpu_time() - cpu).as_secs_f64() })
}
