//! Line by line to the outbox, then until the server has it.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Duration;

use levi::{EnqueueError, Levi, LeviConfig, MessageSyncRequest, Receipt, SessionId};
use serde::Serialize;

use super::DefaultSession;
use super::numbering::Numbering;
use super::sessions::{Origin, Sessions};
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::exit::Exit;
use crate::feed::Feed;
use crate::ndjson::{InputMessage, LineError, Lines};
use crate::progress::Progress;
use crate::settle::{self, Settled, Stuck};
use crate::text::plural;

/// How long to finish what is under way once there is nothing more to wait for.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

pub(super) struct Upload<'a> {
    levi: &'a Levi,
    feed: Feed<'a, u64>,
    sessions: Sessions<'a>,
    default: DefaultSession,
    patience: Duration,
    console: Console,
    numbering: Numbering,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    stored: u64,
    bad: u64,
    /// Lines of stdin went to a session that nobody named.
    used_default: bool,
}

#[derive(Serialize)]
struct Outcome<'a> {
    messages: u64,
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
        default: DefaultSession,
        patience: Duration,
        console: Console,
    ) -> Self {
        let (numbering, counts) = (Numbering::default(), Counts::default());
        Self { levi, feed: Feed::new(levi), sessions, default, patience, console, numbering, counts }
    }

    pub(super) async fn run(
        mut self,
        input: Box<dyn BufRead + Send>,
        file: Option<&Path>,
    ) -> Result<Exit, CliError> {
        let mut progress = self.console.progress("syncing", None);
        let fed = self.feed_all(input, file, &mut progress).await;
        // Whatever stopped the reading: what is on disk goes on.
        let drained = self.drain().await;
        let settled = match (&fed, &drained) {
            (Ok(()), Ok(())) => settle::settle(self.levi, self.feed.last(), self.patience, progress).await,
            _ => {
                progress.finish();
                Settled::Empty
            }
        };
        let status = self.levi.status();
        // Whoever waited in vain has waited long enough.
        let finish = if settled == Settled::Empty { LAST_ANSWERS } else { Duration::ZERO };
        let left = self.levi.shutdown(finish).await;
        fed.and(drained)?;
        let outcome = Outcome {
            messages: self.counts.stored,
            bad_lines: self.counts.bad,
            batches: status.batches_accepted,
            retries: status.batches_failed,
            pending: left.pending,
            parked: left.parked,
            sessions: self.sessions.ids(),
        };
        self.tell(&outcome, &settled, file)?;
        Ok(exit(&outcome, &settled))
    }

    async fn feed_all(
        &mut self,
        input: Box<dyn BufRead + Send>,
        file: Option<&Path>,
        progress: &mut Progress,
    ) -> Result<(), CliError> {
        let mut lines = Lines::new(input);
        let path = file.map_or_else(|| PathBuf::from("-"), Path::to_owned);
        while let Some(line) =
            lines.next_line().map_err(|source| CliError::Input { path: path.clone(), source })?
        {
            self.room().await?;
            match self.request(line.number, line.message).await? {
                Ok(request) => self.feed.hand_over(line.number, request).await,
                Err(why) => self.bad(line.number, why),
            }
            progress.reached(self.levi.status().rows_accepted);
        }
        Ok(())
    }

    /// The line as a message of a session that is ready for it, or what is wrong with it.
    async fn request(
        &mut self,
        number: u64,
        line: Result<InputMessage, LineError>,
    ) -> Result<Result<MessageSyncRequest, String>, CliError> {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (session, origin) = match (Numbering::session(&line), &self.default) {
            (Err(error), _) => return Ok(Err(error.to_string())),
            (Ok(Some(session)), DefaultSession::Own(own)) if session == *own => (session, Origin::Own),
            (Ok(Some(session)), _) => (session, Origin::Named),
            (Ok(None), DefaultSession::Named(session)) => (session.clone(), Origin::Named),
            (Ok(None), DefaultSession::Own(session)) => {
                self.counts.used_default = true;
                (session.clone(), Origin::Own)
            }
        };
        let request = match self.numbering.place(number, line, session.clone()) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Err(error) = request.check(LeviConfig::default().max_message_bytes) {
            return Ok(Err(error.to_string()));
        }
        Ok(self.sessions.ready(&session, origin).await?.map(|()| request))
    }

    /// Waits until there is room: for the messages on their way to the disk, and on the disk for those that wait.
    async fn room(&mut self) -> Result<(), CliError> {
        while self.feed.is_full() {
            let Some((number, result)) = self.feed.stored().await else { break };
            self.stored(number, result)?;
        }
        let most = LeviConfig::default().max_pending_bytes / 2;
        let mut watch = self.levi.watch_status();
        let roomy = watch.wait_for(|status| status.totals.pending_bytes < most);
        match tokio::time::timeout(self.patience, roomy).await {
            Ok(_) => Ok(()),
            Err(_) => Err(CliError::Usage(
                "the outbox is half full and the server takes nothing; run this again when it does",
            )),
        }
    }

    async fn drain(&mut self) -> Result<(), CliError> {
        while let Some((number, result)) = self.feed.stored().await {
            self.stored(number, result)?;
        }
        Ok(())
    }

    fn stored(&mut self, number: u64, result: Result<Receipt, EnqueueError>) -> Result<(), CliError> {
        match result {
            Ok(_) => self.counts.stored += 1,
            // Not this line's fault, and the next one would fare no better.
            Err(error @ (EnqueueError::Outbox(_) | EnqueueError::Stopped | EnqueueError::NotStarted)) => {
                return Err(CliError::NotStored { line: number, error });
            }
            Err(error) => self.bad(number, error.to_string()),
        }
        Ok(())
    }

    fn bad(&mut self, line: u64, error: String) {
        self.counts.bad += 1;
        self.console.complain(&Complaint {
            line: Some(line),
            session_id: None,
            sequence_number: None,
            error,
        });
    }

    fn tell(&self, outcome: &Outcome<'_>, settled: &Settled, file: Option<&Path>) -> Result<(), CliError> {
        self.console.json(outcome)?;
        let mut text = format!("{} taken in", plural(outcome.messages, "message"));
        if outcome.bad_lines > 0 {
            text.push_str(&format!(", {} left out", plural(outcome.bad_lines, "bad line")));
        }
        if outcome.pending == 0 && outcome.parked == 0 {
            text.push_str(&format!("; the server has everything ({})", plural(outcome.batches, "batch")));
        }
        self.console.say(text)?;
        if outcome.pending > 0 {
            let why =
                if let Settled::Stuck(why) = settled { why.to_string() } else { "it is not done yet".into() };
            self.console.say(format!(
                "{} wait in the outbox: {why}. Nothing is lost; the next `levi sync` or daemon sends them.",
                plural(outcome.pending, "message")
            ))?;
        }
        if outcome.parked > 0 {
            let parked = plural(outcome.parked, "message");
            self.console.say(format!("{parked} set aside; see `levi outbox list --parked`"))?;
        }
        if let (None, true, DefaultSession::Own(session)) = (file, self.counts.used_default, &self.default) {
            self.console
                .say(format!("session {session} (stdin has no name: give --session to sync it again)"))?;
        }
        Ok(())
    }
}

fn exit(outcome: &Outcome<'_>, settled: &Settled) -> Exit {
    if *settled == Settled::Stuck(Stuck::SignedOut) {
        Exit::NotSignedIn
    } else if outcome.pending > 0 || outcome.parked > 0 {
        Exit::Remaining
    } else if outcome.bad_lines > 0 {
        Exit::BadInput
    } else {
        Exit::Done
    }
}
