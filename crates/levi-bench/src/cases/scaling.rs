//! The cost of claiming, acknowledging and storing as the backlog grows. Most of the backlog is in backoff.

use std::hint::black_box;
use std::iter::Cycle;
use std::path::Path;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox, Synchronous};
use levi_outbox::{Change, DueQuery, LaneId, LaneKey, NewRow, OutboxStore, RowKey};
use levi_types::{SessionId, Wall};
use rusqlite::Connection;

use crate::conditions::free_gib;
use crate::report::{Figure, Line, Plot, Run, Target};
use crate::stats::{Spread, percentile};
use crate::{Effort, Fallible, fixture, scratch};

/// Rows in each session.
const ROWS_PER_LANE: usize = 100;

/// Rows in each step.
const BATCH: usize = 50;

/// How many lanes are due where that number stays the same.
const DUE_LANES: usize = 2;

/// The steps in Levi's order. Reading has no target, because it costs a read from the disk for each row that is not in
/// memory.
const STEP_NAMES: [&str; 4] =
    ["claim 50 rows", "read 50 payloads", "acknowledge 50 rows", "store 50 rows among 50 of another session"];

/// The target of each step while the same rows are due, and while one row in ten is.
const FLAT: Target = Target::AtMost(1.5);
const TARGETS: [Target; 4] = [FLAT, Target::None, FLAT, FLAT];
const TARGETS_ONE_IN_TEN: [Target; 4] = [Target::AtMost(2.0), Target::None, FLAT, FLAT];

/// Memory for each row that is due, in KiB, in which the pages of all of them stay until they are used again.
const CACHE_FOR_A_ROW_KIB: usize = 12;

/// How many sessions were written to at the same time when the backlog was written.
pub(super) const AT_ONCE: usize = 1_000;

/// Steps in one round of one size.
const STEPS: usize = 20;

const NOW: Wall = Wall::from_millis(1_800_000_000_000);

/// After the backlog was written, and long before now.
const WRITTEN: Wall = Wall::from_millis(NOW.as_millis() - 1_000_000);

/// When the rows in backoff become due.
const LATER: Wall = Wall::from_millis(NOW.as_millis() + 1_800_000);

const QUERY: DueQuery<'_> = DueQuery {
    user: None,
    now: NOW,
    horizon: Wall::from_millis(NOW.as_millis() + 3_600_000),
    except: &[],
    max_lanes: 1,
    heads_per_lane: BATCH,
    max_heads: BATCH,
};

pub(crate) fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let most = most_rows(effort)?;
    let sizes: Vec<usize> =
        [1_000, 10_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|rows| *rows <= most).collect();
    let rounds = effort.pick(10, 30);
    same_rows_due(run, &sizes, rounds)?;
    let sizes: Vec<usize> =
        sizes.into_iter().filter(|rows| *rows <= effort.pick(100_000, 1_000_000)).collect();
    one_in_ten_due(run, &sizes, rounds)
}

/// The number of rows grows, and the number of due rows stays the same.
fn same_rows_due(run: &mut Run, sizes: &[usize], rounds: usize) -> Fallible<()> {
    let stores = steps(&with_usual_cache(sizes), rounds, &format!("lane > {DUE_LANES}"))?;
    figures(run, &stores, &format!("{} rows due", DUE_LANES * ROWS_PER_LANE), TARGETS);
    let line = |(index, name): (usize, &str)| {
        let point = |store: &Sized| (store.rows as f64, Spread::of(&store.rounds(index)).median);
        Line { name: name.to_owned(), points: stores.iter().map(point).collect() }
    };
    run.plots.push(Plot {
        file: "scaling".into(),
        title: "Cost of a step as the backlog grows (synchronous = FULL)".into(),
        x: "rows pending".into(),
        y: "µs".into(),
        log_x: true,
        log_y: true,
        lines: STEP_NAMES.into_iter().enumerate().map(line).collect(),
    });
    Ok(())
}

