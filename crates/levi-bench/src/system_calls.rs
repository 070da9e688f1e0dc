//! System calls of another process, counted from outside, where strace is there and may attach.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Watches until it is dropped.
pub(crate) struct SystemCalls {
    strace: Child,
    file: tempfile::NamedTempFile,
    /// What attaching itself wrote: it shows the calls that the threads sleep in.
    skip: usize,
}

impl SystemCalls {
    pub(crate) fn watch(pid: u32) -> Option<Self> {
        let file = tempfile::NamedTempFile::new().ok()?;
        let mut strace = Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(file.path())
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        std::thread::sleep(Duration::from_millis(500));
        if !matches!(strace.try_wait(), Ok(None)) {
            return None;
        }
        let skip = fs::read(file.path()).ok()?.len();
        Some(Self { strace, file, skip })
    }

    /// Calls since it began to watch. It writes each as soon as it is over.
    pub(crate) fn so_far(&self) -> Option<usize> {
        let text = fs::read(self.file.path()).ok()?;
        Some(text.get(self.skip..)?.iter().filter(|byte| **byte == b'\n').count())
    }
}

impl Drop for SystemCalls {
    fn drop(&mut self) {
        // Gone already: then there is nothing to end. What it watched goes on.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
