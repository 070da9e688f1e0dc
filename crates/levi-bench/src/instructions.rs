//! Counts the instructions of the hot paths with callgrind. The counts do not depend on the load of the machine, so a
//! regression shows without a clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use levi_core::LeviConfig;
use levi_core::batcher::{Action, Batcher, Input};
use levi_outbox::sqlite::SqliteOutbox;
use levi_outbox::{
    Change, Due, DueLane, Encryption, Enqueued, LaneId, LaneKey, NewRow, OutboxStore, Overwrite, RowHead,
    RowId, RowKey,
};
use levi_types::{Monotonic, Now, Wall};

use crate::cases::request_build::{Harness, Messages};
use crate::{Fallible, fixture};

/// The largest relative difference from the expected count, with the compiler, the C library and the processor with which
/// the expected counts were written.
const TOLERANCE: f64 = 0.05;

/// The same on any machine, which may have other copying routines and another allocator.
const TOLERANCE_ANYWHERE: f64 = 0.25;

const ROWS: usize = 50;
const REPEATS: usize = 20;

/// The paths, each with the number of messages in one call.
const PATHS: [(&str, usize); 4] = [("seal", ROWS), ("engine", ROWS), ("batcher", 500), ("outbox", ROWS)];

const NOW: Now = Now {
    monotonic: Monotonic::from_start(std::time::Duration::ZERO),
    wall: Wall::from_millis(1_700_000_000_000),
};

/// Callgrind counts only what this function does, because it is told the function's name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

/// Runs one path under callgrind.
pub(crate) fn count(path: &str) -> Fallible<()> {
    match path {
        "seal" => {
            let messages = Messages::new()?;
            messages.levi();
            repeat(|| Ok(counted(|| messages.levi()) > 0))
        }
        "engine" => {
            let mut harness = Harness::new()?;
            harness.turns();
            repeat(|| Ok(counted(|| harness.turns()) > 0))
        }
        "batcher" => repeat(|| {
            let due = due();
            Ok(counted(|| one_batch(due)))
        }),
        "outbox" => outbox(),
        _ => Err(format!("there is no path `{path}`").into()),
    }
}

fn repeat(mut once: impl FnMut() -> Fallible<bool>) -> Fallible<()> {
    for _ in 0..REPEATS {
        if !once()? {
            return Err("the path did nothing".into());
        }
    }
    Ok(())
}

/// A lane with rows for two full batches.
fn due() -> Due {
    let head = |number: i64| RowHead {
        key: RowKey { id: RowId(number), version: 1 },
        sequence_number: number,
        bytes: 1_500,
        encryption: Encryption::SessionKey,
        enqueued_at: NOW.wall,
        overwrite: Overwrite::OwnOnly,
    };
    let heads: Vec<RowHead> = (0..1_000).map(head).collect();
    let key = LaneKey::Messages(fixture::session(0));
    let lane = DueLane { lane: LaneId(1), key, attempts: 0, more: true, heads };
    Due { lanes: vec![lane], more: false, next_due: None }
}

/// Makes one batch of a loaded lane and acknowledges it.
fn one_batch(due: Due) -> bool {
    let mut batcher = Batcher::new(LeviConfig::default(), 1);
    batcher.handle(NOW, Input::SignedIn);
    batcher.handle(NOW, Input::Loaded(due));
    let mut acknowledged = false;
    while let Some(action) = batcher.poll_action() {
        match action {
            Action::Send(batch) if !acknowledged => {
                batcher.handle(NOW, Input::Outcome { batch: batch.id, result: Ok(()) });
            }
            Action::Commit(Change::Acknowledge { .. }) => acknowledged = true,
            _ => {}
        }
    }
    acknowledged
}

