//! A wait that needs no timer of the caller's runtime.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Returns after `time`. If the future is dropped before, nothing of the wait remains.
///
/// A thread of its own, because a runtime without timers panics at tokio's `sleep`, and one of its blocking threads
/// would hold up its shutdown. Reads wait seldom.
pub(crate) async fn delay(time: Duration) {
    if time.is_zero() {
        return;
    }
    // Dropped with this future, which ends the thread's wait.
    let (_waiting, dropped) = mpsc::channel::<()>();
    let (done, over) = oneshot::channel();
    let wait = move || {
        let _ = dropped.recv_timeout(time);
        let _ = done.send(());
    };
    // Without a thread there is no wait, which the bound on retries allows for.
    if thread::Builder::new().name("levi-delay".into()).spawn(wait).is_ok() {
        let _ = over.await;
    }
}
