//! Power loss between any two operations on the disk.
//!
//! SQLite runs unchanged on a file layer (VFS) of this test that records every write, truncation,
//! creation, removal and sync. The test cuts the record at every operation. What was not synced by
//! then is lost, kept, or torn sector by sector, and the test opens the outbox on what is left.
//! This is sound because SQLite reaches the disk through its file layer only, and it needs no
//! privileges. A disk that reports a sync before it has done it is not covered.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on stops")]
#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "power/disk.rs"]
mod disk;
#[path = "power/vfs.rs"]
mod vfs;

use std::path::{Path, PathBuf};

use disk::{Kept, Operation, Unsynced};
use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox, Synchronous};
use levi_outbox::{Change, DueQuery, Encryption, NewRow, OutboxStore, Reason, RowKey};
use levi_testkit::fixtures::SeededRandom;
use levi_types::Wall;

/// Everything that a reader of the outbox can observe.
type View = String;

/// The history of an outbox.
struct History {
    /// Every operation on the disk.
    log: Vec<Operation>,
    /// For each commit, the length of the log when it returned, and the outbox's content then.
    commits: Vec<(usize, View)>,
}

/// Commits and bytes per row of each process: short ones that end with a checkpoint, and one whose
/// write-ahead log grows until a commit makes a checkpoint.
const PROCESSES: &[(i64, u64)] = &[(20, 3_000), (20, 3_000), (15, 9_000), (24, 400_000)];

/// With `Full`, at any instant: every acknowledged commit survives, and a commit that was not
/// acknowledged survives whole or not at all.
#[test]
fn with_full_every_acknowledged_commit_survives_power_loss_at_any_instant() {
    let history = record(Synchronous::Full);
    assert!(commits_make_a_checkpoint(&history), "a commit must meet a checkpoint too");
    let (mut kept, mut cuts) = (Kept::default(), 0);
    for cut in 0..=history.log.len() {
        for unsynced in losses(&history.log, cut) {
            let found = reopen(&kept, unsynced);
            let last = history.commits.partition_point(|(done, _)| *done <= cut);
            let allowed = &history.commits[last.saturating_sub(1)..history.commits.len().min(last + 1)];
            let fits = allowed.iter().any(|(_, view)| *view == found) || (last == 0 && found == empty());
            assert!(
                fits,
                "cut {cut} of {}, {unsynced:?}: after commit {last} there is\n{found}",
                history.log.len()
            );
            cuts += 1;
        }
        history.log.get(cut).into_iter().for_each(|operation| kept.apply(operation));
    }
    println!("{} operations, {} commits, {cuts} power cuts", history.log.len(), history.commits.len());
}

/// With `Normal` the latest commits may be missing, and nothing in between. This also shows that
/// the simulated disk does lose what was not synced.
#[test]
fn with_normal_the_last_commits_may_be_missing_and_nothing_else() {
    let history = record(Synchronous::Normal);
    let (mut kept, mut missing) = (Kept::default(), 0);
    for cut in 0..=history.log.len() {
        let unsynced = if cut % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn(cut as u64) };
        if cut % 13 == 0 {
            let found = reopen(&kept, unsynced);
            let last = history.commits.partition_point(|(done, _)| *done <= cut);
            let at = history.commits.iter().take(last + 1).rposition(|(_, view)| *view == found);
            assert!(at.is_some() || found == empty(), "cut {cut}, {unsynced:?}: no commit made\n{found}");
            missing += usize::from(at.map_or(0, |at| at + 1) < last);
        }
        history.log.get(cut).into_iter().for_each(|operation| kept.apply(operation));
    }
    assert!(missing > 0, "a disk that loses nothing proves nothing");
}

/// Which losses to try at a cut: every kind around a sync, one kind elsewhere, and a sample of the
/// cuts in a long log.
fn losses(log: &[Operation], cut: usize) -> Vec<Unsynced> {
    let around = &log[cut.saturating_sub(1)..log.len().min(cut + 1)];
    let seed = cut as u64;
    if around.iter().any(|operation| matches!(operation, Operation::Sync(_))) {
        return vec![Unsynced::Lost, Unsynced::Kept, Unsynced::Torn(seed), Unsynced::Torn(!seed)];
    }
    let position = cut % 16;
    if log.len() > 1_500 && cut > 1_500 && position != 0 {
        return Vec::new();
    }
    let kinds = [Unsynced::Lost, Unsynced::Torn(seed), Unsynced::Torn(!seed), Unsynced::Kept];
    vec![kinds[(cut / 16 + position) % kinds.len()]]
}

