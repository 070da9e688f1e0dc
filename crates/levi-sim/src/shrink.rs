//! Finds a shorter plan that breaks the same promise.

use crate::plan::Plan;
use crate::run::run;

/// Runs spent on shrinking at most.
const MOST_RUNS: u32 = 2_000;

/// Leaves out events that the violation does not need, first halves and then single events, as long
/// as the same oracle still reports a violation.
pub fn shrink(plan: &Plan) -> Plan {
    let Some(violation) = run(plan).violation else { return plan.clone() };
    let oracle = violation.oracle;
    let mut smallest = plan.clone();
    let mut runs = 0;
    let mut size = smallest.events.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let before = smallest.events.len();
        while from < smallest.events.len() && runs < MOST_RUNS {
            let mut smaller = smallest.clone();
            let to = (from + size).min(smaller.events.len());
            smaller.events.drain(from..to);
            runs += 1;
            if run(&smaller).violation.is_some_and(|found| found.oracle == oracle) {
                smallest = smaller;
            } else {
                from = to;
            }
        }
        let unchanged = smallest.events.len() == before;
        if runs >= MOST_RUNS || (size == 1 && unchanged) {
            return smallest;
        }
        size = (size / 2).max(1);
    }
}