/// Stores rows in one commit and removes them in the next.
fn outbox() -> Fallible<()> {
    let mut store = SqliteOutbox::in_memory(levi_outbox::sqlite::SqliteOptions::default())?;
    let key = fixture::message_key()?;
    let mut next = 0;
    let mut waiting: Option<(LaneId, Vec<RowKey>)> = None;
    let mut step = || {
        let rows: Fallible<Vec<NewRow>> = (next..next + ROWS as i64)
            .map(|number| fixture::sealed_row(&key, &fixture::session(0), number))
            .collect();
        let rows = rows?;
        next += ROWS as i64;
        let changes: Vec<Change> = waiting
            .take()
            .map(|(lane, rows)| Change::Acknowledge { lane, rows, at: NOW.wall })
            .into_iter()
            .collect();
        let answers = counted(|| store.commit(&changes, &rows))?;
        let keys: Vec<RowKey> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                Enqueued::Stored { key, .. } => Some(key),
                _ => None,
            })
            .collect();
        let stored = keys.len() == ROWS;
        // The only session has the first lane.
        waiting = Some((LaneId(1), keys));
        Ok(stored)
    };
    repeat(&mut step)
}

/// What to do with the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// On the machine of the expected counts.
    Compare,
    /// On any machine: with more tolerance, and not at all without valgrind.
    CompareWherePossible,
    /// Writes the expected counts.
    Write,
}

impl Purpose {
    pub(crate) fn of(options: &[&str]) -> Fallible<Self> {
        match options {
            [] => Ok(Self::Compare),
            ["--where-possible"] => Ok(Self::CompareWherePossible),
            ["--write"] => Ok(Self::Write),
            _ => Err("counting instructions takes one of --write and --where-possible".into()),
        }
    }
}

/// Counts every path and compares the counts with the file, or writes the file.
pub(crate) fn compare(file: &Path, purpose: Purpose) -> Fallible<ExitCode> {
    if purpose == Purpose::CompareWherePossible && !has_valgrind() {
        println!("SKIPPED: instructions are not counted, because valgrind is not installed");
        return Ok(ExitCode::SUCCESS);
    }
    let tolerance = if purpose == Purpose::CompareWherePossible { TOLERANCE_ANYWHERE } else { TOLERANCE };
    let mut counts = BTreeMap::new();
    for (path, messages) in PATHS {
        let count = callgrind(path)? as f64 / (REPEATS * messages) as f64;
        counts.insert(path.to_owned(), count.round());
    }
    if purpose == Purpose::Write {
        std::fs::write(file, serde_json::to_string_pretty(&counts)? + "\n")?;
    }
    let expected: BTreeMap<String, f64> = serde_json::from_slice(&std::fs::read(file)?)?;
    let off = report(&counts, &expected, tolerance);
    if off == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{off} path(s) differ by more than {:.0} %. Find the cause; if the change is intended, run `cargo xtask bench \
         --instructions --write`",
        tolerance * 100.0
    );
    Ok(ExitCode::FAILURE)
}

/// Prints the counts and returns how many are off. A path that takes fewer instructions is off too, because otherwise a
/// later regression to the old count would pass.
fn report(counts: &BTreeMap<String, f64>, expected: &BTreeMap<String, f64>, tolerance: f64) -> usize {
    println!("| path | instructions a message | expected | change |\n| --- | --- | --- | --- |");
    let mut off = 0;
    for (path, count) in counts {
        let wanted = expected.get(path).copied().unwrap_or_default();
        let change = count / wanted - 1.0;
        println!("| {path} | {count} | {wanted} | {:+.1} % |", change * 100.0);
        off += usize::from(change.is_nan() || change.abs() > tolerance);
    }
    off
}

fn has_valgrind() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn callgrind(path: &str) -> Fallible<u64> {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*instructions::counted*",
        ])
        .arg(std::env::current_exe()?)
        .args(["count", path])
        .output()
        .map_err(|error| {
            format!("valgrind is needed to count instructions and cannot be started: {error}")
        })?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.split_whitespace().next()?.parse().ok());
    match count {
        Some(count) if count > 0 && output.status.success() => Ok(count),
        _ => Err(format!("callgrind did not count `{path}`: {text}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_dearer_cheaper_or_unknown_is_off() {
        let counts = |count: f64| BTreeMap::from([("seal".to_owned(), count)]);
        let off = |count, wanted: &BTreeMap<_, _>| report(&counts(count), wanted, 0.05);
        assert_eq!(off(104.0, &counts(100.0)), 0);
        assert_eq!(off(106.0, &counts(100.0)), 1);
        assert_eq!(off(94.0, &counts(100.0)), 1);
        assert_eq!(off(100.0, &BTreeMap::new()), 1);
    }
}
