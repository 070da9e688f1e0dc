//! What claiming, acknowledging and storing cost as the backlog grows, most of it in backoff.

use std::path::Path;
use std::time::Instant;

use levi_outbox::sqlite::{SqliteOutbox, Synchronous};
use levi_outbox::{Change, DueQuery, NewRow, OutboxStore, RowKey};
use levi_types::Wall;
use rusqlite::Connection;

use crate::report::{Figure, Line, Mark, Plot, Report};
use crate::stats::{Spread, percentile};
use crate::{Effort, Fallible, fixture, scratch};

/// Rows of one session.
const ROWS_A_LANE: usize = 100;

/// Rows in one step.
const BATCH: usize = 50;

/// Steps in one round of one size.
const STEPS: usize = 20;

const NOW: Wall = Wall::from_millis(1_800_000_000_000);

const QUERY: DueQuery<'_> = DueQuery {
    now: NOW,
    horizon: Wall::from_millis(NOW.as_millis() + 3_600_000),
    except: &[],
    max_lanes: 1,
    heads_per_lane: BATCH,
    max_heads: BATCH,
};

pub(crate) fn measure(report: &mut Report, effort: Effort) -> Fallible<()> {
    let sizes: &[usize] =
        effort.pick(&[1_000, 10_000, 100_000], &[1_000, 10_000, 100_000, 1_000_000, 10_000_000]);
    let mut stores = Vec::new();
    for size in sizes {
        stores.push(Sized::write(*size)?);
    }
    for round in 0..effort.pick(10, 30) {
        for store in &mut stores {
            store.round(round)?;
        }
    }
    let names = ["claim 50 of the due rows", "acknowledge 50 rows", "store 50 rows"];
    let mut lines = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let smallest = stores[0].rounds(index);
        for store in &stores[1..] {
            report.figure(Figure {
                group: "growth",
                what: format!("{name}, {} rows pending, nine of ten in backoff", store.rows),
                against: format!("the same with {}", stores[0].rows),
                unit: "µs",
                levi: store.rounds(index),
                rival: smallest.clone(),
                mark: Mark::AtMost(1.5),
                note: format!("p99 {:.0} µs", percentile(&store.times[index], 0.99)),
            });
        }
        let point = |store: &Sized| (store.rows as f64, Spread::of(&store.rounds(index)).median);
        lines.push(Line { name: name.into(), points: stores.iter().map(point).collect() });
    }
    report.plots.push(Plot {
        file: "growth",
        title: "Cost of a step as the backlog grows (synchronous = FULL)".into(),
        x: "rows pending",
        y: "µs",
        log_x: true,
        log_y: true,
        lines,
    });
    Ok(())
}

/// An outbox with so many rows.
struct Sized {
    rows: usize,
    store: SqliteOutbox,
    template: NewRow,
    /// Microseconds of each claim, acknowledgement, intake.
    times: [Vec<f64>; 3],
    _folder: tempfile::TempDir,
}

impl Sized {
    fn write(rows: usize) -> Fallible<Self> {
        let folder = scratch()?;
        let path = folder.path().join("outbox.sqlite");
        let lanes = (rows / ROWS_A_LANE).max(10);
        fixture::backlog(&path, rows, lanes)?;
        defer(&path, "lane % 10 <> 0", Wall::from_millis(NOW.as_millis() + 1_800_000))?;
        let store = SqliteOutbox::open(path, fixture::options(Synchronous::Full))?;
        let template = fixture::sealed_row(&fixture::message_key()?, &fixture::session(0), 0)?;
        Ok(Self { rows, store, template, times: Default::default(), _folder: folder })
    }

    /// Claims, acknowledges and stores, so that there are as many rows as before.
    fn round(&mut self, round: usize) -> Fallible<()> {
        for step in 0..STEPS {
            let start = Instant::now();
            let due = self.store.due(QUERY)?;
            self.times[0].push(micros(start));
            let lane = due.lanes.first().ok_or("some lanes are due")?;
            let rows: Vec<RowKey> = lane.heads.iter().map(|head| head.key).collect();
            let change = Change::Acknowledge { lane: lane.lane, rows, at: NOW };
            let start = Instant::now();
            self.store.commit(&[change], &[])?;
            self.times[1].push(micros(start));
            let first = 1_000_000_000 + ((round * STEPS + step) * BATCH) as i64;
            let row = |number| NewRow {
                session_id: lane.session_id.clone(),
                sequence_number: number,
                message_id: format!("00000000-0000-7000-8000-{number:012}").as_str().into(),
                ..self.template.clone()
            };
            let rows: Vec<NewRow> = (first..first + BATCH as i64).map(row).collect();
            let start = Instant::now();
            self.store.commit(&[], &rows)?;
            self.times[2].push(micros(start));
        }
        Ok(())
    }

    /// The median of each round.
    fn rounds(&self, index: usize) -> Vec<f64> {
        self.times[index].chunks(STEPS).map(|round| percentile(round, 0.5)).collect()
    }
}

/// The lanes that `share` picks wait until `due_at`. Written straight into the table, or the fixture would take longer than
/// what it is for.
pub(super) fn defer(path: &Path, share: &str, due_at: Wall) -> Fallible<()> {
    let sql = format!(
        "UPDATE levi_lanes SET due_at = ?1, attempts = 3, reason_code = '503', reason_detail = 'busy' WHERE {share}"
    );
    Connection::open(path)?.execute(&sql, [due_at.as_millis()])?;
    Ok(())
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
