//! `levi pull`: prints the messages that this device may read as NDJSON.

use clap::Args;
use levi::{DeviceId, Page, Reader, SecretRow, Select, SessionId, decode_rows};
use serde::Serialize;

use crate::args::{DataArgs, ProjectArgs};
use crate::connection::Connection;
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::canonical_uuid;

/// Messages per request; the server may return fewer.
const PAGE: u32 = 1000;
/// Sessions per request.
const SESSIONS: u32 = 200;

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Only this session. Default: every session that this device may read.
    #[arg(long, value_name = "UUID")]
    session: Option<String>,
    /// Only messages after this sequence number.
    #[arg(long, value_name = "N", requires = "session")]
    after: Option<i64>,
}

/// One line of the output, in the form that `levi sync` reads.
#[derive(Serialize)]
struct Pulled<'a> {
    session_id: &'a SessionId,
    sequence_number: i64,
    content: &'a str,
}

pub(crate) async fn run(args: PullArgs, console: Console) -> Result<Exit, CliError> {
    let connection = Connection::open(&args.project, &args.data).await?;
    let levi = connection.levi(connection.session_store()?)?;
    let reader = connection.reader(&levi)?;
    let mut pull = Pull { reader, console, unreadable: 0 };
    if let Some(session) = &args.session {
        let session = canonical_uuid(session).ok_or(CliError::NotAUuid { what: "--session" })?;
        pull.session(&session.into(), args.after).await?;
        return Ok(pull.exit());
    }
    let mut after: Option<SessionId> = None;
    loop {
        let select = Select::secrets_for(&connection.device_id, after.as_ref(), SESSIONS);
        let page: Vec<SecretRow> = decode_rows(&connection.select(select).await?)?;
        let Some(last) = page.last() else {
            if after.is_none() {
                pull.nothing_to_read(&connection.device_id);
            }
            return Ok(pull.exit());
        };
        after = Some(last.session_id.clone());
        for row in &page {
            pull.one_of_many(&row.session_id).await?;
        }
    }
}

struct Pull {
    reader: Reader,
    console: Console,
    unreadable: u64,
}

impl Pull {
    /// Explains an empty output: a device that was registered later gets earlier sessions only
    /// through `levi share`.
    fn nothing_to_read(&self, device: &DeviceId) {
        let error = format!(
            "no session is shared with this device yet; to read earlier sessions here, run `levi share {device}` on a \
             device that can read them"
        );
        self.console.report(&Diagnostic::new(error));
    }

    async fn session(&mut self, session: &SessionId, mut after: Option<i64>) -> Result<(), CliError> {
        loop {
            let Page { messages, cursor } = self.reader.pull(session, after, PAGE).await?;
            for message in messages {
                match message {
                    Ok(message) => self.console.record(&Pulled {
                        session_id: session,
                        sequence_number: message.sequence_number,
                        content: &message.content,
                    })?,
                    Err(error) => {
                        self.unreadable(session, Some(error.sequence_number), error.error.to_string())
                    }
                }
            }
            // The server may return fewer messages than asked for: only an empty page is the end.
            let Some(cursor) = cursor else { return Ok(()) };
            after = Some(cursor);
        }
    }

    /// Reads one session of many. If its secret cannot be opened, the others are still read.
    async fn one_of_many(&mut self, session: &SessionId) -> Result<(), CliError> {
        match self.session(session, None).await {
            Err(CliError::Read(error)) => {
                self.unreadable(session, None, error.to_string());
                Ok(())
            }
            result => result,
        }
    }

    fn unreadable(&mut self, session: &SessionId, sequence_number: Option<i64>, error: String) {
        self.unreadable += 1;
        let session_id = Some(session.as_str());
        self.console.report(&Diagnostic { session_id, sequence_number, ..Diagnostic::new(error) });
    }

    fn exit(&self) -> Exit {
        if self.unreadable > 0 { Exit::BadInput } else { Exit::Done }
    }
}
