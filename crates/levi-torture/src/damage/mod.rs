//! Damaged files: opens an outbox on each, drains it, and compares the result with what an
//! independent reader finds in the file.

mod history;
mod kinds;
mod readable;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox, Synchronous};
use levi_outbox::{Change, DueQuery, ListedRow, OutboxStore as _, RecoveryReport, RowKey};
use levi_testkit::fixtures::SeededRandom;
use levi_types::{UserId, Wall};

use self::history::History;
pub use self::kinds::Kind;
use crate::Error;

/// The number of files that are damaged from one history, because making a history takes longer
/// than opening a file.
const FILES_PER_HISTORY: u64 = 100;

/// How long opening a file may take. It takes some milliseconds.
const OPENING: Duration = Duration::from_secs(20);

/// The most bits that damage of the kind [`Kind::Bits`] flips.
const MOST_BITS: u32 = 8;

/// What was tried, and what went wrong.
#[derive(Debug, Default)]
pub struct Figures {
    kinds: BTreeMap<Kind, Tally>,
    /// Each broken promise, with the seed that shows it.
    pub violations: Vec<String>,
}

#[derive(Debug, Default)]
struct Tally {
    files: u64,
    recovered: u64,
    violations: u64,
    /// Rows that are neither delivered nor listed, because the damage took them.
    missing: u64,
    /// The longest that opening and draining took.
    slowest: Duration,
}

/// Opens `files` files, each damaged as the seed says, or one for each seed from `seed` on.
///
/// # Errors
/// The files cannot be made.
pub fn run(seed: u64, files: u64) -> Result<Figures, Error> {
    let mut figures = Figures::default();
    let mut history = None;
    for seed in seed..seed + files {
        let number = seed / FILES_PER_HISTORY;
        let made = match history.take() {
            Some((of, made)) if of == number => made,
            _ => History::make(number)?,
        };
        figures.try_one(seed, &made)?;
        history = Some((number, made));
    }
    Ok(figures)
}

impl Figures {
    fn try_one(&mut self, seed: u64, history: &History) -> Result<(), Error> {
        let mut random = SeededRandom::new(seed);
        let kind = random.choose(&Kind::ALL).copied().unwrap_or(Kind::None);
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("outbox.sqlite");
        let place = kinds::damage(kind, history, &mut random, &path)?;
        let mut trial = Trial::new(kind, history, &path)?;
        let started = Instant::now();
        let broken = trial.run(&path);
        let took = started.elapsed();
        let tally = self.kinds.entry(kind).or_default();
        tally.files += 1;
        tally.slowest = tally.slowest.max(took);
        tally.recovered += u64::from(trial.report.is_some());
        tally.missing += trial.missing;
        let mut broken = broken.unwrap_or_else(|error| vec![format!("{error} ({error:?})")]);
        if took > OPENING {
            broken.push(format!("it took {took:?}"));
        }
        tally.violations += u64::from(!broken.is_empty());
        let violation = |what| format!("seed {seed}: {kind:?} ({place}): {what}; report: {:?}", trial.report);
        self.violations.extend(broken.into_iter().map(violation));
        Ok(())
    }
}

/// One damaged file.
struct Trial<'h> {
    kind: Kind,
    history: &'h History,
    /// The rows that exist at the end and are complete in the damaged files.
    readable: HashSet<Vec<u8>>,
    report: Option<RecoveryReport>,
    missing: u64,
}

impl<'h> Trial<'h> {
    fn new(kind: Kind, history: &'h History, path: &Path) -> Result<Self, Error> {
        let files = history::Files::read(path)?;
        let free = readable::free_pages(&history.last());
        let readable = readable::payloads(&files, &free);
        let readable = readable.intersection(&history.live).cloned().collect();
        Ok(Self { kind, history, readable, report: None, missing: 0 })
    }

