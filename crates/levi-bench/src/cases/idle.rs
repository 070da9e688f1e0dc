//! Idle: how often any thread of the process runs while there is nothing to do.

use std::time::Duration;

use levi::{Clock, SystemClock};

use super::growth;
use crate::child::{Child, Ready};
use crate::process::switches;
use crate::report::{Figure, Mark, Report};
use crate::server::Server;
use crate::{Effort, Fallible, fixture, scratch};

pub(crate) async fn measure(report: &mut Report, effort: Effort) -> Fallible<()> {
    let time = effort.pick(Duration::from_secs(10), Duration::from_secs(60));
    let rows = effort.pick(100_000, 1_000_000);
    let server = Server::start(8, Duration::ZERO).await?;
    let address = server.address_json()?;

    let empty = scratch()?;
    let drained = Child::start(&["idle", &empty.path().display().to_string(), &address, "0"])?;
    let waiting = scratch()?;
    let file = waiting.path().join("outbox.sqlite");
    fixture::backlog(&file, rows, rows / 100)?;
    // Later than the measurement ends, and no later than a backoff can be.
    growth::defer(&file, "1", SystemClock::new().now().wall.after(Duration::from_secs(280)))?;
    let backlog = Child::start(&["idle", &waiting.path().display().to_string(), &address, "1"])?;

    for (child, what) in
        [(drained, "everything sent".to_owned()), (backlog, format!("{rows} rows in backoff, none due"))]
    {
        let (ready, child): (Ready, Child) = child.first_answer()?;
        let calls = SystemCalls::watch(ready.pid);
        let before = switches(ready.pid)?;
        tokio::time::sleep(time).await;
        let after = switches(ready.pid)?;
        let calls = calls.and_then(SystemCalls::end);
        drop(child);
        let count = |threads: &[(String, u64)]| threads.iter().map(|thread| thread.1).sum::<u64>();
        let wakeups = count(&after).saturating_sub(count(&before));
        report.figure(Figure {
            group: "idle",
            what: format!("{} s with nothing to do, {what}", time.as_secs()),
            against: "no wake-up of any of its threads".into(),
            unit: "wake-ups",
            levi: vec![wakeups as f64],
            rival: vec![1.0],
            mark: Mark::AtMost(0.0),
            note: match calls {
                Some(calls) => format!("{} threads, {calls} system calls (strace)", after.len()),
                None => format!("{} threads; a thread that never ran made no system call", after.len()),
            },
        });
    }
    Ok(())
}

/// Counts system calls from outside, where strace is there and may attach.
struct SystemCalls {
    strace: std::process::Child,
    file: tempfile::NamedTempFile,
}

impl SystemCalls {
    fn watch(pid: u32) -> Option<Self> {
        let file = tempfile::NamedTempFile::new().ok()?;
        let mut strace = std::process::Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(file.path())
            .args(["-p", &pid.to_string()])
            .stderr(std::process::Stdio::null())
            .spawn()
            .ok()?;
        // Attaching restarts the calls that the threads sleep in; that is not the process's doing.
        std::thread::sleep(Duration::from_millis(500));
        match strace.try_wait() {
            Ok(None) => Some(Self { strace, file }),
            _ => None,
        }
    }

    /// System calls that began while it watched.
    fn end(mut self) -> Option<usize> {
        // SIGKILL detaches; what it traced goes on.
        self.strace.kill().ok()?;
        self.strace.wait().ok()?;
        let text = std::fs::read_to_string(self.file.path()).ok()?;
        // What was under way when it attached is shown as resumed or unfinished, without an end.
        let began = |line: &&str| !line.contains("resumed") && !line.contains("<unfinished");
        let own = text.lines().filter(|line| !line.contains("+++")).filter(began).count();
        Some(own.saturating_sub(restarted(&text)))
    }
}

/// Calls that only began again because strace attached.
fn restarted(text: &str) -> usize {
    text.lines().filter(|line| line.contains("restart_syscall") && line.contains(" = ")).count()
}
