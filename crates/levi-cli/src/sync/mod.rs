//! `levi sync`: sends messages from a file or stdin to the project.

mod ahead;
mod numbering;
mod reading;
mod sessions;
mod upload;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use levi::{SessionId, random_uuid};

use crate::connection::Connection;
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::{IdKey, canonical_uuid, stable_uuid};
use crate::input::Input;
use crate::notices::Notices;
use crate::options::{DataArgs, ProjectArgs};
use crate::patience::Patience;
use crate::pipeline::Replaces;
use crate::plain_text::{LineFormat, Text};
use crate::stop::{Ending, Stop};
use crate::wait;

use self::numbering::Numbering;
use self::reading::Reading;
use self::sessions::{NewSessions, Origin, Sessions};
use self::upload::{Options, Upload};

/// A year. The clock cannot express a time that is much later.
const MOST_PATIENCE: u64 = 365 * 24 * 3600;

/// A second run of the same file changes nothing on the server. A line whose text has changed is
/// parked and overwrites nothing, unless --replace is given.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// NDJSON, one {"session_id"?, "message_id"?, "sequence_number"?, "content"} a line; stdin if
    /// absent or `-`. A message without a sequence_number gets the number of its line; those of
    /// stdin with --session go on after the session's last.
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    input: Input,
    /// Read plain text instead: each line that is not blank is a message, or with --text=whole the
    /// whole input is one.
    #[arg(
        long, value_name = "OF", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "lines"
    )]
    text: Option<Text>,
    /// With --text: who wrote it, such as user, assistant or log. The message's text is then
    /// {"role": ROLE, "content": TEXT}.
    #[arg(long, value_name = "ROLE", requires = "text", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    role: Option<String>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The session of lines without a session_id. Default for a file: a session derived from its
    /// path; for stdin: a new session.
    #[arg(long, value_name = "UUID")]
    session: Option<String>,
    /// Replace the texts that the server has at the same sequence numbers.
    #[arg(long)]
    replace: bool,
    /// The repository of new sessions. Default: the current directory.
    #[arg(long, value_name = "PATH")]
    repository: Option<PathBuf>,
    /// The name of the repository. Default: the directory's name.
    #[arg(long, value_name = "NAME")]
    repository_name: Option<String>,
    /// The title of new sessions. The server can read it.
    #[arg(long)]
    title: Option<String>,
    /// Stop waiting once the server has accepted nothing for this many seconds; what is pending
    /// stays in the outbox.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(..=MOST_PATIENCE)
    )]
    patience: u64,
}

pub(crate) async fn run(args: SyncArgs, console: Console) -> Result<Exit, CliError> {
    let connection = Connection::open(&args.project, &args.data).await?;
    let stop = Stop::listen(Ending::Finished)?;
    let format = args.text.map_or(LineFormat::Ndjson, |of| LineFormat::Text { of, role: args.role.clone() });
    if args.input.is_terminal() {
        console.hint(
            "reading messages from the terminal, one a line; Ctrl-D ends. What is in the outbox is sent meanwhile",
        );
    }
    let reading = Reading::start(args.input.open()?, format, stop.clone())?;
    let limit = Duration::from_secs(args.patience);
    let patience = Patience::new(limit);
    let default_session = default_session(&args, &connection)?;
    let store = connection.session_store()?;
    let notices = Notices::new(console);
    let levi = connection.levi(&notices)?;
    let _watching = notices.of_worker(&levi);
    wait::start(&levi).await?;
    // The person who runs the command wants to know now, not after the backoff of an earlier outage.
    levi.network_changed();
    if let Some(report) = levi.status().recovered {
        console.report(&Diagnostic::new(report.to_string()));
    }
    let repository = sessions::repository(&args, &connection)?;
    store.save_repository(&repository)?;
    let sessions = Sessions {
        connection: &connection,
        levi: &levi,
        service: connection.device.session_sync(&levi)?,
        reader: connection.reader(&levi)?,
        store,
        new_sessions: NewSessions { repository: repository.id, title: args.title },
        asked_within: sessions::asked_within(limit),
        prepared: HashMap::new(),
        unannounced: HashSet::new(),
    };
    let replaces = if args.replace { Replaces::AnyText } else { Replaces::Nothing };
    let options = Options { input: args.input, default_session, replaces, stop };
    let numbering = Numbering::new(IdKey::of(&connection.data_dir.database_key()?));
    Upload::new(&levi, sessions, numbering, patience, options, console).run(reading).await
}

/// The session of lines without a session_id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefaultSession {
    id: SessionId,
    origin: Origin,
}

fn default_session(args: &SyncArgs, connection: &Connection) -> Result<DefaultSession, CliError> {
    if let Some(session) = &args.session {
        let id = canonical_uuid(session).ok_or(CliError::NotAUuid { what: "--session" })?;
        return Ok(DefaultSession { id: id.into(), origin: Origin::AnyDevice });
    }
    let (id, origin) = match &args.input {
        Input::Stdin => (random_uuid(), Origin::New),
        Input::File(file) => {
            let path = std::fs::canonicalize(file).map_err(|source| args.input.read_error(source))?;
            let (user, device) = (connection.user_id.as_str(), connection.device_id.as_str());
            (stable_uuid("session", &[user, device, &path.to_string_lossy()]), Origin::ThisDevice)
        }
    };
    Ok(DefaultSession { id: id.into(), origin })
}