    /// Opens the outbox, drains it, and opens it again. Returns what went wrong.
    fn run(&mut self, path: &Path) -> Result<Vec<String>, Error> {
        let mut broken = Vec::new();
        let options = SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() };
        let (mut outbox, report) = SqliteOutbox::open_or_recover(path, options.clone())?;
        self.report = report;
        broken.extend(
            outbox.problems()?.into_iter().map(|problem| format!("unsound after opening: {problem}")),
        );
        let mut found = drain(&mut outbox, self.history.user.as_ref(), &mut broken)?;
        let waits = |row: &&ListedRow| !row.parked && !row.held && row.blocked_by.is_none();
        let pending = outbox.list(None, 10_000)?.iter().filter(waits).count();
        if pending > 0 {
            broken.push(format!("{pending} rows are never due"));
        }
        broken.extend(
            outbox.problems()?.into_iter().map(|problem| format!("unsound after the drain: {problem}")),
        );
        found.extend(history::payloads(&outbox)?);
        drop(outbox);
        if SqliteOutbox::open_or_recover(path, options)?.1.is_some() {
            broken.push("damaged again".to_owned());
        }
        self.judge(&found, &mut broken);
        Ok(broken)
    }

    fn judge(&mut self, found: &HashSet<Vec<u8>>, broken: &mut Vec<String>) {
        let hidden = self.readable.difference(found).count();
        if hidden > 0 {
            broken.push(format!(
                "{hidden} of {} readable rows are neither delivered nor listed",
                self.readable.len()
            ));
        }
        // The first bytes of a payload are those of no other.
        let names: HashSet<&[u8]> = found.iter().map(|payload| name(payload)).collect();
        let lost = |payload: &&Vec<u8>| {
            !names.contains(name(payload)) && !found.iter().any(|found| is_altered_by_bits(found, payload))
        };
        self.missing = self.history.live.iter().filter(lost).count() as u64;
        let admitted = match &self.report {
            None => self.missing == 0,
            Some(report) => self.missing == 0 || report.lost.is_none_or(|lost| lost > 0),
        };
        if !admitted && !self.kind.can_be_sound() {
            broken.push(format!("{} rows are missing without a word", self.missing));
        }
        // No checksum covers a payload, so Levi cannot tell that one in damaged bytes is altered.
        let made_up =
            found.difference(&self.history.ever).filter(|payload| !self.can_be_altered(payload)).count();
        if made_up > 0 {
            broken.push(format!("{made_up} payloads were never written"));
        }
        if self.kind == Kind::None && self.report.is_some() {
            broken.push("a sound file is called damaged".to_owned());
        }
    }

    /// Whether the damage may have changed this payload: bits anywhere, or an overflow page of a
    /// long payload.
    fn can_be_altered(&self, payload: &[u8]) -> bool {
        self.kind.changes_payloads() || payload.len() > history::PAGE
    }
}

fn name(payload: &[u8]) -> &[u8] {
    payload.get(..8).unwrap_or(payload)
}

/// Delivers everything that is due. Returns the payloads.
fn drain(
    outbox: &mut SqliteOutbox,
    user: Option<&UserId>,
    broken: &mut Vec<String>,
) -> Result<HashSet<Vec<u8>>, Error> {
    let now = Wall::from_millis(i64::MAX / 2);
    let mut delivered = HashSet::new();
    for _ in 0..10_000 {
        let query = DueQuery {
            user,
            now,
            horizon: now,
            except: &[],
            max_lanes: 50,
            heads_per_lane: 50,
            max_heads: 500,
        };
        let due = outbox.due(query)?.lanes;
        if due.is_empty() {
            return Ok(delivered);
        }
        let mut changes = Vec::new();
        for lane in due {
            if !lane.heads.is_sorted_by_key(|head| head.sequence_number) {
                broken.push("a lane is out of order".to_owned());
            }
            let rows: Vec<RowKey> = lane.heads.iter().map(|head| head.key).collect();
            outbox.payloads(&rows, &mut |_, _, payload| delivered.extend([payload.to_vec()]))?;
            changes.push(Change::Acknowledge { lane: lane.lane, rows, at: now });
        }
        outbox.commit(&changes, &[])?;
    }
    broken.push("the drain does not end".to_owned());
    Ok(delivered)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18} {:>6} {:>10} {:>8} {:>8} {:>10}",
            "kind", "files", "recovered", "missing", "broken", "slowest"
        )?;
        for (kind, tally) in &self.kinds {
            let Tally { files, recovered, missing, violations, slowest } = tally;
            let kind = format!("{kind:?}");
            writeln!(
                f,
                "{kind:<18} {files:>6} {recovered:>10} {missing:>8} {violations:>8} {:>7} ms",
                slowest.as_millis()
            )?;
        }
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        Ok(())
    }
}

/// Whether a payload is another one with a few bits flipped, its first bytes among them. The row
/// was recovered, and only the cipher can detect the change.
fn is_altered_by_bits(found: &[u8], payload: &[u8]) -> bool {
    let flipped = found.iter().zip(payload).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
    found.len() == payload.len() && flipped <= MOST_BITS
}
