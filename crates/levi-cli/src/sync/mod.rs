//! Messages from a file or stdin to the project.

mod numbering;
mod sessions;
mod upload;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use levi::SessionId;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::args::{DataArgs, ProjectArgs};
use crate::connection::Connection;
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::{canonical_uuid, random_uuid, stable_uuid};
use crate::settle;

use self::sessions::Sessions;
use self::upload::Upload;

/// Messages that are already there are written again and change nothing, so a file may be synced as often as you like.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// NDJSON, one {"session_id"?, "message_id"?, "sequence_number"?, "content"} a line; `-` or nothing for stdin.
    /// Without a sequence_number a message gets its line's number.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The session of lines that name none. Default: one that follows from the file's path.
    #[arg(long, value_name = "UUID")]
    session: Option<String>,
    /// The repository that new sessions work in. Default: the current folder.
    #[arg(long, value_name = "PATH")]
    repository: Option<PathBuf>,
    /// What people call it. Default: the folder's name.
    #[arg(long, value_name = "NAME")]
    repository_name: Option<String>,
    /// What people call new sessions. The server can read it.
    #[arg(long)]
    title: Option<String>,
    /// Give up when the server has taken nothing for so many seconds; what is left waits in the outbox.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

pub(crate) async fn run(args: SyncArgs, console: Console) -> Result<Exit, CliError> {
    let connection = Connection::open(&args.project, &args.data).await?;
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    let input = open(file)?;
    let session = default_session(&args, file, &connection)?;
    let (levi, store) = connection.levi()?;
    settle::start(&levi).await?;
    if let Some(report) = levi.status().recovered {
        console.complain(&Complaint {
            line: None,
            session_id: None,
            sequence_number: None,
            error: report.to_string(),
        });
    }
    let repository = sessions::repository(&args, &connection)?;
    store.save_repository(&repository)?;
    let service = levi.session_sync(connection.device_id.clone(), connection.home.private_key()?)?;
    let reader = connection.reader(&levi)?;
    let title = args.title.clone();
    let sessions = Sessions::new(&connection, &store, &service, &reader, repository.id, title);
    let upload = Upload::new(&levi, sessions, session, Duration::from_secs(args.patience), console);
    upload.run(input, file).await
}

/// The session of lines that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefaultSession {
    /// Asked for by name: it may be another device's.
    Named(SessionId),
    /// This device's own: it follows from the file's path, or was drawn for this run.
    Own(SessionId),
}

fn default_session(
    args: &SyncArgs,
    file: Option<&Path>,
    connection: &Connection,
) -> Result<DefaultSession, CliError> {
    if let Some(session) = &args.session {
        let session = canonical_uuid(session).ok_or(CliError::NotAUuid { what: "--session" })?;
        return Ok(DefaultSession::Named(session.into()));
    }
    let Some(file) = file else {
        // Two pipes have nothing to do with one another, so each gets a session of its own.
        return Ok(DefaultSession::Own(random_uuid(&mut UnwrapErr(SysRng)).into()));
    };
    let path =
        std::fs::canonicalize(file).map_err(|source| CliError::Input { path: file.to_owned(), source })?;
    let parts = [connection.user_id.as_str(), connection.device_id.as_str(), &path.to_string_lossy()];
    Ok(DefaultSession::Own(stable_uuid("session", &parts).into()))
}

fn open(file: Option<&Path>) -> Result<Box<dyn BufRead + Send>, CliError> {
    let Some(path) = file else { return Ok(Box::new(BufReader::new(io::stdin()))) };
    let fail = |source| CliError::Input { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}
