//! The rows of repositories, sessions and secrets that wait beside the messages.

use levi::{ListedTask, Wall};
use serde::Serialize;

use crate::text::{plural, seconds};

/// Read at most; a device has few sessions at a time.
pub(super) const MOST: usize = 10_000;

#[derive(Serialize)]
pub(super) struct TaskLine<'a> {
    task: &'a str,
    state: &'static str,
    attempts: u32,
    due_in_seconds: Option<f64>,
    waits_for: Option<&'a str>,
    code: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> TaskLine<'a> {
    pub(super) fn new(task: &'a ListedTask, now: Wall) -> Self {
        Self {
            task: &task.name,
            state: if task.is_parked() { "parked" } else { "pending" },
            attempts: task.attempts,
            due_in_seconds: task.due_at.map(|due| due.since(now).as_secs_f64()),
            waits_for: task.waits_for.as_deref(),
            code: task.reason.as_ref().map(|reason| reason.code.as_str()),
            detail: task.reason.as_ref().map(|reason| reason.detail.as_str()),
        }
    }

    pub(super) fn text(&self) -> String {
        let reason = match (self.code, self.detail) {
            (Some(code), Some(detail)) => format!("  {code} ({detail})"),
            _ => String::new(),
        };
        let when = match (self.waits_for, self.due_in_seconds) {
            (Some(parent), _) => format!(", after {parent}"),
            (None, Some(due)) if self.attempts > 0 => {
                format!(", {}, next in {}", plural(u64::from(self.attempts), "attempt"), seconds(due))
            }
            _ => String::new(),
        };
        format!("{:>8}  {}  {}{when}{reason}", "task", self.task, self.state)
    }
}
