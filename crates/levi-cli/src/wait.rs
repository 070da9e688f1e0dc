//! Starting the worker, and waiting until the server has everything.

use std::time::Duration;

use levi::core::SystemClock;
use levi::outbox::Reason;
use levi::types::Clock as _;
use levi::{DeviceListProblem, DeviceListState, Levi, PauseReason, Receipt, Status};
use tokio::time::timeout;

use crate::error::CliError;
use crate::patience::Patience;
use crate::progress::Progress;
use crate::text::seconds;

/// How long the worker may take to load the stored sign-in.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why messages are still pending.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stalled {
    #[error("not signed in any more; run `levi login`")]
    SignedOut,
    /// The server accepted nothing for as long as the caller wanted to wait.
    #[error("{code} ({detail})", code = .0.code, detail = .0.detail)]
    Refused(Reason),
    #[error("the server does not answer")]
    NoAnswer,
    #[error("stopped by a signal")]
    Stopped,
    /// The device list does not let anything be sealed.
    #[error("{0}")]
    DeviceList(DeviceListProblem),
}

/// Starts the worker of a device that is signed in, and waits until it has loaded the stored
/// sign-in.
pub(crate) async fn start(levi: &Levi) -> Result<(), CliError> {
    let mut watch = levi.watch_status();
    levi.start()?;
    let loaded = async {
        // What there is before the worker has said anything tells nothing.
        watch.changed().await.ok()?;
        let is_loaded = |status: &Status| {
            !matches!(status.paused, Some(PauseReason::SignedOut | PauseReason::Refreshing))
        };
        watch.wait_for(is_loaded).await.ok().map(drop)
    };
    // After a timeout `wait_until_synced` reports the reason.
    let _ = timeout(SIGN_IN_TIMEOUT, loaded).await;
    Ok(())
}

/// Waits until messages can be sealed: until then what is enqueued cannot be compared with what the server has. After a
/// timeout they are stored all the same.
pub(crate) async fn may_seal(levi: &Levi) {
    let mut watch = levi.watch_status();
    let may_seal = watch.wait_for(|status| status.device_list.may_seal());
    let _ = timeout(SIGN_IN_TIMEOUT, may_seal).await;
}

/// Waits until nothing is pending; some messages may be parked then. Gives up once the server has
/// accepted nothing for `patience`.
///
/// `last` is the receipt of the message that was stored last: the status covers all messages only
/// after that one is synced or parked.
pub(crate) async fn wait_until_synced(
    levi: &Levi,
    last: Option<&Receipt>,
    patience: &mut Patience,
    mut progress: Progress,
) -> Result<(), Stalled> {
    let mut watch = levi.watch_status();
    let mut last_is_done = last.is_none();
    let mut last_message = Box::pin(async {
        if let Some(receipt) = last {
            // Synced, parked or stopped: the status says which.
            let _ = levi.synced(receipt).await;
        }
    });
    let outcome = loop {
        let status = watch.borrow_and_update().clone();
        patience.accepted(status.rows_accepted);
        progress.reached(status.rows_accepted);
        progress.state(state(&status));
        if last_is_done && nothing_is_pending(&status) {
            break Ok(());
        }
        if last_is_done && only_blocked_rows_are_left(&status) {
            break Err(reason(&status).map_or(Stalled::NoAnswer, Stalled::Refused));
        }
        if matches!(status.paused, Some(PauseReason::SignedOut)) {
            break Err(Stalled::SignedOut);
        }
        if is_idle(&status)
            && let Some(known) = device_list_problem(&status.device_list)
            && let Some(problem) = patience.wait(look_again(levi)).await.unwrap_or(Some(known))
        {
            break Err(Stalled::DeviceList(problem));
        }
        tokio::select! {
            () = &mut last_message, if !last_is_done => last_is_done = true,
            changed = patience.wait(watch.changed()) => {
                if changed.is_none() {
                    break Err(reason(&status).map_or(Stalled::NoAnswer, Stalled::Refused));
                }
            }
        }
    };
    progress.finish();
    outcome
}

/// Whether the worker has nothing to do. Control rows without a next attempt wait for a parked row. Secrets that
/// some devices cannot be given for now are tried again by later runs.
fn nothing_is_pending(status: &Status) -> bool {
    let held: u64 = status.held.iter().map(|held| held.pending).sum();
    if held > 0 && status.totals.pending_rows + status.totals.control_rows <= held {
        // What is left waits for somebody else.
        return status.held_in_memory == 0 && status.requests_in_flight == 0;
    }
    let control_rows_rest =
        status.totals.control_rows <= status.incomplete_secrets || status.next_attempt.is_none();
    status.totals.pending_rows == 0
        && status.held_in_memory == 0
        && status.requests_in_flight == 0
        && control_rows_rest
}

/// Why nothing is sealed, unless that may pass within seconds.
fn device_list_problem(list: &DeviceListState) -> Option<DeviceListProblem> {
    match list {
        DeviceListState::Stopped(DeviceListProblem::NotLooked | DeviceListProblem::NoKeyring) => None,
        DeviceListState::Stopped(problem) => Some(problem.clone()),
        _ => None,
    }
}

/// Why nothing is sealed, as of now: what an earlier process has stored may be over.
async fn look_again(levi: &Levi) -> Option<DeviceListProblem> {
    let state = match levi.device_list() {
        Ok(list) => list.state().await.ok(),
        Err(_) => None,
    };
    device_list_problem(&state.unwrap_or_else(|| levi.status().device_list))
}

fn is_idle(status: &Status) -> bool {
    status.requests_in_flight == 0 && status.held_in_memory == 0
}

/// Whether nothing happens any more until a parked row, on which others depend, is retried.
fn only_blocked_rows_are_left(status: &Status) -> bool {
    let idle = status.requests_in_flight == 0 && status.next_attempt.is_none() && status.paused.is_none();
    idle && status.held_in_memory == 0 && !status.parked_parents.is_empty()
}

fn state(status: &Status) -> String {
    match (&status.paused, &status.last_error) {
        (Some(paused), _) => format!("paused: {}{}", paused.to_reason().detail, next_try(status)),
        (None, Some(error)) => format!("will try again ({})", error.code),
        (None, None) => String::new(),
    }
}

/// How long until Levi tries again by itself.
pub(crate) fn next_attempt_in(status: &Status) -> Option<Duration> {
    let now = SystemClock::new().now().wall;
    status.next_attempt.map(|at| at.since(now))
}

fn next_try(status: &Status) -> String {
    let next = next_attempt_in(status);
    next.map_or_else(String::new, |next| format!(", next try in {}", seconds(next.as_secs_f64())))
}

fn reason(status: &Status) -> Option<Reason> {
    let parked = status.parked_parents.first().map(|parent| parent.reason.clone());
    let paused = status.paused.as_ref().map(PauseReason::to_reason);
    let paused = paused
        .map(|Reason { code, detail }| Reason { code, detail: format!("{detail}{}", next_try(status)) })
        .or(parked);
    let error = status.last_error.as_ref();
    let error = error.map(|error| Reason { code: error.code.clone(), detail: error.verdict.to_string() });
    paused.or(error)
}
