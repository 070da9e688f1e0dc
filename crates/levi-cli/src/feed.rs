//! Many messages on their way to the disk at once, in the order in which they were handed in.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use levi::{EnqueueError, Levi, LeviConfig, MessageSyncRequest, Receipt};
use tokio::task::unconstrained;

/// Messages that wait for the disk at once: several group commits.
const MOST_MESSAGES: usize = 2048;

type Storing<'a> = Pin<Box<dyn Future<Output = Result<Receipt, EnqueueError>> + Send + 'a>>;

/// Hands messages to a Levi, many at once. `T` goes with each message and comes back with what became of it.
pub(crate) struct Feed<'a, T> {
    levi: &'a Levi,
    under_way: VecDeque<UnderWay<'a, T>>,
    bytes: usize,
    most_bytes: usize,
    last: Option<Receipt>,
}

struct UnderWay<'a, T> {
    tag: T,
    bytes: usize,
    storing: Storing<'a>,
}

impl<'a, T> Feed<'a, T> {
    pub(crate) fn new(levi: &'a Levi) -> Self {
        // Half of what Levi's queue takes: a message is queued the moment it is handed over and never waits for
        // room, for those that wait could overtake one another.
        let most_bytes = LeviConfig::default().max_queued_bytes / 2;
        Self { levi, under_way: VecDeque::new(), bytes: 0, most_bytes, last: None }
    }

    /// Whether one must be [taken out](Self::stored) before the next is handed over.
    pub(crate) fn is_full(&self) -> bool {
        self.under_way.len() >= MOST_MESSAGES || self.bytes >= self.most_bytes
    }

    /// Hands a message over: it is queued when this returns.
    pub(crate) async fn hand_over(&mut self, tag: T, request: MessageSyncRequest) {
        let bytes = request.content.len() + levi::QUEUE_OVERHEAD;
        // Unconstrained, so that the first poll always gets as far as the queue.
        let mut storing: Storing<'a> = Box::pin(unconstrained(self.levi.enqueue_durable(request)));
        let first = poll_fn(|context| Poll::Ready(storing.as_mut().poll(context))).await;
        if let Poll::Ready(result) = first {
            storing = Box::pin(std::future::ready(result));
        }
        self.bytes += bytes;
        self.under_way.push_back(UnderWay { tag, bytes, storing });
    }

    /// What became of the oldest message under way; `None` if there is none.
    pub(crate) async fn stored(&mut self) -> Option<(T, Result<Receipt, EnqueueError>)> {
        let oldest = self.under_way.pop_front()?;
        let result = oldest.storing.await;
        self.bytes -= oldest.bytes;
        if let Ok(receipt) = &result {
            self.last = Some(receipt.clone());
        }
        Some((oldest.tag, result))
    }

    /// The message that was stored last.
    pub(crate) const fn last(&self) -> Option<&Receipt> {
        self.last.as_ref()
    }
}
