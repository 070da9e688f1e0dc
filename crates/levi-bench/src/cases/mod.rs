//! The measurements, with one file for each group of figures.

mod baselines;
mod command;
mod cost;
mod device_list;
mod drain;
mod enqueue;
mod fan_out;
mod idle;
mod latency;
mod memory;
mod node;
pub(crate) mod reading;
pub(crate) mod request_build;
mod scaling;
mod space;

use crate::conditions::LoadMonitor;
use crate::report::Run;
use crate::{Effort, Fallible};

/// The groups in the order of the tables.
pub(crate) const GROUPS: [&str; 13] = [
    "request-build",
    "fan-out",
    "enqueue",
    "drain",
    "command",
    "latency",
    "reading",
    "device-list",
    "cost",
    "scaling",
    "memory",
    "space",
    "idle",
];

/// Measures one group.
pub(crate) async fn run(group: &str, effort: Effort) -> Fallible<Run> {
    let mut run = Run { group: group.to_owned(), ..Run::default() };
    let load = LoadMonitor::start();
    match group {
        "request-build" => request_build::measure(&mut run, effort)?,
        "fan-out" => fan_out::measure(&mut run, effort).await?,
        "enqueue" => enqueue::measure(&mut run, effort).await?,
        "drain" => drain::measure(&mut run, effort).await?,
        "command" => command::measure(&mut run, effort)?,
        "latency" => latency::measure(&mut run, effort).await?,
        "reading" => reading::measure(&mut run, effort).await?,
        "device-list" => device_list::measure(&mut run, effort).await?,
        "cost" => cost::measure(&mut run, effort).await?,
        "scaling" => scaling::measure(&mut run, effort)?,
        "memory" => memory::measure(&mut run, effort).await?,
        "space" => space::measure(&mut run, effort).await?,
        "idle" => idle::measure(&mut run, effort).await?,
        _ => return Err(format!("there is no group `{group}`; there are {}", GROUPS.join(", ")).into()),
    }
    run.conditions = format!("{effort:?} run, {}", load.end());
    Ok(run)
}