/// The number of due rows grows too, past what SQLite caches. Then the same with memory for their pages.
fn one_in_ten_due(run: &mut Run, sizes: &[usize], rounds: usize) -> Fallible<()> {
    let stores = steps(&with_usual_cache(sizes), rounds, ONE_IN_TEN)?;
    figures(run, &stores, "one in ten due, interleaved", TARGETS_ONE_IN_TEN);
    drop(stores);
    let (Some(least), Some(most)) = (sizes.first(), sizes.last()) else { return Ok(()) };
    let usual = SqliteOptions::default().cache_kib;
    let cache_kib = usual + u32::try_from(most / 10 * CACHE_FOR_A_ROW_KIB)?;
    // In the first quarter each row is used for the first time.
    let rounds = rounds.max(4 * most / 10 / BATCH / STEPS);
    let stores = steps(&[(*least, usual), (*most, cache_kib)], rounds, ONE_IN_TEN)?;
    let due = format!("one in ten due, interleaved, {} MiB of cache", cache_kib / 1024);
    figures(run, &stores, &due, TARGETS_ONE_IN_TEN);
    Ok(())
}

/// Each size with the cache that an outbox has by default.
fn with_usual_cache(sizes: &[usize]) -> Vec<(usize, u32)> {
    sizes.iter().map(|rows| (*rows, SqliteOptions::default().cache_kib)).collect()
}

/// The lanes in backoff where one in ten is due.
const ONE_IN_TEN: &str = "lane % 10 <> 0";

/// Ten million rows take 21 GB, the smaller backlogs 2 GB, and the write-ahead log some more while they are written.
const GIB_FOR_TEN_MILLION: f64 = 40.0;

/// The size of the largest backlog: what the disk has room for, unless `LEVI_BENCH_ROWS` is set.
fn most_rows(effort: Effort) -> Fallible<usize> {
    if let Ok(asked) = std::env::var("LEVI_BENCH_ROWS") {
        return Ok(asked.parse().map_err(|_| "LEVI_BENCH_ROWS must be a number of rows")?);
    }
    let full = if free_gib()? >= GIB_FOR_TEN_MILLION { 10_000_000 } else { 1_000_000 };
    Ok(effort.pick(100_000, full))
}

/// Writes an outbox of each size, to be opened with so many KiB of cache, with the lanes that match `deferred` in backoff, and measures the sizes interleaved.
fn steps(sizes: &[(usize, u32)], rounds: usize, deferred: &str) -> Fallible<Vec<Sized>> {
    let mut stores = Vec::new();
    for (size, cache_kib) in sizes {
        stores.push(Sized::write(*size, deferred, *cache_kib)?);
    }
    for _ in 0..rounds {
        for store in &mut stores {
            for _ in 0..STEPS {
                store.step()?;
            }
        }
    }
    Ok(stores)
}

fn figures(run: &mut Run, stores: &[Sized], due: &str, targets: [Target; 4]) {
    for (index, (name, target)) in STEP_NAMES.into_iter().zip(targets).enumerate() {
        let smallest = stores[0].rounds(index);
        for store in &stores[1..] {
            run.figure(Figure {
                what: format!("{name}, {} rows pending, {due}", store.rows),
                against: format!("the same with {}", stores[0].rows),
                unit: "µs".into(),
                levi: store.rounds(index),
                baseline: smallest.clone(),
                target,
                note: format!("p99 {:.0} µs", percentile(&store.times[index], 0.99)),
            });
        }
    }
}

/// An outbox with a given number of rows.
struct Sized {
    rows: usize,
    store: SqliteOutbox,
    template: NewRow,
    /// The lanes in backoff. Each step adds rows to one of them and removes as many.
    waiting: Cycle<IntoIter<(LaneId, SessionId)>>,
    /// The time of the last acknowledgement.
    answered_at: Wall,
    /// The next sequence number in every session.
    next: i64,
    /// The microseconds of each step.
    times: [Vec<f64>; 4],
    _folder: tempfile::TempDir,
}

