//! Starting, and waiting until the server has everything.

use std::time::Duration;

use levi::{Levi, Reason, Receipt, Status};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::CliError;
use crate::progress::Progress;

/// How the waiting ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Nothing waits any more; some may be set aside.
    Empty,
    /// The server takes nothing, and here is why.
    Stuck(Stuck),
}

/// Why nothing moves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Somebody must sign in.
    SignedOut,
    /// Nothing was accepted for as long as we were to wait.
    NoProgress(Option<Reason>),
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SignedOut => f.write_str("nobody is signed in any more; run `levi login`"),
            Self::NoProgress(Some(reason)) => write!(f, "{} ({})", reason.code, reason.detail),
            Self::NoProgress(None) => f.write_str("the server does not answer"),
        }
    }
}

/// How long the worker may take to find the sign-in that is stored beside it.
const TAKE_UP: Duration = Duration::from_secs(10);

/// Starts the worker of a device that is signed in, and waits until it has taken up that sign-in.
pub(crate) async fn start(levi: &Levi) -> Result<(), CliError> {
    levi.start()?;
    let mut watch = levi.watch_status();
    let taken_up = watch.wait_for(|status| {
        !matches!(status.paused, Some(levi::PauseReason::SignedOut | levi::PauseReason::Refreshing))
    });
    // Where it is not, the waiting for the last message says why.
    let _ = timeout(TAKE_UP, taken_up).await;
    Ok(())
}

/// Waits until nothing is pending, for as long as the server takes something every `patience`. `last` is the message
/// that was stored last: only once it is settled is the status known to be younger than all of them.
pub(crate) async fn settle(
    levi: &Levi,
    last: Option<&Receipt>,
    patience: Duration,
    mut progress: Progress,
) -> Settled {
    let mut watch = levi.watch_status();
    let mut accepted = u64::MAX;
    let mut deadline = Instant::now() + patience;
    let mut last_settled = last.is_none();
    let mut last_one = Box::pin(async {
        if let Some(receipt) = last {
            // Sent, set aside or stopped: the status says which.
            let _ = levi.synced(receipt).await;
        }
    });
    let settled = loop {
        let status = watch.borrow_and_update().clone();
        if status.rows_accepted != accepted {
            accepted = status.rows_accepted;
            deadline = Instant::now() + patience;
        }
        progress.reached(status.rows_accepted);
        progress.state(state(&status));
        if last_settled && is_empty(&status) {
            break Settled::Empty;
        }
        if matches!(status.paused, Some(levi::PauseReason::SignedOut)) {
            break Settled::Stuck(Stuck::SignedOut);
        }
        tokio::select! {
            () = &mut last_one, if !last_settled => last_settled = true,
            changed = timeout_at(deadline, watch.changed()) => {
                if changed.is_err() {
                    break Settled::Stuck(Stuck::NoProgress(reason(&status)));
                }
            }
        }
    };
    progress.finish();
    settled
}

/// Nothing waits, and of what is to be done besides only what waits for a person is left.
fn is_empty(status: &Status) -> bool {
    let control_rows_rest = status.totals.control_rows == 0 || status.next_attempt.is_none();
    status.totals.pending_rows == 0
        && status.held_in_memory == 0
        && status.requests_in_flight == 0
        && control_rows_rest
}

fn state(status: &Status) -> String {
    match (&status.paused, &status.last_error) {
        (Some(paused), _) => format!("paused: {}", paused.to_reason().detail),
        (None, Some(error)) => format!("will try again ({})", error.code),
        (None, None) => String::new(),
    }
}

fn reason(status: &Status) -> Option<Reason> {
    let paused = status.paused.as_ref().map(levi::PauseReason::to_reason);
    let failed = status.last_error.as_ref();
    paused.or_else(|| {
        failed.map(|error| Reason { code: error.code.clone(), detail: "the server's last answer".into() })
    })
}
