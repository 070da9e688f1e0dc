//! The moments at which children are killed.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use levi::outbox::sqlite::DataDir;
use levi_testkit::fixtures::SeededRandom;
use levi_testkit::supabase::{Fault, Scope, Times};

use super::ack_log::AckLog;
use super::process::Running;
use crate::child::{Job, Line};
use crate::environment::TestEnvironment;

/// How long to wait for a child to report that it has reached a point.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a child does when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KillPoint {
    /// Anything: the kill comes at a random time after the process was started.
    AnyInstant,
    /// It opens an outbox for the first time, which creates the tables.
    Migration,
    /// A checkpoint copies the write-ahead log into the database.
    Checkpoint,
    /// It refreshes its token: the server has issued a new one that is not saved yet.
    Refresh,
    /// It seals rows that were encrypted at rest, because their session's secret has arrived.
    SecretArrival,
    /// It shuts down.
    Shutdown,
}

impl KillPoint {
    /// A third of all kills come at any instant; the other points share the rest.
    pub(super) fn choose(random: &mut SeededRandom) -> Self {
        match random.below(9) {
            0..=2 => Self::AnyInstant,
            3 => Self::Migration,
            4 | 5 => Self::Checkpoint,
            6 => Self::Refresh,
            7 => Self::SecretArrival,
            _ => Self::Shutdown,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AnyInstant => "any instant",
            Self::Migration => "the first opening",
            Self::Checkpoint => "a checkpoint",
            Self::Refresh => "a token refresh",
            Self::SecretArrival => "a secret's arrival",
            Self::Shutdown => "a shutdown",
        }
    }

    /// Returns at about the moment of the kill.
    pub(super) fn wait(
        self,
        running: &Running,
        (job, environment): (&Job, &TestEnvironment),
        log: &mut AckLog,
        random: &mut SeededRandom,
    ) {
        let within = match self {
            Self::AnyInstant => 300_000,
            Self::Migration => {
                running.read_until(log, PATIENCE, |line| *line == Line::Opening);
                12_000
            }
            Self::Checkpoint => {
                running.read_until(log, PATIENCE, |line| *line == Line::Open);
                wait_for_a_change(&DataDir::new(Some(job.folder.clone())).outbox_path());
                4_000
            }
            Self::Refresh => {
                running.read_until(log, PATIENCE, |line| *line == Line::Open);
                wait_for_a_refresh(environment, random);
                5_000
            }
            Self::SecretArrival => {
                running.read_until(log, PATIENCE, |line| matches!(line, Line::Secret(_)));
                15_000
            }
            Self::Shutdown => {
                running.read_until(log, PATIENCE, |line| *line == Line::Stopping);
                25_000
            }
        };
        // This sleep draws the instant of the kill; it does not wait for anything to happen.
        std::thread::sleep(Duration::from_micros(random.below(within)));
    }
}

/// Between checkpoints SQLite writes to the log only, so a change of the database means that a
/// checkpoint has begun.
fn wait_for_a_change(database: &Path) {
    let before = size_and_time(database);
    let deadline = Instant::now() + Duration::from_secs(2);
    while size_and_time(database) == before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn size_and_time(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// Half of the time the server rotates the token and never answers.
fn wait_for_a_refresh(environment: &TestEnvironment, random: &mut SeededRandom) {
    let server = &environment.server;
    let before = server.stats().refreshes;
    if random.below(2) == 0 {
        server.faults().plan(Scope::auth(), Times::Next(1), Fault::StallAfterWrite);
    }
    server.expire_tokens(&environment.user_id);
    // A server that is down refreshes nothing. Then this is a kill at any instant.
    let _ = server.wait_for(Duration::from_secs(1), |stats| stats.refreshes > before);
}
