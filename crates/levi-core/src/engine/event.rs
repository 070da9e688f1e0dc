//! What the engine takes in, and what it asks its caller to do.

use std::time::Duration;

use levi_outbox::{LaneKey, NewRow, Overwrite};
use levi_transport::Upsert;
use levi_types::{SessionId, UserId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::committed_batch::{CommittedBatch, Receipt, Stored, Tried};
use crate::batcher::{BatchId, Input};
use crate::control::Presence;
use crate::error::{EnqueueError, SyncedError};
use crate::sealer::Message;
use crate::write_messages::SentMessage;

/// A message on its way to the disk.
#[derive(Debug)]
pub struct Intake {
    /// The message, as [`Sealer::prepare`](super::Sealer::prepare) returns it.
    pub message: Message,
    /// The message's share of the queue, given back once it is on disk and the caller was completed.
    pub permit: Option<OwnedSemaphorePermit>,
    /// Completed once the message is on disk.
    pub reply: Option<oneshot::Sender<Stored>>,
    /// What the message may replace on the server.
    pub overwrite: Overwrite,
}

/// A control row on its way to the disk.
#[derive(Debug)]
pub struct ControlIntake {
    /// The row.
    pub row: NewRow,
    /// Completed once the row was tried, or cannot be for now.
    pub reply: oneshot::Sender<Tried>,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A message was enqueued.
    Enqueue(Intake),
    /// Control rows were enqueued.
    EnqueueControl {
        /// The rows, parents first.
        rows: Vec<ControlIntake>,
        /// After this time their callers are completed in any case.
        within: Duration,
    },
    /// Something that only the batcher needs to know.
    Input(Input),
    /// A caller waits until the server has a stored message.
    Watch {
        /// The message.
        receipt: Receipt,
        /// Completed once the server has it.
        reply: oneshot::Sender<Result<(), SyncedError>>,
    },
    /// A caller asks for the highest sequence number of a session that is known here.
    LastNumber {
        /// The session.
        session: SessionId,
        /// Completed at once.
        reply: oneshot::Sender<Result<Option<i64>, EnqueueError>>,
    },
    /// A session's key is known now.
    KeyArrived(SessionId),
    /// Another process wrote to the outbox.
    WrittenElsewhere,
    /// Take no more messages; send what is due.
    Stop {
        /// The engine is finished after this time in any case.
        within: Duration,
    },
}

/// Something to be done outside the engine.
#[derive(Debug)]
pub enum Effect {
    /// Post a batch; the response is [`Input::Outcome`].
    Send {
        /// The request's id.
        batch: BatchId,
        /// For whom its rows were recorded: it is sent with this user's token or not at all.
        user: Option<UserId>,
        /// The request.
        insert: Upsert,
        /// Its messages, in order.
        messages: Vec<SentMessage>,
        /// The epoch of the user's device list by which they are sealed, if there is a list. If it is over by the time of
        /// the request, the response is [`Input::Vanished`], and the batch is built again.
        epoch: Option<u32>,
    },
    /// Send a control row; the response is [`Input::Outcome`].
    SendControl {
        /// The request's id.
        batch: BatchId,
        /// For whom the row was recorded: it is sent as this user or not at all.
        user: Option<UserId>,
        /// The row's lane.
        key: LaneKey,
        /// The row's payload in the outbox.
        payload: Vec<u8>,
        /// Whether the server had the session of a session's row once.
        presence: Presence,
    },
    /// Ask for a fresh token; the response is [`Input::SignedIn`], [`Input::RefreshUnavailable`],
    /// [`Input::RefreshImpossible`] or [`Input::RefreshRefused`].
    Refresh,
    /// The machine is awake again: if nobody is signed in, look whether another process signed in meanwhile.
    /// If so, the response is [`Input::SignInStored`].
    Awake,
    /// Complete callers, because their rows are on disk.
    Complete(CommittedBatch),
}
