//! Idle: how often any thread of the process runs while there is nothing to do, and how often it uses the outbox.

use std::path::Path;
use std::time::Duration;

use levi::core::SystemClock;
use levi::types::{Clock, Wall};
use tempfile::TempDir;

use super::scaling;
use crate::child::{Child, Ready, Usage};
use crate::process::{Switches, switches};
use crate::report::{Figure, Run, Target};
use crate::server::Server;
use crate::system_calls::SystemCalls;
use crate::{Effort, Fallible, fixture, scratch};

/// The name of the outbox file that Levi opens.
const FILE: &str = "outbox.sqlite";

/// More time than sending a batch takes.
const SENDING: Duration = Duration::from_secs(3);

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let time = effort.pick(Duration::from_secs(10), Duration::from_secs(60));
    let rows = effort.pick(100_000, 1_000_000);
    let server = Server::start(1, Duration::ZERO)?;
    let address = server.address_json()?;
    let (empty, deferred) = (scratch()?, scratch()?);
    fixture::backlog(&deferred.path().join(FILE), rows, rows / 100, scaling::AT_ONCE.min(rows / 100))?;
    // After the end of the measurement, and within the longest backoff.
    scaling::defer(&deferred.path().join(FILE), "1", wall().after(Duration::from_secs(290)))?;
    let template = deferred.path().join("template.sqlite");
    std::fs::copy(deferred.path().join(FILE), &template)?;

    let mut empty = Subject::start(empty, &address, "0", "everything sent")?;
    let mut deferred = Subject::start(deferred, &address, "1", &format!("{rows} rows in backoff, none due"))?;
    empty.wait_until_idle()?;
    deferred.wait_until_idle()?;
    let (due_later, due) = due_later(&template, &address, rows, time / 2)?;
    let mut subjects = [empty, deferred, due_later];
    let start = wall();
    sample(&mut subjects)?;
    let before_due = due.since(start).saturating_sub(Duration::from_secs(1));
    tokio::time::sleep(before_due).await;
    sample(&mut subjects)?;
    tokio::time::sleep(time.saturating_sub(before_due).max(Duration::from_secs(1) + SENDING)).await;
    sample(&mut subjects)?;
    let time = wall().since(start);
    let [empty, deferred, due_later] = subjects;
    run.figure(empty.figure(time, 2)?);
    run.figure(deferred.figure(time, 2)?);
    run.figure(due_later.figure(before_due, 1)?);
    Ok(())
}

/// A process with one session that is due in `wait` or a little later, and the time at which it is due.
fn due_later(template: &Path, address: &str, rows: usize, wait: Duration) -> Fallible<(Subject, Wall)> {
    for start_up in [6, 12, 24].map(Duration::from_secs) {
        let folder = scratch()?;
        fixture::copy_outbox(template, folder.path())?;
        let due = wall().after(start_up + wait);
        scaling::defer(&folder.path().join(FILE), "lane = 1", due)?;
        let what = format!("{rows} rows in backoff, 100 of them due afterwards");
        let mut subject = Subject::start(folder, address, "1", &what)?;
        subject.wait_until_idle()?;
        if due.since(wall()) >= wait {
            return Ok((subject, due));
        }
    }
    Err("a process took half a minute to start; the machine is too busy for this".into())
}

fn wall() -> Wall {
    SystemClock::new().now().wall
}

fn sample(subjects: &mut [Subject]) -> Fallible<()> {
    subjects.iter_mut().try_for_each(Subject::sample)
}

/// A process that runs Levi and is observed from outside.
struct Subject {
    what: String,
    child: Child,
    pid: u32,
    calls: Option<SystemCalls>,
    /// Context switches and system calls since the start, at each sample.
    samples: Vec<(Switches, Option<usize>)>,
    _folder: TempDir,
}

impl Subject {
    fn start(folder: TempDir, address: &str, waiting: &str, what: &str) -> Fallible<Self> {
        let child = Child::start(&["idle", &folder.path().display().to_string(), address, waiting])?;
        Ok(Self { what: what.to_owned(), child, pid: 0, calls: None, samples: Vec::new(), _folder: folder })
    }

    fn wait_until_idle(&mut self) -> Fallible<()> {
        let ready: Ready = self.child.line()?;
        self.pid = ready.pid;
        self.calls = SystemCalls::attach(ready.pid);
        Ok(())
    }

    fn sample(&mut self) -> Fallible<()> {
        let calls = self.calls.as_ref().and_then(SystemCalls::so_far);
        self.samples.push((switches(self.pid)?, calls));
        Ok(())
    }

    /// The wake-ups between the first sample and the one with index `end`. The note covers the time to the last sample.
    fn figure(mut self, time: Duration, end: usize) -> Fallible<Figure> {
        let used: Usage = self.child.ask()?;
        let [(first, calls_before), ..] = self.samples.as_slice() else {
            return Err("no sample was taken".into());
        };
        let (then, calls_after) = &self.samples[end];
        let calls = match (calls_before, calls_after) {
            (Some(before), Some(after)) => format!("{} system calls (strace)", after - before),
            _ => "no system calls, because no thread ran".to_owned(),
        };
        let Usage { requests, reads, commits } = used;
        let later = if end + 1 < self.samples.len() {
            format!(
                "then the 100 rows were sent: {requests} request(s), {reads} reads and {commits} commits of the outbox"
            )
        } else {
            format!("{reads} reads and {commits} commits of the outbox")
        };
        Ok(Figure {
            what: format!("{:.0} s with nothing to do, {}", time.as_secs_f64(), self.what),
            against: "no wake-up of any of its threads".into(),
            unit: "wake-ups".into(),
            levi: vec![then.since(first) as f64],
            baseline: vec![1.0],
            target: Target::AtMost(0.0),
            note: format!("{} threads, {calls}; {later}", then.threads()),
        })
    }
}
