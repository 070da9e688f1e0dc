//! Waits that need no timer of the caller's runtime.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Returns after `time`. If the future is dropped before, nothing of the wait remains.
pub(crate) async fn delay(time: Duration) {
    if time.is_zero() {
        return;
    }
    // Without a thread there is no wait, which the bound on retries allows for.
    if let Some(timer) = Timer::start(time) {
        let _ = timer.over.await;
    }
}

/// What `work` returns, or `None` if it takes longer than `time`. Without a thread there is no bound.
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let Some(mut timer) = Timer::start(time) else { return Some(work.await) };
    let mut work = pin!(work);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Pin::new(&mut timer.over).poll(context).map(|_| None),
    })
    .await
}

/// A thread of its own, because a runtime without timers panics at tokio's `sleep`, and one of its blocking threads
/// would hold up its shutdown. Waits are rare.
struct Timer {
    over: oneshot::Receiver<()>,
    /// Dropped with the timer, which ends the thread's wait.
    _waiting: mpsc::Sender<()>,
}

impl Timer {
    fn start(time: Duration) -> Option<Self> {
        let (waiting, dropped) = mpsc::channel::<()>();
        let (done, over) = oneshot::channel();
        let wait = move || {
            let _ = dropped.recv_timeout(time);
            let _ = done.send(());
        };
        thread::Builder::new().name("levi-delay".into()).spawn(wait).ok()?;
        Some(Self { over, _waiting: waiting })
    }
}
