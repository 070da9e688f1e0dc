//! Enqueues the input line by line, then waits until the server has it.

use std::time::Duration;

use levi::{EnqueueError, Levi, LeviConfig, MessageSyncRequest, Receipt, SessionId, Status, SyncError};
use serde::Serialize;
use tokio::sync::watch;

use super::DefaultSession;
use super::numbering::Numbering;
use super::reading::Reading;
use super::sessions::{LineFailure, Origin, Sessions};
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::input::Input;
use crate::ndjson::Line;
use crate::patience::Patience;
use crate::pipeline::{Pipeline, Replaces};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::text::plural;
use crate::wait::{Stalled, wait_until_synced};

/// How long the shutdown may take to finish requests in flight.
const SHUTDOWN: Duration = Duration::from_secs(5);

pub(super) struct Options {
    pub(super) input: Input,
    pub(super) default_session: DefaultSession,
    pub(super) replaces: Replaces,
    pub(super) stop: Stop,
}

pub(super) struct Upload<'a> {
    levi: &'a Levi,
    status: watch::Receiver<Status>,
    /// Each message's tag is its line number.
    pipeline: Pipeline<'a, u64>,
    sessions: Sessions<'a>,
    /// How long to wait while the server accepts nothing.
    patience: Patience,
    options: Options,
    console: Console,
    numbering: Numbering,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    stored: u64,
    /// Messages that the server had before with this very text.
    already_synced: u64,
    bad: u64,
    /// Whether any line went to the default session.
    used_default: bool,
    /// Whether the last number of the session that stdin continues is known.
    continued: bool,
    /// Messages that earlier runs have parked.
    parked_before: u64,
}

impl Options {
    /// Whether lines without a number go on after the last message of `session`.
    fn continues(&self, session: &SessionId) -> bool {
        self.input == Input::Stdin && self.default_session.id == *session
    }
}

