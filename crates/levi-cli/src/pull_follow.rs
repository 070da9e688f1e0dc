//! `levi pull --follow`: prints what changes in all sessions as NDJSON as it comes.

use std::pin::pin;
use std::time::Duration;

use levi::{Arrival, Change, ReadError, Reader, SessionId};
use serde::Serialize;

use crate::connection::Connection;
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::follow_status::Said;
use crate::notices::{Notices, answered};
use crate::pull::without_envelope;
use crate::stop::{Ending, Stop, output_closed};

/// The name of the cursor in the data directory, unless another one is given.
pub(crate) const CURSOR: &str = "pull";

/// Between two looks whether a session can be read, while the server cannot say so.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What to follow.
pub(crate) struct Following {
    /// `None`: all sessions.
    pub(crate) session: Option<SessionId>,
    /// The cursor's name. A session's has the session behind it.
    pub(crate) cursor: String,
    pub(crate) start: Start,
    pub(crate) source: Source,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// After what the last run printed.
    Stored,
    Beginning,
}

/// How changes are heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Pushed where that works, or else as for [`Polling`](Self::Polling).
    Realtime,
    Polling,
}

/// One line of the output, in the form that `levi sync` reads.
#[derive(Serialize)]
struct Changed<'a> {
    session_id: &'a SessionId,
    sequence_number: i64,
    content: &'a str,
    /// It may replace what was printed for this number, or come after messages with higher ones.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    edited: bool,
}

/// Runs until it is stopped, nobody reads its output any more, or it cannot go on.
pub(crate) async fn run(
    connection: &Connection,
    Following { session, cursor, start, source }: Following,
    console: Console,
) -> Result<Exit, CliError> {
    // Its own for each session: it does not tell what was passed over of the others.
    let name = match &session {
        Some(session) => format!("{cursor}-{session}"),
        None => cursor,
    };
    let stored = connection.data_dir.cursor(&name)?;
    let cursor = match start {
        Start::Stored => stored.load()?,
        Start::Beginning => None,
    };
    let levi = connection.levi(&Notices::new(console))?;
    let reader = connection.reader(&levi)?;
    let mut said = Said::default();
    let mut stop = Stop::listen(Ending::AtOnce)?;
    let mut closed = pin!(output_closed());
    let mut follow = reader.follow(cursor);
    if let Some(session) = session {
        tokio::select! {
            signal = stop.requested() => return Ok(signal.into()),
            () = &mut closed => return Ok(Exit::Done),
            checked = check(connection, &reader, &session, &mut said, console) => checked?,
        }
        follow = follow.of_session(session);
    }
    if source == Source::Realtime {
        follow = follow.with_notifier(levi.realtime()?);
    }
    let mut status = follow.status();
    loop {
        let page = tokio::select! {
            biased;
            signal = stop.requested() => return Ok(signal.into()),
            // The reader has what it wanted, as in `levi pull --follow | head -1`.
            () = &mut closed => return Ok(Exit::Done),
            Ok(()) = status.changed() => {
                said.explain(&status.borrow_and_update(), console);
                continue;
            }
            page = follow.next() => page?,
        };
        for change in &page.changes {
            // Where the output is read slowly, a page takes long.
            if let Some(signal) = stop.signal() {
                return Ok(signal.into());
            }
            print(change, console)?;
        }
        // After the lines, so that a run that is stopped in between prints them again.
        stored.save(&page.cursor)?;
    }
}

/// Fails as `levi pull --session` does if there is no such session, or this device cannot read it.
/// Waits for a server that cannot say so.
async fn check(
    connection: &Connection,
    reader: &Reader,
    session: &SessionId,
    said: &mut Said,
    console: Console,
) -> Result<(), CliError> {
    loop {
        match answered(console, reader.session_key(session)).await {
            Ok(_) => return Ok(()),
            Err(ReadError::NoEnvelope { .. }) => return Err(without_envelope(connection, session).await?),
            Err(error) if error.is_passing() => said.waits(Some(&error), console),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn print(change: &Change, console: Console) -> Result<(), CliError> {
    let Change { session_id, sequence_number, content, arrival } = change;
    match content {
        Ok(content) => console.record(&Changed {
            session_id,
            sequence_number: *sequence_number,
            content,
            edited: *arrival != Arrival::New,
        }),
        Err(error) => {
            let (session_id, sequence_number) = (Some(session_id.as_str()), Some(*sequence_number));
            console.report(&Diagnostic { session_id, sequence_number, ..Diagnostic::new(error.to_string()) });
            Ok(())
        }
    }
}
