//! Resident memory while a large backlog is drained, and the time from the start to the first request with one.

use std::path::Path;
use std::time::Duration;

use crate::child::{Child, Drained, Started};
use crate::report::{Figure, Line, Plot, Run, Target};
use crate::server::Server;
use crate::stats::percentile;
use crate::{Effort, Fallible, fixture, scratch};

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let rows = effort.pick(100_000, 1_000_000);
    let folder = scratch()?;
    let template = folder.path().join("template.sqlite");
    fixture::backlog(&template, rows, 8, 8)?;
    first_request(run, effort, rows, &template)?;
    drain(run, rows, &template).await
}

async fn drain(run: &mut Run, rows: usize, template: &Path) -> Fallible<()> {
    let server = Server::start(8, Duration::ZERO)?;
    let folder = scratch()?;
    fixture::copy_outbox(template, folder.path())?;
    let data = folder.path().display().to_string();
    let mut child = Child::start(&["drain", &data, &server.address_json()?, &rows.to_string()])?;
    let drained: Drained = child.line()?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    let samples: Vec<(f64, f64)> =
        drained.samples.iter().map(|(rows, kib)| (*rows as f64, mib(*kib))).collect();
    let late: Vec<f64> =
        samples.iter().filter(|sample| sample.0 >= rows as f64 / 10.0).map(|s| s.1).collect();
    let flat = percentile(&late, 1.0) / percentile(&late, 0.0).max(0.1);
    run.figure(Figure {
        what: format!("peak resident memory while {rows} rows were drained (VmHWM of a process of its own)"),
        against: "32 MiB".into(),
        unit: "MiB".into(),
        levi: vec![mib(drained.peak_kib)],
        baseline: vec![32.0],
        target: Target::AtMost(1.0),
        note: format!("largest over smallest sample after the first tenth: {flat:.2}"),
    });
    run.plots.push(Plot {
        file: "memory".into(),
        title: format!("Resident memory while {rows} messages are drained"),
        x: "messages sent".into(),
        y: "MiB".into(),
        log_x: false,
        log_y: false,
        lines: vec![Line { name: "VmRSS".into(), points: samples }],
    });
    Ok(())
}

fn first_request(run: &mut Run, effort: Effort, rows: usize, template: &Path) -> Fallible<()> {
    let mut times = Vec::new();
    for _ in 0..effort.pick(3, 7) {
        let folder = scratch()?;
        fixture::copy_outbox(template, folder.path())?;
        let data = folder.path().display().to_string();
        let started: Started = Child::start(&["start", &data])?.line()?;
        times.push(started.first_request_ms);
    }
    run.figure(Figure {
        what: format!("from start() to the first request, {rows} rows pending"),
        against: "100 ms".into(),
        unit: "ms".into(),
        levi: times,
        baseline: vec![100.0],
        target: Target::AtMost(1.0),
        note: "the file is in the system's cache".into(),
    });
    Ok(())
}
