//! One transaction a turn: what the server took is removed and what came in is stored, together.

use std::collections::BTreeMap;
use std::iter::successors;
use std::sync::Arc;

use levi_outbox::{Change, Enqueued, NewRow, NewTask, OutboxError, Reason, RowId};
use levi_types::{DeliveryReport, Now, SessionId, Wall};
use tokio::sync::oneshot;

use super::event::{Effect, Intake};
use super::on_disk::{OnDisk, Owner};
use super::refused::Refused;
use super::{Engine, Perform};
use crate::batcher::{Input, Touched};
use crate::error::EnqueueError;
use crate::sealer::Message;

/// Which of the tasks cannot run yet, for a parent that came earlier is not done.
pub(super) type TaskReply = oneshot::Sender<Result<Vec<String>, Arc<OutboxError>>>;

/// Parents above one another: secret, session, repository.
const DEEPEST: usize = 3;

/// Tasks looked through for those that wait; a device has few.
const MOST_TASKS: usize = 100_000;

/// What waits for the next commit.
#[derive(Default)]
pub(super) struct Uncommitted {
    pub(super) changes: Vec<Change>,
    rows: Vec<NewRow>,
    /// Whose the rows are, in the same order.
    owners: Vec<Owner>,
    tasks: Vec<(Vec<String>, TaskReply)>,
    /// Rows that somebody may be waiting for and that the changes are about.
    settled: Vec<RowId>,
    pub(super) reports: Vec<DeliveryReport>,
    /// Whether the changes may make lanes due that the batcher does not know of.
    pub(super) wakes: bool,
}

impl Uncommitted {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.rows.is_empty()
    }

    /// Whether a row is to be set aside, or put back.
    pub(super) fn sets_aside(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Park { .. } | Change::Unpark { .. }))
    }

    pub(super) fn change(&mut self, change: Change) {
        match &change {
            Change::Acknowledge { rows, .. } => self.settled.extend(rows.iter().map(|row| row.id)),
            Change::Park { row, .. } => self.settled.push(row.id),
            _ => {}
        }
        self.changes.push(change);
    }

    fn put_tasks(&mut self, tasks: Vec<NewTask>, reply: TaskReply) {
        self.tasks.push((tasks.iter().map(|task| task.name.clone()).collect(), reply));
        self.changes.extend(tasks.into_iter().map(Change::PutTask));
        self.wakes = true;
    }

    /// Messages accepted by `enqueue` that could not be stored so far.
    pub(super) fn held(&self) -> usize {
        self.rows.len()
    }
}

impl Engine {
    /// Keeps a message for the next commit, sealed.
    pub(super) fn take_in(&mut self, now: Now, Intake { message, permit, reply }: Intake) {
        let mut owner = Owner::new(permit, reply);
        // Only until it is time to try again: the next message to come is the try, and may be the first to hear
        // that the disk works again.
        if let Some(error) = &self.outbox_error
            && owner.waits()
            && !self.batcher.trusts_outbox()
        {
            return owner.tell(Err(EnqueueError::Outbox(Arc::clone(error))));
        }
        let row = match message {
            Message::Sealed(row) => row,
            Message::Plain(request) => match self.sealer.seal(&request, now.wall, &mut *self.random) {
                Ok(row) => row,
                Err(error) => return self.refuse(vec![Refused::unsealed(owner, request, error)]),
            },
        };
        self.uncommitted.rows.push(row);
        self.uncommitted.owners.push(owner);
    }

    /// Records tasks with the next commit. While the outbox fails nobody is kept waiting for it.
    pub(super) fn take_tasks(&mut self, tasks: Vec<NewTask>, reply: TaskReply) {
        match &self.outbox_error {
            Some(error) if !self.batcher.trusts_outbox() => {
                let _ = reply.send(Err(Arc::clone(error)));
            }
            _ => self.uncommitted.put_tasks(tasks, reply),
        }
    }

    /// Those of the tasks that wait for one that was set aside, or that waits itself.
    fn blocked(&self, now: Wall, names: &[String]) -> Vec<String> {
        // Where it cannot be read, the tasks' own runs will say so.
        let listed = self.store.tasks(MOST_TASKS).unwrap_or_default();
        let task =
            |name: &String| listed.binary_search_by(|task| task.name.cmp(name)).ok().map(|i| &listed[i]);
        let is_blocked = |name: &&String| {
            let parents = successors(task(name), |child| child.waits_for.as_ref().and_then(task)).skip(1);
            // A due one is under way, or was just done.
            parents.take(DEEPEST).any(|parent| parent.due_at.is_none_or(|due_at| due_at > now))
        };
        names.iter().filter(is_blocked).cloned().collect()
    }

