//! Idle: how often any thread of the process runs while there is nothing to do, and what it asks the outbox.

use std::path::Path;
use std::time::Duration;

use levi::core::SystemClock;
use levi::types::{Clock, Wall};
use tempfile::TempDir;

use super::growth;
use crate::child::{Asked, Child, Ready};
use crate::process::{Switches, switches};
use crate::report::{Figure, Mark, Run};
use crate::server::Server;
use crate::system_calls::SystemCalls;
use crate::{Effort, Fallible, fixture, scratch};

/// Where Levi finds its outbox.
const FILE: &str = "outbox.sqlite";

/// Longer than sending a batch takes.
const SENDING: Duration = Duration::from_secs(3);

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let time = effort.pick(Duration::from_secs(10), Duration::from_secs(60));
    let rows = effort.pick(100_000, 1_000_000);
    let server = Server::start(1, Duration::ZERO).await?;
    let address = server.address_json()?;
    let (nothing, asleep) = (scratch()?, scratch()?);
    fixture::backlog(&asleep.path().join(FILE), rows, rows / 100, growth::AT_ONCE.min(rows / 100))?;
    // Later than the measurement ends, and no later than a backoff can be.
    growth::defer(&asleep.path().join(FILE), "1", wall().after(Duration::from_secs(290)))?;
    let template = asleep.path().join("template.sqlite");
    std::fs::copy(asleep.path().join(FILE), &template)?;

    let mut nothing = Subject::start(nothing, &address, "0", "everything sent")?;
    let mut asleep = Subject::start(asleep, &address, "1", &format!("{rows} rows in backoff, none due"))?;
    nothing.settle()?;
    asleep.settle()?;
    let (waking, due) = about_to_wake(&template, &address, rows, time / 2)?;
    let mut subjects = [nothing, asleep, waking];
    let start = wall();
    look(&mut subjects)?;
    let before_due = due.since(start).saturating_sub(Duration::from_secs(1));
    tokio::time::sleep(before_due).await;
    look(&mut subjects)?;
    tokio::time::sleep(time.saturating_sub(before_due).max(Duration::from_secs(1) + SENDING)).await;
    look(&mut subjects)?;
    let time = wall().since(start);
    let [nothing, asleep, waking] = subjects;
    run.figure(nothing.figure(time, 2)?);
    run.figure(asleep.figure(time, 2)?);
    run.figure(waking.figure(before_due, 1)?);
    Ok(())
}

/// One of whose sessions is due `wait` from now or a little later, and when.
fn about_to_wake(template: &Path, address: &str, rows: usize, wait: Duration) -> Fallible<(Subject, Wall)> {
    for settling in [6, 12, 24].map(Duration::from_secs) {
        let folder = scratch()?;
        fixture::copy_outbox(template, folder.path())?;
        let due = wall().after(settling + wait);
        growth::defer(&folder.path().join(FILE), "lane = 1", due)?;
        let what = format!("{rows} rows in backoff, 100 of them due afterwards");
        let mut subject = Subject::start(folder, address, "1", &what)?;
        subject.settle()?;
        if due.since(wall()) >= wait {
            return Ok((subject, due));
        }
    }
    Err("a process took half a minute to start; the machine is too busy for this".into())
}

fn wall() -> Wall {
    SystemClock::new().now().wall
}

fn look(subjects: &mut [Subject]) -> Fallible<()> {
    subjects.iter_mut().try_for_each(Subject::look)
}

/// A process with Levi in it that is watched from outside.
struct Subject {
    what: String,
    child: Child,
    pid: u32,
    calls: Option<SystemCalls>,
    /// At each look: how often its threads ran so far, and the system calls so far.
    looks: Vec<(Switches, Option<usize>)>,
    _folder: TempDir,
}

impl Subject {
    fn start(folder: TempDir, address: &str, waiting: &str, what: &str) -> Fallible<Self> {
        let child = Child::start(&["idle", &folder.path().display().to_string(), address, waiting])?;
        Ok(Self { what: what.to_owned(), child, pid: 0, calls: None, looks: Vec::new(), _folder: folder })
    }

    fn settle(&mut self) -> Fallible<()> {
        let ready: Ready = self.child.line()?;
        self.pid = ready.pid;
        self.calls = SystemCalls::watch(ready.pid);
        Ok(())
    }

    fn look(&mut self) -> Fallible<()> {
        let calls = self.calls.as_ref().and_then(SystemCalls::so_far);
        self.looks.push((switches(self.pid)?, calls));
        Ok(())
    }

    /// What happened between the first look and the one numbered `end`, and, in the note, until the last.
    fn figure(mut self, time: Duration, end: usize) -> Fallible<Figure> {
        let asked: Asked = self.child.ask()?;
        let [(first, calls_before), ..] = self.looks.as_slice() else {
            return Err("nobody looked".into());
        };
        let (then, calls_after) = &self.looks[end];
        let calls = match (calls_before, calls_after) {
            (Some(before), Some(after)) => format!("{} system calls (strace)", after - before),
            _ => "a thread that never ran made no system call".to_owned(),
        };
        let Asked { requests, reads, commits } = asked;
        let later = if end + 1 < self.looks.len() {
            format!(
                "then the 100 rows went: {requests} request(s), {reads} reads and {commits} commits of the outbox"
            )
        } else {
            format!("{reads} reads and {commits} commits of the outbox")
        };
        Ok(Figure {
            what: format!("{:.0} s with nothing to do, {}", time.as_secs_f64(), self.what),
            against: "no wake-up of any of its threads".into(),
            unit: "wake-ups".into(),
            levi: vec![then.since(first) as f64],
            rival: vec![1.0],
            mark: Mark::AtMost(0.0),
            note: format!("{} threads, {calls}; {later}", then.threads()),
        })
    }
}
