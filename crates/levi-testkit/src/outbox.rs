//! An outbox whose disk fails, or is slow, on command.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use levi_outbox::{
    Change, Due, DueQuery, Enqueued, GivenBack, Held, LaneId, LaneKey, ListedRow, LoneFailure, NewRow,
    OutboxError, OutboxStore, ParkedParent, PayloadSink, PendingControlRow, Reason, RowHead, RowId, RowKey,
    RowState, Space, Totals, WaitingLane,
};
use levi_types::{SessionId, UserId, Wall};

/// Wraps a store and makes its commits and reads fail, or its commits take longer, on command.
///
/// A commit that fails has changed nothing, because [`OutboxStore::commit`] promises so. (For a
/// process that dies after the commit and before the answer, drop the store and open it again.)
#[derive(Debug)]
pub struct FaultyOutbox<S> {
    inner: S,
    faults: OutboxFaults,
}

/// Controls a [`FaultyOutbox`] from the test after the outbox has moved into a worker.
#[derive(Clone, Debug, Default)]
pub struct OutboxFaults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    commit_delay: Duration,
    commits: Failing,
    reads: Failing,
    counts: OutboxCounts,
}

/// The calls of a [`FaultyOutbox`] so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Commits that were passed to the store.
    pub commits: u64,
    /// Commits that were made to fail.
    pub failed_commits: u64,
    /// Reads of every kind that were passed to the store.
    pub reads: u64,
    /// Reads that were made to fail.
    pub failed_reads: u64,
    /// The longest step of giving space back.
    pub longest_step: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
enum Failing {
    #[default]
    Never,
    Next(u64, OutboxFailure),
    Always(OutboxFailure),
}

/// The error of a failing outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxFailure {
    /// [`OutboxError::DiskFull`]
    DiskFull,
    /// [`OutboxError::ReadOnly`]
    ReadOnly,
    /// [`OutboxError::Locked`]
    Locked,
    /// [`OutboxError::Owned`]
    Owned,
    /// [`OutboxError::Corrupt`]
    Corrupt,
    /// [`OutboxError::Other`]
    Other,
}

impl OutboxFailure {
    /// The error itself.
    pub fn error(self) -> OutboxError {
        let because = || io::Error::other("made to fail by a test").into();
        match self {
            Self::DiskFull => OutboxError::DiskFull(because()),
            Self::ReadOnly => OutboxError::ReadOnly(because()),
            Self::Locked => OutboxError::Locked(because()),
            Self::Owned => OutboxError::Owned { path: PathBuf::from("faulty-outbox") },
            Self::Corrupt => OutboxError::Corrupt(because()),
            Self::Other => OutboxError::Other(because()),
        }
    }
}

impl Failing {
    fn take(&mut self) -> Option<OutboxFailure> {
        match *self {
            Self::Never | Self::Next(0, _) => None,
            Self::Always(failure) => Some(failure),
            Self::Next(left, failure) => {
                *self = Self::Next(left - 1, failure);
                Some(failure)
            }
        }
    }
}

impl OutboxFaults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every commit takes `delay` longer from now on, like one on a slow disk. It blocks the
    /// calling thread.
    pub fn delay_commits(&self, delay: Duration) {
        self.plan().commit_delay = delay;
    }

    /// The next `times` commits fail. Replaces earlier plans for commits.
    pub fn fail_commits(&self, times: u64, failure: OutboxFailure) {
        self.plan().commits = Failing::Next(times, failure);
    }

    /// The next `times` reads of any kind fail. Replaces earlier plans for reads.
    pub fn fail_reads(&self, times: u64, failure: OutboxFailure) {
        self.plan().reads = Failing::Next(times, failure);
    }

    /// Every commit fails until [`OutboxFaults::heal`]; reads work.
    pub fn refuse_commits(&self, failure: OutboxFailure) {
        self.plan().commits = Failing::Always(failure);
    }

    /// Everything fails until [`OutboxFaults::heal`].
    pub fn break_down(&self, failure: OutboxFailure) {
        let mut plan = self.plan();
        (plan.commits, plan.reads) = (Failing::Always(failure), Failing::Always(failure));
    }

    /// Nothing fails any more. A delay stays.
    pub fn heal(&self) {
        let mut plan = self.plan();
        (plan.commits, plan.reads) = (Failing::Never, Failing::Never);
    }

    /// The calls so far.
    pub fn counts(&self) -> OutboxCounts {
        self.plan().counts
    }

    fn commit(&self) -> Result<(), OutboxError> {
        let mut plan = self.plan();
        match plan.commits.take() {
            None => {
                plan.counts.commits += 1;
                Ok(())
            }
            Some(failure) => {
                plan.counts.failed_commits += 1;
                Err(failure.error())
            }
        }
    }

    fn read(&self) -> Result<(), OutboxError> {
        let mut plan = self.plan();
        match plan.reads.take() {
            None => {
                plan.counts.reads += 1;
                Ok(())
            }
            Some(failure) => {
                plan.counts.failed_reads += 1;
                Err(failure.error())
            }
        }
    }
}

