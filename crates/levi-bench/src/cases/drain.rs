//! Draining a backlog to a server behind a round trip.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use levi::{HttpSupabase, Levi, LeviConfig, SyncContext};
use tokio::time::timeout;

use super::rivals;
use crate::process::cpu_time;
use crate::report::{Figure, Line, Mark, Plot, Report};
use crate::server::Server;
use crate::stats::Spread;
use crate::{Effort, Fallible, fixture, scratch};

/// Longer than any drain takes.
const PATIENCE: Duration = Duration::from_secs(1800);

pub(crate) async fn measure(report: &mut Report, effort: Effort) -> Fallible<()> {
    let mut lines = Vec::new();
    for sessions in [1, 8] {
        let mut points = (Vec::new(), Vec::new());
        for round_trip in [0, 20, 50] {
            let backlog = Backlog::write(10_000, sessions)?;
            let speeds = beside_the_bound(report, &backlog, round_trip, effort.pick(3, 7)).await?;
            points.0.push((f64::from(round_trip), speeds.0));
            points.1.push((f64::from(round_trip), speeds.1));
        }
        lines.push(Line { name: format!("Levi, {sessions} session(s)"), points: points.0 });
        lines.push(Line { name: format!("bound, {sessions} session(s)"), points: points.1 });
    }
    let larger: &[usize] = effort.pick(&[100_000], &[100_000, 1_000_000]);
    for rows in larger {
        for sessions in effort.pick(&[8][..], &[1, 8]) {
            let rounds = if *rows > 100_000 { 1 } else { effort.pick(1, 3) };
            let backlog = Backlog::write(*rows, *sessions)?;
            for round_trip in effort.pick(&[0][..], &[0, 20, 50]) {
                beside_the_bound(report, &backlog, *round_trip, rounds).await?;
            }
        }
    }
    rivals_sampled(report, effort).await?;
    report.plots.push(Plot {
        file: "drain",
        title: "Draining 10,000 messages of 1 KiB".into(),
        x: "round trip, ms",
        y: "messages a second",
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
        fixture::backlog(&file, rows, sessions)?;
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
    report: &mut Report,
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
    report.figure(Figure {
        group: "drain",
        what: format!("{} rows, {} session(s), round trip {round_trip} ms", backlog.rows, backlog.sessions),
        against: "max(wire alone at this round trip, disk alone + wire alone at 0 ms)".into(),
        unit: "rows/s",
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
    let chains = rivals::bodies(backlog.rows, backlog.sessions, config.catch_up_batch_size)?;
    let cpu = cpu_time();
    let wall = rivals::bare_posts(&supabase, &server.token(), chains, config.max_in_flight).await?;
    Ok(Took { wall: wall.as_secs_f64(), cpu: (cpu_time() - cpu).as_secs_f64() })
}

fn disk_alone(template: &Path, batch: usize) -> Fallible<f64> {
    let folder = scratch()?;
    fixture::copy_outbox(template, folder.path())?;
    Ok(rivals::outbox_alone(&folder.path().join("outbox.sqlite"), batch)?.as_secs_f64())
}

/// One POST per message and the plain loop, on a sample of a backlog: both go at a steady pace.
async fn rivals_sampled(report: &mut Report, effort: Effort) -> Fallible<()> {
    let (singles, ticks) = effort.pick((500, 6), (5_000, 20));
    let rounds = effort.pick(2, 5);
    for round_trip in [0, 20, 50] {
        let latency = Duration::from_millis(round_trip);
        let singles = if round_trip == 0 { singles } else { singles / 10 };
        let backlog = Backlog::write(10_000, 1)?;
        let (mut levi, mut single, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        let (mut single_cpu, mut plain_cpu, mut cpu) = (0.0, 0.0, 0.0);
        for _ in 0..rounds {
            let took = through_levi(&backlog, latency).await?;
            (cpu, _) = (took.cpu, levi.push(1e4 / took.wall));
            let server = Server::start(1, latency).await?;
            let supabase = HttpSupabase::new(&server.http())?;
            let before = cpu_time();
            let time = rivals::one_by_one(&supabase, &server.token(), singles).await?;
            single_cpu = (cpu_time() - before).as_secs_f64() / singles as f64 * 1e4;
            single.push(singles as f64 / time.as_secs_f64());
            if round_trip == 0 {
                let (server, folder) = (Server::start(1, latency).await?, scratch()?);
                let supabase = HttpSupabase::new(&server.http())?;
                let path = folder.path().join("plain.sqlite");
                let before = cpu_time();
                let time = rivals::plain_loop(&supabase, &server.token(), &path, ticks).await?;
                plain_cpu = (cpu_time() - before).as_secs_f64() / (ticks * 50) as f64 * 1e4;
                // The last tick's wait is not in the time.
                plain.push((ticks * 50) as f64 / (time.as_secs_f64() + 0.5));
            }
        }
        report.figure(Figure {
            group: "drain",
            what: format!("10,000 rows, 1 session, round trip {round_trip} ms"),
            against: format!("one POST per message ({singles} of them)"),
            unit: "rows/s",
            levi: levi.clone(),
            rival: single,
            mark: Mark::None,
            note: format!("CPU s per 10,000: Levi {cpu:.2}, one by one {single_cpu:.2}"),
        });
        if round_trip == 0 {
            report.figure(Figure {
                group: "drain",
                what: "10,000 rows, 1 session, round trip 0 ms".into(),
                against: format!("plain loop: 50 a batch, one batch at a time, 500 ms tick ({ticks} ticks)"),
                unit: "rows/s",
                levi,
                rival: plain,
                mark: Mark::None,
                note: format!("CPU s per 10,000: Levi {cpu:.2}, plain loop {plain_cpu:.2}"),
            });
        }
    }
    Ok(())
}
