//! Running plans: one, or very many side by side.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use levi_types::Monotonic;

use crate::model::Violation;
use crate::plan::Plan;
use crate::readers;
use crate::simulation::{Counts, Outcome, Simulation};

/// Runs a plan. A panic anywhere in Levi is a violation as well.
pub fn run(plan: &Plan) -> Outcome {
    run_with(plan, false)
}

/// Runs a plan and records a line for each event.
pub fn replay(plan: &Plan) -> Outcome {
    run_with(plan, true)
}

fn run_with(plan: &Plan, traced: bool) -> Outcome {
    caught(|| {
        let mut outcome = Simulation::run(plan, traced);
        if outcome.violation.is_none()
            && let Some((violation, mut trace)) = readers::run(plan.seed)
        {
            outcome.violation = violation;
            if traced {
                outcome.trace.append(&mut trace);
            }
        }
        outcome
    })
}

/// A panic anywhere in Levi is a violation as well.
fn caught(run: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        let violation = Violation { oracle: "panic", what: text.to_owned(), at: Monotonic::default() };
        Outcome {
            violation: Some(violation),
            trace: Vec::new(),
            arrivals: BTreeMap::new(),
            counts: Counts::default(),
        }
    })
}

/// Runs the simulation of devices with a signed list, and records a line for each event. It has no
/// `Plan`; the seed alone determines it.
pub fn run_device_lists(seed: u64) -> Outcome {
    caught(|| {
        let (violation, trace) = readers::run_device_lists(seed);
        Outcome { violation, trace, arrivals: BTreeMap::new(), counts: Counts::default() }
    })
}

/// Which worlds a campaign's seeds run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Worlds {
    /// The main simulation and, for some of the seeds, one of the smaller ones.
    #[default]
    All,
    /// Devices that keep a signed list.
    DeviceLists,
}

/// Seeds one after the other, from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// On how many threads.
    pub threads: usize,
    /// What each seed runs.
    pub worlds: Worlds,
}

/// A seed that broke a promise.
#[derive(Clone, Debug)]
pub struct Failing {
    /// Which.
    pub seed: u64,
    /// What it broke.
    pub violation: Violation,
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The lowest seed that failed, if any. The campaign ends soon after the first failure.
    pub failing: Option<Failing>,
    /// Seeds that were run.
    pub seeds: u64,
    /// What they took, together.
    pub counts: Counts,
}

impl Campaign {
    /// Runs the seeds.
    pub fn run(&self) -> Summary {
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let summary = Mutex::new(Summary::default());
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| self.work(&next, &stop, &summary));
            }
        });
        summary.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, next: &AtomicU64, stop: &AtomicBool, summary: &Mutex<Summary>) {
        let mut own = Summary::default();
        while !stop.load(Ordering::Relaxed) {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= self.seeds {
                break;
            }
            let seed = self.first + nth;
            let outcome = match self.worlds {
                Worlds::All => run(&Plan::generate(seed)),
                Worlds::DeviceLists => run_device_lists(seed),
            };
            own.seeds += 1;
            own.counts.add(&outcome.counts);
            if let Some(violation) = outcome.violation {
                stop.store(true, Ordering::Relaxed);
                own.failing = Some(Failing { seed, violation });
            }
        }
        summary.lock().unwrap_or_else(PoisonError::into_inner).add(own);
    }
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.counts.add(&other.counts);
        if let Some(theirs) = other.failing
            && self.failing.as_ref().is_none_or(|ours| theirs.seed < ours.seed)
        {
            self.failing = Some(theirs);
        }
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.requests += other.requests;
        self.stored += other.stored;
        self.parked += other.parked;
        self.restarts += other.restarts;
    }
}