    /// Commits what there is, and tells everybody concerned. While the outbox fails, only the batcher's
    /// own timer tries again.
    pub(super) fn commit(&mut self, now: Now, perform: Perform<'_>) {
        if self.batcher.trusts_outbox() {
            self.try_to_commit(now, perform);
        }
    }

    /// The same, whether the outbox failed before or not: for when there is no later.
    pub(super) fn try_to_commit(&mut self, now: Now, perform: Perform<'_>) {
        if self.uncommitted.is_empty() {
            return;
        }
        // First the daemon's record: were it told afterwards, a crash in between would leave it in the dark.
        // This way round the rows are still here, are sent again, and it is told again.
        let reports = std::mem::take(&mut self.uncommitted.reports);
        self.record(&reports);
        let Uncommitted { changes, rows, .. } = &self.uncommitted;
        match self.store.commit(changes, rows) {
            Ok(outcomes) => self.committed(now, outcomes, perform),
            Err(error) => self.commit_failed(now, error),
        }
    }

    fn committed(&mut self, now: Now, outcomes: Vec<Enqueued>, perform: Perform<'_>) {
        let mut done = std::mem::take(&mut self.uncommitted);
        let mut touched = BTreeMap::new();
        let mut refused = Vec::new();
        for ((owner, row), outcome) in done.owners.iter_mut().zip(&done.rows).zip(&outcomes) {
            match Refused::unstored(owner, row, outcome) {
                Some(refusal) => refused.push(refusal),
                None => touch(&mut touched, row),
            }
        }
        if !done.rows.is_empty() {
            perform(Effect::Tell(OnDisk::new(done.owners, done.rows, outcomes)));
        }
        self.refuse(refused);
        self.outbox_error = None;
        self.batcher.handle(now, Input::Committed);
        if !touched.is_empty() || done.wakes {
            let touched = touched.into_iter().collect();
            self.batcher.handle(now, Input::Wake(Touched::Sessions(touched)));
        }
        for (names, reply) in done.tasks {
            let blocked = self.blocked(now.wall, &names);
            // Nobody waits any more: the tasks are on disk all the same.
            let _ = reply.send(Ok(blocked));
        }
        for row in done.settled {
            self.receipts.check(&*self.store, row);
        }
        (self.changed, self.committed) = (true, true);
    }

    /// The changes stay for the next try. New rows whose callers wait are refused now, for nothing is
    /// accepted into the void; those accepted before are kept in memory, within the queue's bound.
    fn commit_failed(&mut self, now: Now, error: OutboxError) {
        let reason = reason_of(&error);
        tracing::error!(code = reason.code, "the outbox cannot be written: {error}");
        let error = Arc::new(error);
        let rows = std::mem::take(&mut self.uncommitted.rows);
        let owners = std::mem::take(&mut self.uncommitted.owners);
        for (row, mut owner) in rows.into_iter().zip(owners) {
            if owner.waits() {
                owner.tell(Err(EnqueueError::Outbox(Arc::clone(&error))));
            } else {
                self.uncommitted.rows.push(row);
                self.uncommitted.owners.push(owner);
            }
        }
        for (_, reply) in self.uncommitted.tasks.drain(..) {
            // The tasks stay among the changes: they will be recorded when the disk allows it.
            let _ = reply.send(Err(Arc::clone(&error)));
        }
        self.outbox_error = Some(error);
        let draw = self.draw();
        self.batcher.handle(now, Input::StoreFailed { reason, draw });
        self.changed = true;
    }

    /// Tells the daemon's own store what became of messages. Its failure changes nothing here.
    pub(super) fn record(&self, reports: &[DeliveryReport]) {
        if reports.is_empty() {
            return;
        }
        if let Err(error) = self.session_store.record(reports) {
            tracing::warn!("the session store did not take {} delivery reports: {error}", reports.len());
        }
    }
}

/// Notes the lowest place written in each session.
fn touch(touched: &mut BTreeMap<SessionId, i64>, row: &NewRow) {
    match touched.get_mut(&row.session_id) {
        Some(lowest) => *lowest = row.sequence_number.min(*lowest),
        None => drop(touched.insert(row.session_id.clone(), row.sequence_number)),
    }
}

pub(super) fn reason_of(error: &OutboxError) -> Reason {
    let code = match error {
        OutboxError::DiskFull(_) => "disk_full",
        OutboxError::ReadOnly(_) => "read_only",
        OutboxError::Locked(_) => "locked",
        OutboxError::Owned { .. } => "owned",
        OutboxError::CannotOpen { .. } => "cannot_open",
        OutboxError::NewerSchema { .. } => "newer_schema",
        OutboxError::Corrupt(_) => "corrupt",
        _ => "outbox",
    };
    Reason { code: code.into(), detail: error.to_string() }
}
