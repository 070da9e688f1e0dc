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

use crate::report::Report;
use crate::{Effort, Fallible};

/// Runs the groups asked for; all, if none is named.
pub(crate) async fn run(report: &mut Report, effort: Effort, groups: &[&str]) -> Fallible<()> {
    let wanted = |group: &str| groups.is_empty() || groups.contains(&group);
    if wanted("body") {
        body::measure(report, effort)?;
    }
    if wanted("fan-out") {
        fan_out::measure(report, effort).await?;
    }
    if wanted("enqueue") {
        enqueue::measure(report, effort).await?;
    }
    if wanted("drain") {
        drain::measure(report, effort).await?;
    }
    if wanted("latency") {
        latency::measure(report, effort).await?;
    }
    if wanted("growth") {
        growth::measure(report, effort)?;
    }
    if wanted("memory") {
        memory::measure(report, effort).await?;
    }
    if wanted("idle") {
        idle::measure(report, effort).await?;
    }
    Ok(())
}
