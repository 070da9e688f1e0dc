use std::path::PathBuf;
use std::time::Duration;

use levi_outbox::backoff::Backoff;

/// When the first messages after a quiet time leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// At once if no incomplete batch left within the last `flush_interval`: what is durable by then. What
    /// follows waits until the interval is over, or a batch is complete.
    #[default]
    Leading,
    /// After `flush_interval`, so that the first message shares its request with those that follow it.
    Trailing,
}

/// Batching, retry and size settings. Every field has a default that suits a desktop daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct LeviConfig {
    /// Maximum messages per batch (default: 50).
    pub batch_size: usize,
    /// Time before flushing incomplete batches (default: 500 ms). At most one incomplete batch leaves in each.
    pub flush_interval: Duration,
    /// Whether the first message after a quiet `flush_interval` waits for others (default: it does not).
    pub flush: Flush,
    /// Initial retry delay (default: 2 s).
    pub backoff_base: Duration,
    /// Maximum retry delay (default: 300 s).
    pub backoff_max: Duration,
    /// The largest share of a delay that jitter adds to it, 0 to 1 (default: 0.1). Jitter never shortens a delay.
    pub backoff_jitter: f64,
    /// Bytes of one request's body (default: 1 MB). One message larger than this goes alone.
    pub max_batch_bytes: usize,
    /// Messages per batch while a backlog is drained (default: 500).
    pub catch_up_batch_size: usize,
    /// Requests in flight at once, each for other sessions (default: 4).
    pub max_in_flight: usize,
    /// Attempts at a row that row level security refuses, or that fails alone while other requests get through, before it
    /// is parked (default: 8). Where a request as large got through, such a failure has four times as many attempts.
    pub max_attempts_rejected: u32,
    /// Bytes of plaintext in one message (default: 1 MiB).
    pub max_message_bytes: usize,
    /// Bytes of messages that are accepted and not on disk yet (default: 8 MiB); encrypted, they take a third
    /// more. At the bound `enqueue` refuses and `enqueue_durable` waits.
    pub max_queued_bytes: usize,
    /// Bytes waiting on disk (default: 1 GiB). At the bound intake refuses. What waits for users who are not signed in
    /// does not count, but all users together have twice that.
    pub max_pending_bytes: u64,
    /// The folder of the default outbox; `None` (the default) is the user's data folder.
    pub data_dir: Option<PathBuf>,
}

impl Default for LeviConfig {
    fn default() -> Self {
        let Backoff { base, max, jitter } = Backoff::default();
        Self {
            batch_size: 50,
            flush_interval: Duration::from_millis(500),
            flush: Flush::Leading,
            backoff_base: base,
            backoff_max: max,
            backoff_jitter: jitter,
            max_batch_bytes: 1_000_000,
            catch_up_batch_size: 500,
            max_in_flight: 4,
            max_attempts_rejected: 8,
            max_message_bytes: 1 << 20,
            max_queued_bytes: 8 << 20,
            max_pending_bytes: 1 << 30,
            data_dir: None,
        }
    }
}

/// A setting that cannot work, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// A count or a size of zero.
    #[error("{field} is zero; it must be at least 1")]
    Zero {
        /// Which setting.
        field: &'static str,
    },
    /// `backoff_jitter` outside 0 to 1.
    #[error("backoff_jitter must be between 0 and 1")]
    Jitter,
    /// The longest delay is shorter than the first.
    #[error("backoff_max is shorter than backoff_base")]
    BackoffOrder,
    /// Batches while catching up would be smaller than ordinary ones.
    #[error("catch_up_batch_size is smaller than batch_size")]
    CatchUpOrder,
    /// One message of the largest size would never fit the queue.
    #[error("max_queued_bytes must be at least max_message_bytes + {overhead}")]
    QueueTooSmall {
        /// What the queue charges for a message besides its content.
        overhead: usize,
    },
}

/// Bytes that the intake queue charges for a message in addition to its content.
pub const QUEUE_OVERHEAD: usize = 1024;

impl LeviConfig {
    /// Checks what can be invalid, once, before anything starts.
    ///
    /// # Errors
    /// [`InvalidConfig`], naming the setting.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let counts = [
            ("batch_size", self.batch_size),
            ("max_batch_bytes", self.max_batch_bytes),
            ("max_in_flight", self.max_in_flight),
            ("max_message_bytes", self.max_message_bytes),
            ("max_attempts_rejected", self.max_attempts_rejected as usize),
            ("backoff_base", usize::from(!self.backoff_base.is_zero())),
            ("max_pending_bytes", usize::from(self.max_pending_bytes > 0)),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return Err(InvalidConfig::Zero { field });
        }
        if !(0.0..=1.0).contains(&self.backoff_jitter) {
            return Err(InvalidConfig::Jitter);
        }
        if self.backoff_max < self.backoff_base {
            return Err(InvalidConfig::BackoffOrder);
        }
        if self.catch_up_batch_size < self.batch_size {
            return Err(InvalidConfig::CatchUpOrder);
        }
        if self.max_queued_bytes < self.max_message_bytes.saturating_add(QUEUE_OVERHEAD) {
            return Err(InvalidConfig::QueueTooSmall { overhead: QUEUE_OVERHEAD });
        }
        Ok(())
    }

    /// The retry schedule these settings describe.
    pub fn backoff(&self) -> Backoff {
        Backoff { base: self.backoff_base, max: self.backoff_max, jitter: self.backoff_jitter }
    }

    /// The longest delay the schedule can give, jitter included. A due time further away than this means
    /// that the wall clock jumped.
    pub fn longest_delay(&self) -> Duration {
        self.backoff().longest()
    }
}
