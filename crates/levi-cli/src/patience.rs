//! How long a command waits in all while the server accepts nothing.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// One patience for all waits of a command: what one has used up, the next one has not.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Waited since the server last accepted something.
    waited: Duration,
    /// Rows that the server had accepted when that was looked at last.
    accepted: u64,
}

impl Patience {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, accepted: 0 }
    }

    /// The server answered.
    pub(crate) const fn answered(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// The server has accepted so many rows in all.
    pub(crate) const fn accepted(&mut self, rows: u64) {
        if rows != self.accepted {
            self.accepted = rows;
            self.answered();
        }
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.waited)
    }

    /// What `work` returns; `None` once the patience is used up. `work` has at least one chance to begin.
    pub(crate) async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let done = timeout(self.left(), work).await.ok();
        self.waited = self.waited.saturating_add(began.elapsed());
        done
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn waits_share_one_patience_until_the_server_accepts_something() {
        let limit = Duration::from_millis(20);
        let mut patience = Patience::new(limit);
        assert_eq!(patience.wait(pending::<()>()).await, None);
        assert_eq!(patience.left(), Duration::ZERO);
        assert_eq!(patience.wait(ready(1)).await, Some(1), "what is there is taken");
        patience.accepted(5);
        assert_eq!(patience.left(), limit);
        assert_eq!(patience.wait(pending::<()>()).await, None);
        patience.accepted(5);
        assert_eq!(patience.left(), Duration::ZERO, "nothing more was accepted");
    }
}
