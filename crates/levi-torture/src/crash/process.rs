//! A child process and the lines that it prints.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::ack_log::AckLog;
use crate::Error;
use crate::child::{Job, Line};

/// A child that runs.
pub(super) struct Running {
    child: Child,
    lines: Receiver<Line>,
    /// A child exits when its standard input ends, so dropping this ends it.
    _stdin: Option<ChildStdin>,
}

impl Running {
    pub(super) fn start(program: &Path, job: &Job) -> Result<Self, Error> {
        let mut child = Command::new(program)
            .args(["child", &serde_json::to_string(job)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let output = child.stdout.take().ok_or("the child has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                // The kill may cut off a line. What it would have reported does not count.
                let Ok(line) = serde_json::from_str(&text) else { continue };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, _stdin: stdin })
    }

    /// Records lines up to and including the first for which `is_wanted` holds, or until the child
    /// exits or `patience` is over.
    pub(super) fn read_until(&self, log: &mut AckLog, patience: Duration, is_wanted: impl Fn(&Line) -> bool) {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_wanted = is_wanted(&line);
                    log.record(line);
                    if is_wanted {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Kills the child and records everything that it printed before. `false` if it had exited
    /// already.
    pub(super) fn kill(mut self, log: &mut AckLog) -> Result<bool, Error> {
        self.child.kill()?;
        let status = self.wait_and_record(log)?;
        Ok(was_killed(status))
    }

    /// Records everything that the child prints until it exits. `true` if it reports success.
    pub(super) fn finish(mut self, log: &mut AckLog) -> Result<bool, Error> {
        Ok(self.wait_and_record(log)?.success())
    }

    fn wait_and_record(&mut self, log: &mut AckLog) -> Result<ExitStatus, Error> {
        while let Ok(line) = self.lines.recv() {
            log.record(line);
        }
        Ok(self.child.wait()?)
    }
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}