/// Enqueues, acknowledges, defers and parks in several processes one after another.
fn record(synchronous: Synchronous) -> History {
    let folder = folder();
    let path = folder.path().join("outbox.db");
    let mut random = SeededRandom::new(11);
    let (mut commits, mut round) = (Vec::new(), 0);
    for (rounds, bytes) in PROCESSES {
        let mut outbox = open(&path, synchronous);
        for _ in 0..*rounds {
            round += 1;
            let (changes, rows) = step(&outbox, round, *bytes, &mut random);
            if changes.is_empty() && rows.is_empty() {
                continue;
            }
            outbox.commit(&changes, &rows).unwrap();
            commits.push((vfs::progress(&folder_of(&path)), view(&outbox)));
        }
    }
    History { log: vfs::log(&folder_of(&path)), commits }
}

fn step(
    outbox: &SqliteOutbox,
    round: i64,
    bytes: u64,
    random: &mut SeededRandom,
) -> (Vec<Change>, Vec<NewRow>) {
    let now = Wall::from_millis(1_000_000 + round);
    let rows =
        (0..random.below(3)).map(|n| row(round * 10 + i64::try_from(n).unwrap(), bytes, random)).collect();
    let query = DueQuery {
        user: None,
        now,
        horizon: now,
        except: &[],
        max_lanes: 4,
        heads_per_lane: 8,
        max_heads: 16,
    };
    let reason = Reason { code: "503".into(), detail: "busy".into() };
    let mut changes = Vec::new();
    for lane in outbox.due(query).unwrap().lanes {
        let keys: Vec<RowKey> = lane.heads.iter().map(|head| head.key).collect();
        match random.below(5) {
            0..=2 => changes.push(Change::Acknowledge { lane: lane.lane, rows: keys, at: now }),
            3 => changes.push(Change::Defer {
                lane: lane.lane,
                due_at: now,
                attempts: 1,
                reason: reason.clone(),
            }),
            _ => {
                changes.push(Change::Park { lane: lane.lane, row: keys[0], reason: reason.clone(), at: now })
            }
        }
    }
    (changes, rows)
}

fn row(number: i64, bytes: u64, random: &mut SeededRandom) -> NewRow {
    let mut payload = vec![0; usize::try_from(random.below(bytes)).unwrap()];
    random.fill(&mut payload);
    let session_id = format!("session-{}", random.below(5)).as_str().into();
    let (message_id, at) = (format!("message-{number}").into(), Wall::from_millis(number));
    NewRow::message(session_id, number, message_id, payload, Encryption::SessionKey, at)
}

fn open(path: &Path, synchronous: Synchronous) -> SqliteOutbox {
    SqliteOutbox::open(path, SqliteOptions { synchronous, ..SqliteOptions::default() }).unwrap()
}

/// Opens an outbox on what the power loss left.
fn reopen(kept: &Kept, unsynced: Unsynced) -> View {
    let folder = folder();
    let path = folder.path().join("outbox.db");
    vfs::put(&folder_of(&path), kept.clone().after_power_loss(unsynced));
    let outbox = open(&path, Synchronous::Full);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
    let view = view(&outbox);
    drop(outbox);
    vfs::forget(&folder_of(&path));
    view
}

fn view(outbox: &SqliteOutbox) -> View {
    let rows = outbox.list(None, 100_000).unwrap();
    let keys: Vec<RowKey> = rows.iter().map(|row| RowKey { id: row.id, version: row.version }).collect();
    let mut payloads = 0_u64;
    let mut add = |key: RowKey, _: &str, payload: &[u8]| {
        let sum =
            payload.iter().fold(key.id.0.unsigned_abs(), |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
        payloads = payloads.wrapping_add(sum);
    };
    outbox.payloads(&keys, &mut add).unwrap();
    let mut text = format!("{:?} {payloads:x}\n", outbox.totals().unwrap());
    for row in rows {
        text.push_str(&format!("{row:?}\n"));
    }
    text
}

fn empty() -> View {
    vfs::install();
    view(&SqliteOutbox::in_memory(SqliteOptions::default()).unwrap())
}

fn folder() -> tempfile::TempDir {
    vfs::install();
    tempfile::tempdir().unwrap()
}

/// The canonical path of the folder of `path`, as Levi resolves it.
fn folder_of(path: &Path) -> PathBuf {
    std::fs::canonicalize(path.parent().unwrap()).unwrap()
}

/// In WAL mode only checkpoints write the database, which is the first file.
fn commits_make_a_checkpoint(history: &History) -> bool {
    let between = |pair: &[(usize, View)]| &history.log[pair[0].0..pair[1].0];
    // A removal of the write-ahead log in between is the checkpoint at the end of a process.
    let is_one_process =
        |log: &[Operation]| !log.iter().any(|operation| matches!(operation, Operation::Remove(_)));
    let writes = |log: &[Operation]| log.iter().any(|operation| matches!(operation, Operation::Write(1, ..)));
    history.commits.windows(2).map(between).any(|log| is_one_process(log) && writes(log))
}
