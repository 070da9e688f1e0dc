//! The measurements, one file for each group of figures.

pub(crate) mod body;
mod drain;
mod enqueue;
mod fan_out;
mod growth;
mod idle;
mod latency;
mod memory;
mod rivals;

use crate::conditions::Watch;
use crate::report::Run;
use crate::{Effort, Fallible};

/// The groups, in the order of the page.
pub(crate) const GROUPS: [&str; 8] =
    ["body", "fan-out", "enqueue", "drain", "latency", "growth", "memory", "idle"];

/// Measures one group.
pub(crate) async fn run(group: &str, effort: Effort) -> Fallible<Run> {
    let mut run = Run { group: group.to_owned(), ..Run::default() };
    let watch = Watch::start();
    match group {
        "body" => body::measure(&mut run, effort)?,
        "fan-out" => fan_out::measure(&mut run, effort).await?,
        "enqueue" => enqueue::measure(&mut run, effort).await?,
        "drain" => drain::measure(&mut run, effort).await?,
        "latency" => latency::measure(&mut run, effort).await?,
        "growth" => growth::measure(&mut run, effort)?,
        "memory" => memory::measure(&mut run, effort).await?,
        "idle" => idle::measure(&mut run, effort).await?,
        _ => return Err(format!("there is no group `{group}`; there are {}", GROUPS.join(", ")).into()),
    }
    run.conditions = format!("{effort:?} run, {}", watch.end());
    Ok(run)
}
