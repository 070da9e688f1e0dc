//! Tasks, likewise.

use levi_outbox::Change;

use super::Truth;

/// A task as it lies on disk.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) version: u32,
    pub(crate) attempts: u32,
    pub(crate) parked: bool,
    parent: Option<String>,
    /// Whether the version that is on disk was done.
    pub(crate) done: bool,
    /// Failures not counted yet.
    pub(crate) causes: u32,
    /// Whether its last run ended in a way that nothing mends by itself.
    pub(crate) hopeless: bool,
}

impl Truth {
    /// Tasks that should be done sooner or later: neither they nor what they wait for is set aside.
    pub(crate) fn live_tasks(&self) -> Vec<String> {
        self.tasks.iter().filter(|(_, task)| self.is_live(task)).map(|(name, _)| name.clone()).collect()
    }

    fn is_live(&self, task: &Task) -> bool {
        let parent = task.parent.as_ref().and_then(|parent| self.tasks.get(parent));
        !task.parked && parent.is_none_or(|parent| self.is_live(parent))
    }

    pub(super) fn apply_task(&mut self, change: &Change) {
        match change {
            Change::EnsureTask(new) => match self.tasks.get_mut(&new.name) {
                Some(task) if task.parent != new.parent => self.apply_task(&Change::PutTask(new.clone())),
                None => self.apply_task(&Change::PutTask(new.clone())),
                Some(task) if task.parked => {
                    task.parked = false;
                    task.version += 1;
                    (task.attempts, task.causes, task.done, task.hopeless) = (0, 0, false, false);
                    self.note(|| format!("disk: task {} is tried again", new.name));
                }
                Some(_) => {}
            },
            Change::PutTask(new) => {
                let version = self.tasks.get(&new.name).map_or(1, |old| old.version + 1);
                self.note(|| format!("disk: task {} version {version}", new.name));
                let parent = new.parent.clone();
                let task = Task {
                    version,
                    attempts: 0,
                    parked: false,
                    parent,
                    done: false,
                    causes: 0,
                    hopeless: false,
                };
                self.tasks.insert(new.name.clone(), task);
            }
            Change::FinishTask { name, version } => {
                let Some(task) = self.tasks.get(name).filter(|task| task.version == *version) else { return };
                let done = task.done;
                self.tasks.remove(name);
                self.note(|| format!("disk: task {name} is done"));
                self.expect(done, "tasks", || format!("task {name} is forgotten, but it was not done"));
            }
            Change::DeferTask { name, version, due_at, attempts, reason } => {
                let Some(task) = self.tasks.get_mut(name).filter(|task| task.version == *version) else {
                    return;
                };
                let (before, caused) = (task.attempts, task.causes > 0);
                task.attempts = *attempts;
                task.causes = task.causes.saturating_sub(1);
                self.note(|| format!("disk: task {name} waits, attempt {attempts}, {}", reason.code));
                self.expect(*attempts == before + 1 && caused, "tasks", || {
                    format!("task {name} had {before} attempts and now has {attempts} (failed: {caused})")
                });
                if !self.delays_void {
                    self.check_delay(name, *attempts, *due_at);
                }
            }
            Change::ParkTask { name, version, reason } => {
                let Some(task) = self.tasks.get_mut(name).filter(|task| task.version == *version) else {
                    return;
                };
                task.parked = true;
                let hopeless = task.hopeless;
                self.note(|| format!("disk: task {name} is set aside: {}", reason.code));
                self.expect(hopeless, "tasks", || {
                    format!("task {name} is set aside for {}, which may pass", reason.code)
                });
            }
            _ => {}
        }
    }
}
