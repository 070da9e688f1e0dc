//! `levi pull`: prints the messages that this device may read as NDJSON.

use clap::Args;
use levi::transport::rows::{SessionOwner, decode_rows};
use levi::transport::{Select, Verdict};
use levi::{DeviceListState, Levi, Page, ReadError, Reader, SessionId};
use serde::Serialize;

use crate::connection::Connection;
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::canonical_uuid;
use crate::notice::Notice;
use crate::notices::{Notices, answered};
use crate::options::{DataArgs, ProjectArgs};
use crate::pull_follow::{self, Following, Source, Start};

/// Messages per request; the server may return fewer.
const PAGE: u32 = 1000;
/// Sessions per request.
const SESSIONS: u32 = 200;
/// The most sessions of one run.
const MOST_SESSIONS: usize = 1_000_000;
/// Sessions in a row for which the server could not be reached: the others are not asked for.
const MOST_UNREACHABLE: u32 = 2;

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
    #[arg(long, value_name = "N", requires = "session", allow_negative_numbers = true)]
    after: Option<i64>,
    /// Print what is new in all sessions as it comes, or with --session in that one, edits included, and go
    /// on until stopped. The next run goes on where this one ended.
    #[arg(long, conflicts_with = "after")]
    follow: bool,
    /// Begin with the first message, not after what the last run printed.
    #[arg(long, requires = "follow")]
    from_start: bool,
    /// With --follow: remember what was printed under this name. Each that follows beside another needs
    /// one of its own: 1 to 27 letters, digits and dashes.
    #[arg(long, value_name = "NAME", default_value = pull_follow::CURSOR, requires = "follow", value_parser = cursor_name)]
    cursor: String,
    /// With --follow: ask for changes, and do not have them pushed by Supabase Realtime.
    #[arg(long, env = "LEVI_NO_REALTIME")]
    no_realtime: bool,
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
    let session = args.session.as_deref().map(|session| {
        canonical_uuid(session).map(SessionId::from).ok_or(CliError::NotAUuid { what: "--session" })
    });
    let session = session.transpose()?;
    if args.follow {
        let start = if args.from_start { Start::Beginning } else { Start::Stored };
        let source = if args.no_realtime { Source::Polling } else { Source::Realtime };
        let what = Following { session, cursor: args.cursor, start, source };
        return pull_follow::run(&connection, what, console).await;
    }
    let levi = connection.levi(&Notices::new(console))?;
    let reader = connection.reader(&levi)?;
    let mut pull = Pull { reader, console, unreadable: 0, failed: 0, unreachable: 0 };
    if let Some(session) = &session {
        return match pull.session(session, args.after).await {
            Ok(()) => pull.end(&levi).await,
            Err(CliError::Read(ReadError::NoEnvelope { session_id, .. })) => {
                Err(without_envelope(&connection, &session_id).await?)
            }
            Err(error) => Err(error),
        };
    }
    if pull.every_session().await? == 0 {
        let exit = pull.end_without_messages(&levi).await?;
        if exit == Exit::Done {
            console.notice(&Notice::NothingShared { device_id: connection.device_id.clone() });
        }
        return Ok(exit);
    }
    pull.end(&levi).await
}

/// The longest name of a cursor, which leaves room for a session's uuid behind it.
const LONGEST_NAME: usize = 27;

fn cursor_name(name: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits);
    is_name
        .then(|| name.to_owned())
        .ok_or_else(|| format!("not 1 to {LONGEST_NAME} letters, digits and dashes"))
}

/// Why this device has no secret for a session.
pub(crate) async fn without_envelope(
    connection: &Connection,
    session: &SessionId,
) -> Result<CliError, CliError> {
    let rows: Vec<SessionOwner> = decode_rows(&connection.select(Select::session_owner(session)).await?)?;
    let session = session.clone();
    Ok(match rows.is_empty() {
        true => CliError::NoSuchSession { session },
        false => CliError::NotShared { session, device: connection.device_id.clone() },
    })
}

struct Pull {
    reader: Reader,
    console: Console,
    /// Sessions and messages that cannot be read.
    unreadable: u64,
    /// Sessions that the server did not return whole.
    failed: u64,
    /// Sessions in a row for which it could not be reached.
    unreachable: u32,
}

impl Pull {
    /// Returns how many sessions there are.
    async fn every_session(&mut self) -> Result<usize, CliError> {
        let (mut after, mut gone_through) = (None, 0);
        loop {
            let page = answered(self.console, self.reader.shared_sessions(after.as_ref(), SESSIONS)).await?;
            let Some(cursor) = page.cursor else { return Ok(gone_through) };
            after = Some(cursor);
            gone_through += page.sessions.len();
            if gone_through > MOST_SESSIONS {
                return Err(CliError::Usage("there is no end to the sessions; pull them with --session"));
            }
            for session in &page.sessions {
                self.one_of_many(session).await?;
            }
        }
    }

    async fn session(&mut self, session: &SessionId, mut after: Option<i64>) -> Result<(), CliError> {
        loop {
            let Page { messages, cursor } =
                answered(self.console, self.reader.pull(session, after, PAGE)).await?;
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
            // Where nothing more can be read, the page has the rows that cannot.
            let Some(cursor) = cursor else { return Ok(()) };
            after = Some(cursor);
        }
    }

    /// Reads one session of many. If it cannot be read, the others still are.
    async fn one_of_many(&mut self, session: &SessionId) -> Result<(), CliError> {
        let error = match self.session(session, None).await {
            Ok(()) => {
                self.unreachable = 0;
                return Ok(());
            }
            Err(CliError::Read(error)) => {
                self.unreadable(session, None, error.to_string());
                return Ok(());
            }
            Err(CliError::Server(error)) => error,
            Err(error) => return Err(error),
        };
        self.unreachable = if error.verdict == Verdict::Unreachable { self.unreachable + 1 } else { 0 };
        if self.unreachable >= MOST_UNREACHABLE {
            return Err(error.into());
        }
        self.failed += 1;
        self.report(session, None, error.to_string());
        Ok(())
    }

    fn unreadable(&mut self, session: &SessionId, sequence_number: Option<i64>, error: String) {
        self.unreadable += 1;
        self.report(session, sequence_number, error);
    }

    fn report(&self, session: &SessionId, sequence_number: Option<i64>, error: String) {
        let session_id = Some(session.as_str());
        self.console.report(&Diagnostic { session_id, sequence_number, ..Diagnostic::new(error) });
    }

    /// What is unreadable may be so because of the device list.
    async fn end(&self, levi: &Levi) -> Result<Exit, CliError> {
        if self.unreadable == 0 { Ok(self.exit()) } else { self.end_without_messages(levi).await }
    }

    async fn end_without_messages(&self, levi: &Levi) -> Result<Exit, CliError> {
        match levi.device_list()?.state().await {
            Ok(DeviceListState::Stopped(problem)) => {
                self.console.report(&Diagnostic::new(problem.to_string()));
                Ok(Exit::DeviceList)
            }
            // The server has been asked for everything else already.
            _ => Ok(self.exit()),
        }
    }

    const fn exit(&self) -> Exit {
        match (self.failed, self.unreadable) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::BadInput,
            _ => Exit::Server,
        }
    }
}
