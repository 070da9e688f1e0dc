//! Enqueues many messages without waiting for each commit, in order.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use levi::{EnqueueError, Levi, LeviConfig, MessageSyncRequest, Receipt};
use tokio::task::unconstrained;

/// The most messages that wait for their commit at the same time: several group commits.
const MAX_MESSAGES: usize = 2048;

type Storing<'a> = Pin<Box<dyn Future<Output = Result<Receipt, EnqueueError>> + Send + 'a>>;

/// Messages on their way to the outbox. `T` is what the caller wants back with each message's
/// result.
pub(crate) struct Pipeline<'a, T> {
    levi: &'a Levi,
    pending: VecDeque<Pending<'a, T>>,
    bytes: usize,
    max_bytes: usize,
    last_receipt: Option<Receipt>,
    replaces: Replaces,
}

/// What messages may replace on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// Nothing but earlier texts of the same messages.
    Nothing,
    /// Any text.
    AnyText,
}

/// Replaces the message that the outbox has at the position, too: as a later text of that message.
async fn replace(levi: &Levi, request: MessageSyncRequest) -> Result<Receipt, EnqueueError> {
    match levi.replace_durable(request.clone()).await {
        Err(EnqueueError::SequenceConflict { holder, .. }) => {
            levi.replace_durable(MessageSyncRequest { message_id: holder, ..request }).await
        }
        stored => stored,
    }
}

struct Pending<'a, T> {
    tag: T,
    bytes: usize,
    storing: Storing<'a>,
}

impl<'a, T> Pipeline<'a, T> {
    pub(crate) fn new(levi: &'a Levi) -> Self {
        // Half of what Levi's queue holds, so that an enqueued message never waits for room in the
        // queue: messages that wait there could overtake one another.
        let max_bytes = LeviConfig::default().max_queued_bytes / 2;
        Self {
            levi,
            pending: VecDeque::new(),
            bytes: 0,
            max_bytes,
            last_receipt: None,
            replaces: Replaces::Nothing,
        }
    }

    /// Whether the caller must take a [result](Self::next_result) before it enqueues the next
    /// message.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= MAX_MESSAGES || self.bytes >= self.max_bytes
    }

    /// Messages replace whatever text the server has at their positions.
    pub(crate) const fn replacing(mut self, replaces: Replaces) -> Self {
        self.replaces = replaces;
        self
    }

    /// Puts a message into Levi's queue. It may not be on disk yet when this returns.
    pub(crate) async fn enqueue(&mut self, tag: T, request: MessageSyncRequest) {
        let bytes = request.content.len() + levi::core::QUEUE_OVERHEAD;
        // Unconstrained, because the first poll must always get as far as the queue.
        let mut storing: Storing<'a> = match self.replaces {
            Replaces::Nothing => Box::pin(unconstrained(self.levi.enqueue_durable(request))),
            Replaces::AnyText => Box::pin(unconstrained(replace(self.levi, request))),
        };
        let first = poll_fn(|context| Poll::Ready(storing.as_mut().poll(context))).await;
        if let Poll::Ready(result) = first {
            storing = Box::pin(std::future::ready(result));
        }
        self.bytes += bytes;
        self.pending.push_back(Pending { tag, bytes, storing });
    }

    /// Waits until the oldest message is stored or refused; `None` if no message is pending. If the future is dropped,
    /// no result is lost.
    pub(crate) async fn next_result(&mut self) -> Option<(T, Result<Receipt, EnqueueError>)> {
        let result = self.pending.front_mut()?.storing.as_mut().await;
        let oldest = self.pending.pop_front()?;
        self.bytes -= oldest.bytes;
        if let Ok(receipt) = &result {
            self.last_receipt = Some(receipt.clone());
        }
        Some((oldest.tag, result))
    }

    /// The receipt of the message that was stored last.
    pub(crate) const fn last_receipt(&self) -> Option<&Receipt> {
        self.last_receipt.as_ref()
    }
}
