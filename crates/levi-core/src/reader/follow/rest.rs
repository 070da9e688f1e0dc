//! How a follower waits between two polls.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use super::Follow;
use crate::delay::delay;

/// How often a follower that waits looks at the clocks.
const LOOKS_EVERY: Duration = Duration::from_secs(30);

/// Waits of a follower. The default waits on a thread, and needs no timer of the runtime.
#[doc(hidden)]
#[async_trait]
pub trait Timer: Send + Sync {
    /// Returns after `time`.
    async fn sleep(&self, time: Duration);
}

pub(super) struct ThreadTimer;

#[async_trait]
impl Timer for ThreadTimer {
    async fn sleep(&self, time: Duration) {
        delay(time).await;
    }
}

/// What ended a wait.
#[derive(Clone, Copy)]
enum WokenBy {
    Time,
    Network,
    Notifier,
}

impl Follow<'_> {
    /// Waits until the next poll is due, or something may have changed.
    pub(super) async fn rest(&mut self) {
        loop {
            let left = self.next.most.since(self.now());
            if left.is_zero() {
                return;
            }
            // The timer knows the monotonic clock only, which stands still while the machine
            // sleeps.
            let left = left.min(LOOKS_EVERY);
            if self.next.most <= self.next.least {
                // Nothing makes this wait shorter.
                Arc::clone(&self.timer).sleep(left).await;
                continue;
            }
            let woken_by = self.wait(left).await;
            self.report_notifications();
            match woken_by {
                WokenBy::Time => continue,
                WokenBy::Notifier => {}
                WokenBy::Network => self.notifier.iter().for_each(|notifier| notifier.network_changed()),
            }
            self.next.most = self.next.least;
        }
    }

    async fn wait(&mut self, time: Duration) -> WokenBy {
        let (timer, notifier) = (Arc::clone(&self.timer), self.notifier.clone());
        let mut sleep = pin!(timer.sleep(time));
        let mut network = pin!(async {
            if self.network.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        let mut notified = pin!(async {
            match &notifier {
                Some(notifier) => notifier.changed().await,
                None => std::future::pending().await,
            }
        });
        poll_fn(|context| {
            if network.as_mut().poll(context).is_ready() {
                return Poll::Ready(WokenBy::Network);
            }
            if notified.as_mut().poll(context).is_ready() {
                return Poll::Ready(WokenBy::Notifier);
            }
            sleep.as_mut().poll(context).map(|()| WokenBy::Time)
        })
        .await
    }
}