impl Sized {
    fn write(rows: usize, deferred: &str, cache_kib: u32) -> Fallible<Self> {
        let folder = scratch()?;
        let path = folder.path().join("outbox.sqlite");
        let lanes = (rows / ROWS_PER_LANE).max(10);
        fixture::backlog(&path, rows, lanes, AT_ONCE.min(lanes))?;
        defer(&path, deferred, LATER)?;
        let waiting = lanes_where(&path, deferred)?.into_iter().cycle();
        let options = SqliteOptions { cache_kib, ..fixture::options(Synchronous::Full) };
        let store = SqliteOutbox::open(path, options)?;
        let template = fixture::sealed_row(&fixture::message_key()?, &fixture::session(0), 0)?;
        Ok(Self {
            rows,
            store,
            template,
            waiting,
            answered_at: WRITTEN,
            next: 1_000_000_000,
            times: Default::default(),
            _folder: folder,
        })
    }

    /// Claims, reads, acknowledges and stores, so that the outbox has as many rows as before, and as scattered ones.
    fn step(&mut self) -> Fallible<()> {
        let (due, took) = timed(|| self.store.due(QUERY));
        self.times[0].push(took);
        let due = due?.lanes.into_iter().next().ok_or("no lane is due")?;
        let rows: Vec<RowKey> = due.heads.iter().map(|head| head.key).collect();
        let (read, took) = timed(|| {
            self.store.payloads(&rows, &mut |_, _, payload| {
                black_box(payload);
            })
        });
        read?;
        self.times[1].push(took);
        // After all other due lanes, so that each of them comes before this one comes again.
        self.answered_at = self.answered_at.after(Duration::from_millis(1));
        let change = Change::Acknowledge { lane: due.lane, rows, at: self.answered_at };
        let (acknowledged, took) = timed(|| self.store.commit(&[change], &[]));
        acknowledged?;
        self.times[2].push(took);
        let (other, other_session) = self.waiting.next().ok_or("no lane is in backoff")?;
        let session = due.key.session_id().ok_or("the lane is not one of messages")?;
        let rows = self.interleaved([session, &other_session]);
        let (stored, took) = timed(|| self.store.commit(&[], &rows));
        stored?;
        self.times[3].push(took);
        self.remove_oldest(other)
    }

    /// A batch for each of two sessions, row by row in alternation.
    fn interleaved(&mut self, sessions: [&SessionId; 2]) -> Vec<NewRow> {
        let numbers = self.next..self.next + BATCH as i64;
        self.next = numbers.end;
        let row = |number: i64, session: &SessionId| NewRow {
            lane: LaneKey::Messages(session.clone()),
            sequence_number: number,
            message_id: fixture::message_id(number).as_str().into(),
            ..self.template.clone()
        };
        numbers.flat_map(|number| sessions.map(|session| row(number, session))).collect()
    }

    /// Removes a batch from a lane in backoff.
    fn remove_oldest(&mut self, lane: LaneId) -> Fallible<()> {
        let rows = self.store.heads(lane, None, BATCH)?.iter().map(|head| head.key).collect();
        self.store.commit(&[Change::Acknowledge { lane, rows, at: LATER }], &[])?;
        Ok(())
    }

    /// The median of each round.
    fn rounds(&self, index: usize) -> Vec<f64> {
        self.times[index].chunks(STEPS).map(|round| percentile(round, 0.5)).collect()
    }
}

/// Defers the lanes that match the SQL condition `share` until `due_at`. It writes to the table directly, because the
/// outbox would take longer for it than the measurement takes.
pub(super) fn defer(path: &Path, share: &str, due_at: Wall) -> Fallible<()> {
    let sql = format!(
        "UPDATE levi_lanes SET due_at = ?1, attempts = 3, reason_code = '503', reason_detail = 'busy' WHERE {share}"
    );
    Connection::open(path)?.execute(&sql, [due_at.as_millis()])?;
    Ok(())
}

fn lanes_where(path: &Path, share: &str) -> Fallible<Vec<(LaneId, SessionId)>> {
    let conn = Connection::open(path)?;
    let mut statement = conn.prepare(&format!("SELECT lane, subject FROM levi_lanes WHERE {share}"))?;
    let lanes = statement.query_map([], |row| Ok((LaneId(row.get(0)?), row.get::<_, String>(1)?.into())))?;
    Ok(lanes.collect::<Result<_, _>>()?)
}

/// Returns the result of `work` and the microseconds that it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64() * 1e6)
}
