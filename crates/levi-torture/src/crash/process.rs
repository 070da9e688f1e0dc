//! One child: started, listened to, killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use crate::Trouble;
use crate::child::{Job, Line};

/// A running child and what it says.
pub(super) struct Running {
    child: Child,
    lines: Receiver<Line>,
    /// The child ends when this is dropped, should it not be killed.
    _hand: Option<ChildStdin>,
}

impl Running {
    pub(super) fn start(program: &Path, job: &Job) -> Result<Self, Trouble> {
        let mut child = Command::new(program)
            .args(["child", &serde_json::to_string(job)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let hand = child.stdin.take();
        let output = child.stdout.take().ok_or("the child has no output")?;
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                // A line cut off by the kill was not said.
                let Ok(line) = serde_json::from_str(&text) else { continue };
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, _hand: hand })
    }

    /// Listens until a line for which `is_it` holds; `false` if the child fell silent or `patience` ended first.
    pub(super) fn listen(
        &self,
        ledger: &mut Ledger,
        patience: Duration,
        is_it: impl Fn(&Line) -> bool,
    ) -> bool {
        let until = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = is_it(&line);
                    ledger.note(line);
                    if found {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// SIGKILL, and then everything that it had said before. `true` if it was the kill that ended it.
    pub(super) fn kill(mut self, ledger: &mut Ledger) -> Result<bool, Trouble> {
        self.child.kill()?;
        let status = self.wait_and_hear(ledger)?;
        Ok(was_killed(status))
    }

    /// Hears it out. `true` if it ended well.
    pub(super) fn finish(mut self, ledger: &mut Ledger) -> Result<bool, Trouble> {
        Ok(self.wait_and_hear(ledger)?.success())
    }

    fn wait_and_hear(&mut self, ledger: &mut Ledger) -> Result<ExitStatus, Trouble> {
        while let Ok(line) = self.lines.recv() {
            ledger.note(line);
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
