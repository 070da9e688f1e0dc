//! Calls of the credentials store, each on a thread that no runtime waits for.
//!
//! These are not tokio's blocking threads, because a runtime that is dropped waits for those: a
//! keychain that asks a person, or hangs, would delay the end of the process. No runtime is needed,
//! because `StoredAuth` has none.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Builder;
use std::time::Duration;

use levi_types::{Credentials, CredentialsError};

/// What happens to a call that has begun when its future is dropped.
#[derive(Clone, Copy)]
pub(super) enum OnDrop {
    /// Nothing: nobody needs its result.
    Leave,
    /// The drop waits 300 ms for it to end, because new tokens that are not stored would be lost. A
    /// keychain that answers takes a few milliseconds. Only for futures that are dropped by nothing
    /// but the end of their runtime.
    #[cfg(feature = "http")]
    Finish,
}

impl OnDrop {
    const fn time(self) -> Duration {
        match self {
            Self::Leave => Duration::ZERO,
            #[cfg(feature = "http")]
            Self::Finish => Duration::from_millis(300),
        }
    }
}

/// Calls `work`. `None`: there is no thread for it, or it panicked.
pub(super) async fn detached<T: Send + 'static>(
    credentials: &Arc<dyn Credentials>,
    on_drop: OnDrop,
    work: impl FnOnce(&dyn Credentials) -> Result<T, CredentialsError> + Send + 'static,
) -> Option<Result<T, CredentialsError>> {
    let call = Arc::new(Call { state: Mutex::new(State::Running(None)), ended: Condvar::new() });
    let (credentials, end) = (Arc::clone(credentials), EndOnDrop(Arc::clone(&call)));
    let run = move || end.0.end(Some(work(&*credentials)));
    Builder::new().name("levi-credentials".into()).spawn(run).ok()?;
    Called { call, on_drop }.await
}

struct Call<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

enum State<T> {
    Running(Option<Waker>),
    /// `None`: it panicked, or the result was taken.
    Ended(Option<T>),
}

impl<T> Call<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first call decides.
    fn end(&self, result: Option<T>) {
        let mut state = self.lock();
        if let State::Running(waiting) = &mut *state {
            let waiting = waiting.take();
            *state = State::Ended(result);
            drop(state);
            self.ended.notify_all();
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// On the call's thread: ends the call even if it panics.
struct EndOnDrop<T>(Arc<Call<T>>);

impl<T> Drop for EndOnDrop<T> {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

/// The caller's side.
struct Called<T> {
    call: Arc<Call<T>>,
    on_drop: OnDrop,
}

impl<T> Future for Called<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut *self.call.lock() {
            State::Running(waiting) => {
                *waiting = Some(context.waker().clone());
                Poll::Pending
            }
            State::Ended(result) => Poll::Ready(result.take()),
        }
    }
}

impl<T> Drop for Called<T> {
    fn drop(&mut self) {
        let running = |state: &mut State<T>| matches!(state, State::Running(_));
        // At once after the end. The result does not matter any more.
        let _ = self.call.ended.wait_timeout_while(self.call.lock(), self.on_drop.time(), running);
    }
}
