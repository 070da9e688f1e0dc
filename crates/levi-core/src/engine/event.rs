use std::sync::Arc;
use std::time::Duration;

use levi_outbox::{DueTask, NewTask, RowKey};
use levi_transport::{ApiError, Upsert};
use levi_types::SessionId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::on_disk::OnDisk;
use crate::batcher::{BatchId, TaskEnd};
use crate::error::{EnqueueError, SyncedError};
use crate::sealer::Message;

/// Proof that a message is on disk; ask [`synced`](crate::Worker::synced) when the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) session_id: SessionId,
    pub(crate) sequence_number: i64,
    pub(crate) key: RowKey,
    pub(crate) replaced: bool,
}

impl Receipt {
    /// The message's session.
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    /// Its place there.
    pub fn sequence_number(&self) -> i64 {
        self.sequence_number
    }

    /// Whether an older payload of the same message, not yet sent or set aside, gave way.
    pub fn replaced(&self) -> bool {
        self.replaced
    }
}

/// A message on its way to the disk.
#[derive(Debug)]
pub struct Intake {
    /// The message, as [`Sealer::hand_in`](super::Sealer::hand_in) leaves it.
    pub message: Message,
    /// Its share of the queue, given back when it is on disk and whoever waits was told.
    pub permit: Option<OwnedSemaphorePermit>,
    /// Who waits for it to be on disk, if anyone.
    pub reply: Option<oneshot::Sender<Result<Receipt, EnqueueError>>>,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A message came.
    Enqueue(Intake),
    /// A request ended.
    Outcome {
        /// Which batch it sent.
        batch: BatchId,
        /// Whether the server wrote its rows.
        result: Result<(), ApiError>,
    },
    /// A task ended.
    TaskEnded {
        /// Which.
        task: DueTask,
        /// How.
        end: TaskEnd,
    },
    /// Tasks to be recorded; told once they are on disk.
    PutTasks {
        /// The tasks.
        tasks: Vec<NewTask>,
        /// Who waits; told which of the tasks cannot run yet, for a parent that came earlier is not done.
        reply: oneshot::Sender<Result<Vec<String>, Arc<levi_outbox::OutboxError>>>,
    },
    /// Answered once everything that happened before is in the published status.
    Barrier(oneshot::Sender<()>),
    /// Tell when the server has a stored message.
    Watch {
        /// Which.
        receipt: Receipt,
        /// Who waits.
        reply: oneshot::Sender<Result<(), SyncedError>>,
    },
    /// A stored sign-in may be there: ask for its token.
    SignInStored,
    /// A token is there.
    SignedIn,
    /// The token was taken away.
    SignedOut,
    /// No fresh token could be had.
    RefreshFailed {
        /// Whether asking again later may help.
        transient: bool,
    },
    /// A session's key arrived.
    KeyArrived(SessionId),
    /// Somebody else wrote to the outbox.
    WrittenElsewhere,
    /// The network may be back.
    NetworkChanged,
    /// Take no more messages; send what is due.
    Stop {
        /// For so long at most.
        within: Duration,
    },
}

/// Something to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Post a batch; answer with [`Event::Outcome`].
    Send {
        /// Its name.
        batch: BatchId,
        /// What to post.
        upsert: Upsert,
    },
    /// Ask for a fresh token; answer with [`Event::SignedIn`] or [`Event::RefreshFailed`].
    Refresh,
    /// Run a task; answer with [`Event::TaskEnded`].
    RunTask(DueTask),
    /// Tell callers that their messages are on disk, by dropping this.
    Tell(OnDisk),
}
