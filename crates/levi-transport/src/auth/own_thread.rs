//! Calls that a person, or a keychain that is stuck, may keep from ever returning.

use tokio::sync::oneshot;

/// Runs `work` on a thread of its own and waits for its result. `None`: there is no thread, or `work` panicked.
///
/// Not on one of the runtime's blocking threads, because a runtime that is dropped waits for those. Nobody waits for
/// this one once the future is dropped.
pub(super) async fn on_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("levi-credentials".into());
    // The caller may have stopped waiting.
    thread.spawn(move || drop(sender.send(work()))).ok()?;
    result.await.ok()
}