#[derive(Serialize)]
struct Outcome<'a> {
    messages: u64,
    already_synced: u64,
    bad_lines: u64,
    batches: u64,
    retries: u64,
    pending: u64,
    parked: u64,
    sessions: Vec<&'a SessionId>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        levi: &'a Levi,
        sessions: Sessions<'a>,
        numbering: Numbering,
        patience: Patience,
        options: Options,
        console: Console,
    ) -> Self {
        let pipeline = Pipeline::new(levi).replacing(options.replaces);
        let status = levi.watch_status();
        let counts = Counts::default();
        Self { levi, status, pipeline, sessions, patience, options, console, numbering, counts }
    }

    pub(super) async fn run(mut self, reading: Reading) -> Result<Exit, CliError> {
        self.counts.parked_before = self.levi.status().totals.parked_rows;
        let mut progress = self.console.progress("syncing", None);
        let read = self.enqueue_all(reading, &mut progress).await;
        // Also after an error, because the messages before it are to be stored and counted.
        let stored = read.and(self.store_all().await);
        let waited = if stored.is_ok() {
            let last = self.pipeline.last_receipt();
            let mut stop = self.options.stop.clone();
            tokio::select! {
                biased;
                // What is pending is sent by the shutdown, as far as it gets.
                _ = stop.requested() => Err(Stalled::Stopped),
                waited = wait_until_synced(self.levi, last, &mut self.patience, progress) => waited,
            }
        } else {
            progress.finish();
            Ok(())
        };
        let status = self.levi.status();
        // A server that accepted nothing for so long is not given more time.
        let gave_up = matches!(stored, Err(CliError::NoAnswer | CliError::OutboxHalfFull));
        let stalled = waited.as_ref().is_err_and(|stalled| *stalled != Stalled::Stopped);
        let deadline = if stalled || gave_up { Duration::ZERO } else { SHUTDOWN };
        let left = self.levi.shutdown(deadline).await;
        stored?;
        let outcome = Outcome {
            messages: self.counts.stored,
            already_synced: self.counts.already_synced,
            bad_lines: self.counts.bad,
            batches: status.batches_accepted,
            retries: status.batches_failed,
            pending: left.pending,
            parked: left.parked,
            sessions: self.sessions.ids(),
        };
        self.print(&outcome, &waited)?;
        Ok(self.options.stop.signal().map_or_else(|| exit(&outcome, &waited), Exit::from))
    }

    async fn enqueue_all(&mut self, mut reading: Reading, progress: &mut Progress) -> Result<(), CliError> {
        loop {
            let line = tokio::select! {
                biased;
                line = reading.next() => line,
                // An input that pauses, such as a log that is followed: what it brought so far is seen to now.
                Some((line, result)) = self.pipeline.next_result() => {
                    self.stored(line, result).await?;
                    continue;
                }
            };
            let Some(line) = line else { return Ok(()) };
            let line = line.map_err(|error| self.options.input.read_error(error))?;
            self.wait_for_room().await?;
            let number = line.number;
            match self.request(line).await {
                Ok(request) => self.pipeline.enqueue(number, request).await,
                Err(LineFailure::Line(reason)) => self.bad_line(number, reason),
                Err(LineFailure::Command(error)) => return Err(error),
            }
            // Looked at and not cloned, because this is done for each line.
            let accepted = self.status.borrow().rows_accepted;
            progress.reached(accepted);
            self.patience.accepted(accepted);
        }
    }

    /// The line as a message of a session that is prepared for it.
    async fn request(&mut self, line: Line) -> Result<MessageSyncRequest, LineFailure> {
        let message = line.message.map_err(refused)?;
        let default = &self.options.default_session;
        let (session, origin) = match Numbering::session(&message).map_err(refused)? {
            Some(session) if session != default.id => (session, Origin::AnyDevice),
            Some(session) => (session, default.origin),
            None => {
                self.counts.used_default = true;
                (default.id.clone(), default.origin)
            }
        };
        let is_numbered = message.sequence_number.is_some() || self.counts.continued;
        if origin == Origin::AnyDevice && self.options.continues(&session) && !is_numbered {
            self.continue_session(&session).await?;
        }
        let request = self.numbering.request(line.number, message, session.clone()).map_err(refused)?;
        request.check(LeviConfig::default().max_message_bytes).map_err(refused)?;
        self.sessions.prepare(&session, origin, self.options.replaces, &mut self.patience).await?;
        Ok(request)
    }

    /// Stdin has no line numbers of its own: its messages go on after the last of the session. Without an answer of the
    /// server, that is the last one known here. Should another device have gone on since, the messages are parked and
    /// overwrite nothing.
    async fn continue_session(&mut self, session: &SessionId) -> Result<(), LineFailure> {
        let last = match self.patience.wait(self.levi.next_sequence_number(session)).await {
            Some(Ok(next)) => next.saturating_sub(1),
            Some(Err(SyncError::SessionFull(_))) => i64::MAX,
            Some(Err(_)) | None => {
                let here = self.levi.last_sequence_number(session).await;
                here.map_err(|error| CliError::from(SyncError::from(error)))?.unwrap_or(0)
            }
        };
        self.numbering.continue_after(session.clone(), last);
        self.counts.continued = true;
        Ok(())
    }

    /// Waits for room in the pipeline and in the outbox.
    async fn wait_for_room(&mut self) -> Result<(), CliError> {
        while self.pipeline.is_full() {
            let Some((line, result)) = self.pipeline.next_result().await else { break };
            self.stored(line, result).await?;
        }
        let limit = LeviConfig::default().max_pending_bytes / 2;
        let has_room = |status: &Status| status.totals.pending_bytes < limit;
        if has_room(&self.status.borrow()) {
            return Ok(());
        }
        let below = self.status.wait_for(has_room);
        self.patience.wait(below).await.map(drop).ok_or(CliError::OutboxHalfFull)
    }

    /// Waits until every message of the pipeline is stored or refused.
    async fn store_all(&mut self) -> Result<(), CliError> {
        while let Some((line, result)) = self.pipeline.next_result().await {
            self.stored(line, result).await?;
        }
        Ok(())
    }

    async fn stored(&mut self, line: u64, result: Result<Receipt, EnqueueError>) -> Result<(), CliError> {
        match result {
            Ok(receipt) if receipt.already_synced() => self.counts.already_synced += 1,
            Ok(receipt) => {
                self.counts.stored += 1;
                match self.sessions.announce(receipt.session_id(), &mut self.patience).await {
                    Ok(()) => {}
                    Err(LineFailure::Line(reason)) => self.bad_line(line, reason),
                    Err(LineFailure::Command(error)) => return Err(error),
                }
            }
            // These errors are not about this line: the next one would fail, too.
            Err(error @ (EnqueueError::Outbox(_) | EnqueueError::Stopped | EnqueueError::NotStarted)) => {
                return Err(CliError::NotStored { line, error });
            }
            Err(error) => self.bad_line(line, error.to_string()),
        }
        Ok(())
    }

    fn bad_line(&mut self, line: u64, error: String) {
        self.counts.bad += 1;
        self.console.report(&Diagnostic::at_line(line, error));
    }

    fn print(&self, outcome: &Outcome<'_>, waited: &Result<(), Stalled>) -> Result<(), CliError> {
        self.console.json(outcome)?;
        let mut text = format!("{} stored", plural(outcome.messages, "message"));
        if outcome.already_synced > 0 {
            text.push_str(&format!(", {} on the server before", plural(outcome.already_synced, "message")));
        }
        if outcome.bad_lines > 0 {
            text.push_str(&format!(", {} skipped", plural(outcome.bad_lines, "bad line")));
        }
        if outcome.messages == 0 && outcome.bad_lines == 0 {
            text.push_str("; the input holds none");
        }
        let earlier = outcome.parked.min(self.counts.parked_before);
        if outcome.pending == 0 && outcome.parked == earlier {
            text.push_str(&format!("; the server has everything ({})", plural(outcome.batches, "batch")));
        }
        self.console.say(text)?;
        if outcome.pending > 0 {
            let why = waited.as_ref().err().map_or("requests are still in flight".into(), Stalled::to_string);
            self.console.say(format!(
                "{} left in the outbox: {why}. Nothing is lost: the next `levi sync` or a daemon sends what is left.",
                plural(outcome.pending, "message")
            ))?;
        }
        if outcome.parked > 0 {
            let parked = plural(outcome.parked, "message");
            let of_earlier = match earlier {
                0 => String::new(),
                all if all == outcome.parked => " of earlier runs".to_owned(),
                some => format!(", {} of earlier runs", plural(some, "message")),
            };
            self.console.say(format!("{parked}{of_earlier} parked; see `levi outbox list --parked`"))?;
        }
        let DefaultSession { id, origin } = &self.options.default_session;
        if self.counts.used_default && *origin != Origin::AnyDevice {
            let again = if self.options.input == Input::Stdin {
                "; to write to it again, give --session"
            } else {
                ""
            };
            self.console.say(format!("the messages are in session {id}{again}"))?;
            self.console.hint("next: `levi pull --follow` on another device shows them");
        }
        Ok(())
    }
}

fn refused(error: impl std::error::Error) -> LineFailure {
    LineFailure::Line(error.to_string())
}

fn exit(outcome: &Outcome<'_>, waited: &Result<(), Stalled>) -> Exit {
    if *waited == Err(Stalled::SignedOut) {
        Exit::NotSignedIn
    } else if matches!(waited, Err(Stalled::DeviceList(_))) {
        Exit::DeviceList
    } else if outcome.pending > 0 || outcome.parked > 0 {
        Exit::Remaining
    } else if outcome.bad_lines > 0 {
        Exit::BadInput
    } else {
        Exit::Done
    }
}
