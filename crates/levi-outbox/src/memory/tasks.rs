//! Tasks: few, so that what is due is worked out afresh each time.

use std::collections::BTreeMap;

use levi_types::{SessionId, Wall};

use crate::model::{Change, DueTask, DueTasks, ListedTask, NewTask, Reason};

#[derive(Debug)]
pub(super) struct Task {
    version: u32,
    attempts: u32,
    /// `None` while parked.
    due_at: Option<Wall>,
    parent: Option<String>,
    holds: Option<SessionId>,
    payload: Vec<u8>,
    reason: Option<Reason>,
}

impl Task {
    pub(super) fn parent(&self) -> Option<&String> {
        self.parent.as_ref()
    }

    pub(super) const fn is_parked(&self) -> bool {
        self.due_at.is_none()
    }

    fn unpark(&mut self, at: Wall) {
        if self.is_parked() {
            self.version = self.version.saturating_add(1);
            self.attempts = 0;
            self.due_at = Some(at);
            self.reason = None;
        }
    }

    /// The session that waits for this task, unless it is parked.
    pub(super) fn holds(&self) -> Option<&SessionId> {
        self.holds.as_ref().filter(|_| self.due_at.is_some())
    }
}

/// Applies a change to a task; other changes are none of its business.
pub(super) fn apply(tasks: &mut BTreeMap<String, Task>, change: &Change) {
    match change {
        Change::PutTask(task) => put(tasks, task),
        Change::EnsureTask(task) => match tasks.get_mut(&task.name) {
            Some(old) if old.parent == task.parent => old.unpark(task.at),
            _ => put(tasks, task),
        },
        Change::UnparkTask { name, at } => {
            if let Some(task) = tasks.get_mut(name) {
                task.unpark(*at);
            }
        }
        Change::DiscardTask { name } if tasks.get(name).is_some_and(Task::is_parked) => {
            tasks.remove(name);
        }
        Change::FinishTask { name, version } if current(tasks, name, *version).is_some() => {
            tasks.remove(name);
        }
        Change::DeferTask { name, version, due_at, attempts, reason } => {
            if let Some(task) = current(tasks, name, *version) {
                task.due_at = Some(*due_at);
                task.attempts = *attempts;
                task.reason = Some(reason.clone());
            }
        }
        Change::ParkTask { name, version, reason } => {
            if let Some(task) = current(tasks, name, *version) {
                task.due_at = None;
                task.reason = Some(reason.clone());
            }
        }
        _ => {}
    }
}

fn current<'a>(tasks: &'a mut BTreeMap<String, Task>, name: &str, version: u32) -> Option<&'a mut Task> {
    tasks.get_mut(name).filter(|task| task.version == version)
}

fn put(tasks: &mut BTreeMap<String, Task>, new: &NewTask) {
    let version = tasks.get(&new.name).map_or(1, |old| old.version.saturating_add(1));
    let task = Task {
        version,
        attempts: 0,
        due_at: Some(new.at),
        parent: new.parent.clone(),
        holds: new.holds.clone(),
        payload: new.payload.clone(),
        reason: None,
    };
    tasks.insert(new.name.clone(), task);
}

pub(super) fn retry_now(tasks: &mut BTreeMap<String, Task>, at: Wall) {
    for task in tasks.values_mut() {
        task.due_at = task.due_at.map(|due_at| due_at.min(at));
    }
}

pub(super) fn list(tasks: &BTreeMap<String, Task>, limit: usize) -> Vec<ListedTask> {
    let listed = tasks.iter().map(|(name, task)| ListedTask {
        name: name.clone(),
        attempts: task.attempts,
        due_at: task.due_at,
        waits_for: task.parent.clone().filter(|parent| tasks.contains_key(parent)),
        reason: task.reason.clone(),
    });
    listed.take(limit).collect()
}

pub(super) fn due(tasks: &BTreeMap<String, Task>, now: Wall, horizon: Wall, limit: usize) -> DueTasks {
    let waits = |task: &Task| task.parent.as_ref().is_some_and(|parent| tasks.contains_key(parent));
    let free = tasks.iter().filter(|(_, task)| !waits(task));
    let mut free: Vec<_> = free.filter_map(|(name, task)| Some((task.due_at?, name, task))).collect();
    free.sort_unstable_by_key(|(due_at, name, _)| (*due_at > horizon, *due_at, *name));
    let is_due = |due_at: Wall| due_at <= now || due_at > horizon;
    let next_due = free.iter().map(|(due_at, ..)| *due_at).find(|due_at| !is_due(*due_at));
    let due = free.into_iter().filter(|(due_at, ..)| is_due(*due_at)).take(limit);
    let tasks = due.map(|(_, name, task)| DueTask {
        name: name.clone(),
        version: task.version,
        attempts: task.attempts,
        payload: task.payload.clone(),
    });
    DueTasks { tasks: tasks.collect(), next_due }
}