impl<S> FaultyOutbox<S> {
    /// Wraps `inner`. Nothing fails yet.
    pub fn new(inner: S) -> Self {
        Self { inner, faults: OutboxFaults::default() }
    }

    /// The handle that controls the faults.
    pub fn faults(&self) -> OutboxFaults {
        self.faults.clone()
    }

    /// The store without its faults.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: OutboxStore> OutboxStore for FaultyOutbox<S> {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        let delay = self.faults.plan().commit_delay;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        self.faults.commit()?;
        self.inner.commit(changes, rows)
    }

    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        self.faults.read()?;
        self.inner.due(query)
    }

    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        self.faults.read()?;
        self.inner.heads(lane, after, limit)
    }

    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        self.faults.read()?;
        self.inner.payloads(rows, sink)
    }

    fn rows_under_database_key(
        &self,
        lane: LaneId,
        limit: usize,
    ) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        self.faults.read()?;
        self.inner.rows_under_database_key(lane, limit)
    }

    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        self.faults.read()?;
        self.inner.row_state(row)
    }

    fn session_was_sent(&self, session: &SessionId) -> Result<bool, OutboxError> {
        self.faults.read()?;
        self.inner.session_was_sent(session)
    }

    fn parked_parents(&self, limit: usize) -> Result<Vec<ParkedParent>, OutboxError> {
        self.faults.read()?;
        self.inner.parked_parents(limit)
    }

    fn pending_control_row(&self, lane: &LaneKey) -> Result<Option<PendingControlRow>, OutboxError> {
        self.faults.read()?;
        self.inner.pending_control_row(lane)
    }

    fn parked_reason(&self, lane: &LaneKey) -> Result<Option<Reason>, OutboxError> {
        self.faults.read()?;
        self.inner.parked_reason(lane)
    }

    fn writer(&self) -> Result<Option<[u8; 16]>, OutboxError> {
        self.faults.read()?;
        self.inner.writer()
    }

    fn last_sequence_number(&self, session: &SessionId) -> Result<Option<i64>, OutboxError> {
        self.faults.read()?;
        self.inner.last_sequence_number(session)
    }

    fn totals(&self) -> Result<Totals, OutboxError> {
        self.faults.read()?;
        self.inner.totals()
    }

    fn totals_as_committed(&self) -> Option<Totals> {
        self.inner.totals_as_committed()
    }

    fn user(&self) -> Result<Option<UserId>, OutboxError> {
        self.faults.read()?;
        self.inner.user()
    }

    fn paused_until(&self) -> Result<Option<Wall>, OutboxError> {
        self.faults.read()?;
        self.inner.paused_until()
    }

    fn parked_on_probes(&self) -> Result<u32, OutboxError> {
        self.faults.read()?;
        self.inner.parked_on_probes()
    }

    fn lone_failures(&self) -> Result<Vec<LoneFailure>, OutboxError> {
        self.faults.read()?;
        self.inner.lone_failures()
    }

    fn held(&self) -> Result<Vec<Held>, OutboxError> {
        self.faults.read()?;
        self.inner.held()
    }

    fn waiting(&self, limit: usize) -> Result<Vec<WaitingLane>, OutboxError> {
        self.inner.waiting(limit)
    }

    fn held_bytes(&self) -> Result<u64, OutboxError> {
        self.faults.read()?;
        self.inner.held_bytes()
    }

    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        self.faults.read()?;
        self.inner.list(after, limit)
    }
    fn space(&self) -> Result<Option<Space>, OutboxError> {
        self.inner.space()
    }

    fn give_back(&mut self, step: Duration) -> Result<Option<GivenBack>, OutboxError> {
        let started = Instant::now();
        let given = self.inner.give_back(step);
        let counts = &mut self.faults.plan().counts;
        counts.longest_step = counts.longest_step.max(started.elapsed());
        given
    }
}
