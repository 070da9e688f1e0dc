//! Says on stderr why something waits, as soon as that is known: once, and again when the reason changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levi::core::OnReadRetry;
use levi::transport::Verdict;
use levi::{Levi, PauseReason, Status};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::console::{Console, Diagnostic};
use crate::text::seconds;
use crate::wait::next_attempt_in;

/// What was said last.
pub(crate) struct Notices {
    console: Console,
    last: Mutex<Option<String>>,
}

impl Notices {
    pub(crate) fn new(console: Console) -> Arc<Self> {
        Arc::new(Self { console, last: Mutex::default() })
    }

    /// Says `reason`, unless it was said last. `next`: how long until the next attempt.
    fn waits(&self, reason: String, next: Option<Duration>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(&reason) {
            return;
        }
        let next =
            next.map_or_else(String::new, |next| format!("; next try in {}", seconds(next.as_secs_f64())));
        self.console.report(&Diagnostic::new(format!("{reason}{next}")));
        *last = Some(reason);
    }

    /// Nothing is wrong any more.
    fn goes_on(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Says why reads are tried again.
    pub(crate) fn of_reads(self: Arc<Self>) -> OnReadRetry {
        Arc::new(move |error, next| {
            self.waits(format!("{} ({}): {}", error.verdict, error.code, error.detail), Some(next));
        })
    }

    /// Says why the worker waits, until the returned value is dropped.
    pub(crate) fn of_worker(self: Arc<Self>, levi: &Levi) -> Watching {
        let mut watch = levi.watch_status();
        Watching(tokio::spawn(async move {
            loop {
                let status = watch.borrow_and_update().clone();
                match why(&status) {
                    Some(reason) => self.waits(reason, next_attempt_in(&status)),
                    None if status.last_error.is_none() && status.paused.is_none() => self.goes_on(),
                    None => {}
                }
                if watch.changed().await.is_err() {
                    return;
                }
            }
        }))
    }
}

/// How long a request may take before somebody is told that it does.
const LONG: Duration = Duration::from_secs(10);

/// What `request` returns. Says meanwhile that the server has not answered, if that takes long.
pub(crate) async fn answered<T>(console: Console, request: impl Future<Output = T>) -> T {
    let mut request = std::pin::pin!(request);
    if let Ok(answer) = timeout(LONG, &mut request).await {
        return answer;
    }
    let waited = seconds(LONG.as_secs_f64());
    console.report(&Diagnostic::new(format!("the server has not answered for {waited}; still waiting")));
    request.await
}

/// A task that ends when this is dropped.
pub(crate) struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why the worker waits for the server, if a person does not know that yet.
fn why(status: &Status) -> Option<String> {
    match &status.paused {
        // The command says so at its end, or goes on in a moment.
        Some(PauseReason::SignedOut | PauseReason::Refreshing) => None,
        Some(paused) => {
            let reason = paused.to_reason();
            Some(format!("{} ({})", reason.detail, reason.code))
        }
        None => {
            // After a refused token, a fresh one is asked for first.
            let error = status.last_error.as_ref().filter(|error| error.verdict != Verdict::SignedOut)?;
            Some(format!("{} ({})", error.verdict, error.code))
        }
    }
}

#[cfg(test)]
mod tests {
    use levi::core::LastError;
    use levi::types::Wall;

    use super::*;

    #[test]
    fn a_refused_token_that_is_replaced_in_a_moment_is_no_news() {
        let failed = |verdict| {
            let mut status = Status::default();
            let at = Wall::from_millis(0);
            status.last_error = Some(LastError { verdict, code: "x".into(), at });
            status
        };
        assert_eq!(why(&failed(Verdict::SignedOut)), None);
        assert!(why(&failed(Verdict::Busy)).is_some_and(|why| why.contains("busy")));
    }
}
