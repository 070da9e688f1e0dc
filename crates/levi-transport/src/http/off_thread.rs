//! Blocking work on a thread that nobody has to wait for.

use std::io;
use std::thread::Builder;

use tokio::sync::oneshot;

/// Runs `work` on a thread of its own. If the future is dropped, the thread goes on and its result is dropped.
///
/// It is not tokio's `spawn_blocking`, because a runtime that is dropped waits for its blocking threads: a server that does
/// not answer would hold up the end of the process.
///
/// # Errors
/// If there is no thread, or `work` panicked.
pub(super) async fn off_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (result, ended) = oneshot::channel();
    Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody wants the result any more if this fails.
        let _ = result.send(work());
    })?;
    ended.await.map_err(|_| io::Error::other("the thread panicked"))
}
