//! How a read goes about it: how often it is tried again, and how large its pages are.

use std::sync::Arc;
use std::time::Duration;

use levi_outbox::backoff::Backoff;
use levi_transport::{ApiError, SharedPageSize};

/// How often a read is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    /// The delays, as for uploads.
    pub(crate) backoff: Backoff,
    /// Retries of one page.
    pub(crate) most: u32,
}

impl Retries {
    /// The caller tries again by itself.
    pub(crate) fn none() -> Self {
        Self { backoff: Backoff::default(), most: 0 }
    }
}

impl Default for Retries {
    /// Half a minute: 2, 4, 8 and 16 s.
    fn default() -> Self {
        Self { backoff: Backoff::default(), most: 4 }
    }
}

/// Is told of each read that is tried again: why the request failed, and how long the wait before the next one is.
pub type OnReadRetry = Arc<dyn Fn(&ApiError, Duration) + Send + Sync>;

/// The sizes of pages that worked, for each table.
#[derive(Clone, Debug)]
pub(crate) struct PageSizes {
    pub(crate) messages: SharedPageSize,
    pub(crate) secrets: SharedPageSize,
    pub(crate) devices: SharedPageSize,
    pub(crate) sessions: SharedPageSize,
    pub(crate) repositories: SharedPageSize,
}

impl Default for PageSizes {
    fn default() -> Self {
        Self {
            messages: SharedPageSize::new(1000),
            secrets: SharedPageSize::new(200),
            devices: SharedPageSize::new(1000),
            sessions: SharedPageSize::new(1000),
            repositories: SharedPageSize::new(1000),
        }
    }
}
