//! When to pull the trigger.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use levi_testkit::fixtures::SeededRandom;
use levi_testkit::supabase::{Fault, Scope, Times};

use super::ledger::Ledger;
use super::process::Running;
use crate::child::{Job, Line};
use crate::scene::Scene;

/// What a kill is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// Nothing: any instant from the start of the process on.
    AnyInstant,
    /// The first opening of an outbox, which makes its tables.
    Migration,
    /// A checkpoint, which moves the log into the database.
    Checkpoint,
    /// A token refresh, between the server's new token and the file that keeps it.
    Refresh,
    /// Rows wrapped at rest being sealed, as their session's secret arrives.
    SecretArrival,
    /// A shutdown under way.
    Shutdown,
}

impl Aim {
    /// One in three kills at any instant, the rest shared among the others.
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

    /// In words.
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

    /// Waits for the moment, give or take.
    pub(super) fn take(
        self,
        running: &Running,
        (job, scene): (&Job, &Scene),
        ledger: &mut Ledger,
        random: &mut SeededRandom,
    ) {
        const PATIENCE: Duration = Duration::from_secs(3);
        let within = match self {
            Self::AnyInstant => 300_000,
            Self::Migration => {
                running.listen(ledger, PATIENCE, |line| *line == Line::Opening);
                12_000
            }
            Self::Checkpoint => {
                running.listen(ledger, PATIENCE, |line| *line == Line::Open);
                wait_for_a_change(&levi::outbox_path(&levi::LeviConfig {
                    data_dir: Some(job.folder.clone()),
                    ..levi::LeviConfig::default()
                }));
                4_000
            }
            Self::Refresh => {
                running.listen(ledger, PATIENCE, |line| *line == Line::Open);
                wait_for_a_refresh(scene, random);
                5_000
            }
            Self::SecretArrival => {
                running.listen(ledger, PATIENCE, |line| matches!(line, Line::Secret(_)));
                15_000
            }
            Self::Shutdown => {
                running.listen(ledger, PATIENCE, |line| *line == Line::Stopping);
                25_000
            }
        };
        // The instant is what is drawn here; nothing waits for anything.
        std::thread::sleep(Duration::from_micros(random.below(within)));
    }
}

/// Between checkpoints SQLite writes to the log only, so a change of the database is a checkpoint under way.
fn wait_for_a_change(database: &Path) {
    let before = looks(database);
    let patience = Instant::now() + Duration::from_secs(2);
    while looks(database) == before && Instant::now() < patience {
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn looks(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// Half of the time the server rotates the token and its answer never comes.
fn wait_for_a_refresh(scene: &Scene, random: &mut SeededRandom) {
    let before = scene.server.stats().refreshes;
    if random.below(2) == 0 {
        scene.server.faults().plan(Scope::auth(), Times::Next(1), Fault::StallAfterWrite);
    }
    scene.server.expire_tokens(&scene.user_id);
    // With a server that is down there is no refresh to be had: then this is a kill like any other.
    let _ = scene.server.wait_for(Duration::from_secs(1), |stats| stats.refreshes > before);
}
