//! The other device: what was written elsewhere, as NDJSON.

use clap::Args;
use levi::{DeviceId, Page, Reader, SecretRow, Select, SessionId, decode_rows};
use serde::Serialize;

use crate::args::{DataArgs, ProjectArgs};
use crate::connection::Connection;
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::canonical_uuid;

/// Messages asked for at once; the server may hand out fewer.
const PAGE: u32 = 1000;
/// Sessions asked for at once.
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

/// One line of the output: what `levi sync` takes.
#[derive(Serialize)]
struct Pulled<'a> {
    session_id: &'a SessionId,
    sequence_number: i64,
    content: &'a str,
}

pub(crate) async fn run(args: PullArgs, console: Console) -> Result<Exit, CliError> {
    let connection = Connection::open(&args.project, &args.data).await?;
    let (levi, _) = connection.levi()?;
    let reader = connection.reader(&levi)?;
    let mut pull = Pull { reader, console, unreadable: 0 };
    if let Some(session) = &args.session {
        let session = canonical_uuid(session).ok_or(CliError::NotAUuid { what: "--session" })?;
        pull.session(&session.into(), args.after).await?;
        return Ok(pull.exit());
    }
    let mut after: Option<SessionId> = None;
    let mut any = false;
    loop {
        let select = Select::secrets_for(&connection.device_id, after.as_ref(), SESSIONS);
        let page: Vec<SecretRow> = decode_rows(&connection.select(select).await?)?;
        let Some(last) = page.last() else {
            if !any {
                pull.nothing_to_read(&connection.device_id);
            }
            return Ok(pull.exit());
        };
        any = true;
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
    /// No failure, but hardly what was hoped for: a device that came later is given the earlier sessions by hand.
    fn nothing_to_read(&self, device: &DeviceId) {
        let error = format!(
            "no session is shared with this device yet; what was written before it signed in, `levi share {device}` \
             on a device that can read it brings here"
        );
        self.console.complain(&Complaint { line: None, session_id: None, sequence_number: None, error });
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
            // A server may hand out fewer than asked for: only an empty page is the end.
            let Some(cursor) = cursor else { return Ok(()) };
            after = Some(cursor);
        }
    }

    /// A session whose secret cannot be opened costs its own messages only.
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
        self.console.complain(&Complaint { line: None, session_id, sequence_number, error });
    }

    fn exit(&self) -> Exit {
        if self.unreadable > 0 { Exit::BadInput } else { Exit::Done }
    }
}
