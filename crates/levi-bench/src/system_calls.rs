//! Counts the system calls of another process with strace, where it is installed and may attach.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A strace that is attached until this is dropped.
pub(crate) struct SystemCalls {
    strace: Child,
    file: tempfile::NamedTempFile,
    /// The bytes that strace wrote when it attached: the calls in which the threads were blocked.
    skip: usize,
}

impl SystemCalls {
    pub(crate) fn attach(pid: u32) -> Option<Self> {
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

    /// Calls since strace attached. It writes each call as soon as it returns.
    pub(crate) fn so_far(&self) -> Option<usize> {
        let text = fs::read(self.file.path()).ok()?;
        Some(text.get(self.skip..)?.iter().filter(|byte| **byte == b'\n').count())
    }
}

impl Drop for SystemCalls {
    fn drop(&mut self) {
        // Fails when strace has exited already. The traced process continues.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
