//! The sessions of the input: known on this device, known to the server, or new.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use levi::core::{NewSession, Step};
use levi::outbox::sqlite::Inspector;
use levi::transport::Select;
use levi::transport::rows::{SessionOwner, decode_rows};
use levi::{
    CodingSession, DeviceId, Levi, ReadError, Reader, Repository, RepositoryId, SessionId, SessionSecret,
    SessionStore as _, SessionSyncService, SqliteSessionStore, SyncError,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tokio::time::timeout;

use super::SyncArgs;
use crate::connection::Connection;
use crate::error::CliError;
use crate::ids::stable_uuid;
use crate::patience::Patience;
use crate::pipeline::Replaces;
use crate::wait;

/// The repository of new sessions. Its id is derived from this device and the path.
pub(super) fn repository(args: &SyncArgs, connection: &Connection) -> Result<Repository, CliError> {
    let path = args.repository.as_deref().unwrap_or(Path::new("."));
    let path =
        std::fs::canonicalize(path).map_err(|source| CliError::Input { path: path.to_owned(), source })?;
    let local_path = path.to_string_lossy().into_owned();
    let directory = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = args.repository_name.clone().or(directory).unwrap_or_else(|| local_path.clone());
    let id = stable_uuid("repository", &[connection.device_id.as_str(), &local_path]);
    Ok(Repository::new(id, name, local_path))
}

/// The longest time for which the server is asked whether it has a session of this device's own, whose store may be lost. A
/// server that does not answer keeps no new file from being stored.
const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// How long the server is asked, within a command's patience: some of that is for the rows to be stored.
pub(super) fn asked_within(patience: Duration) -> Duration {
    ASKED_WITHIN.min(patience / 2)
}

/// Which devices may have created a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// None so far: its id was drawn a moment ago.
    New,
    /// Only this one, because the session's id is derived here. An earlier run may have created it.
    ThisDevice,
    /// Any device of the user, because the input names the session.
    AnyDevice,
}

/// Whether the server accepted what a session needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Given,
    /// It was not asked, or does not answer yet.
    None,
}

/// Why a line's message is not enqueued.
pub(super) enum LineFailure {
    /// The line is refused for this reason; other lines are not affected.
    Line(String),
    /// The command cannot continue.
    Command(CliError),
}

impl<E: Into<CliError>> From<E> for LineFailure {
    fn from(error: E) -> Self {
        Self::Command(error.into())
    }
}

/// What new sessions of this run have in common.
pub(super) struct NewSessions {
    pub(super) repository: RepositoryId,
    pub(super) title: Option<String>,
}

pub(super) struct Sessions<'a> {
    pub(super) connection: &'a Connection,
    pub(super) levi: &'a Levi,
    pub(super) store: Arc<SqliteSessionStore>,
    pub(super) service: SessionSyncService,
    pub(super) reader: Reader,
    pub(super) new_sessions: NewSessions,
    /// How long the server is asked about a session of this device's own.
    pub(super) asked_within: Duration,
    /// The sessions of this run; for a refused one, why its lines are refused.
    pub(super) prepared: HashMap<SessionId, Result<(), String>>,
    /// Sessions of an earlier run, whose rows are written again once one of their messages is new.
    pub(super) unannounced: HashSet<SessionId>,
}

impl Sessions<'_> {
    /// The sessions that were not refused.
    pub(super) fn ids(&self) -> Vec<&SessionId> {
        let accepted = self.prepared.iter().filter(|(_, outcome)| outcome.is_ok());
        let mut ids: Vec<_> = accepted.map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Makes sure that the session's messages can be encrypted and that its row reaches the server
    /// before them.
    pub(super) async fn prepare(
        &mut self,
        id: &SessionId,
        origin: Origin,
        replaces: Replaces,
        patience: &mut Patience,
    ) -> Result<(), LineFailure> {
        if let Some(outcome) = self.prepared.get(id) {
            return outcome.clone().map_err(LineFailure::Line);
        }
        if replaces == Replaces::Nothing && self.is_of_an_earlier_run(id)? {
            // A list that stopped everything is reported once everything is stored.
            patience.wait(wait::may_seal(self.levi)).await;
            self.prepared.insert(id.clone(), Ok(()));
            self.unannounced.insert(id.clone());
            return Ok(());
        }
        self.prepare_now(id, origin, patience).await
    }

    /// A message of the session is new: its rows are written, unless they were in this run.
    pub(super) async fn announce(
        &mut self,
        id: &SessionId,
        patience: &mut Patience,
    ) -> Result<(), LineFailure> {
        // Its secret is here, so that it does not matter who made the session.
        if self.unannounced.remove(id) {
            self.prepare_now(id, Origin::AnyDevice, patience).await
        } else {
            Ok(())
        }
    }

    /// Whether its messages can be encrypted as they are, and may all be on the server: it took the session's row, so that
    /// the secret here is the session's.
    fn is_of_an_earlier_run(&self, id: &SessionId) -> Result<bool, CliError> {
        let Some(session) = self.store.session(id)? else { return Ok(false) };
        let is_the_sessions = session.owner_device_id.is_some() || self.was_sent(id)?;
        Ok(is_the_sessions && self.known_secret(id)?.is_some())
    }

    async fn prepare_now(
        &mut self,
        id: &SessionId,
        origin: Origin,
        patience: &mut Patience,
    ) -> Result<(), LineFailure> {
        let outcome = match patience.wait(self.prepare_once(id, origin)).await {
            Some(Ok(Answer::Given)) => {
                patience.answered();
                Ok(())
            }
            Some(Ok(Answer::None)) => Ok(()),
            Some(Err(LineFailure::Line(reason))) => Err(reason),
            Some(Err(failure @ LineFailure::Command(_))) => return Err(failure),
            // Its rows are in the outbox and go out before its messages.
            None if self.known_secret(id)?.is_some() && self.store.session(id)?.is_some() => Ok(()),
            None => return Err(CliError::NoAnswer.into()),
        };
        self.prepared.insert(id.clone(), outcome.clone());
        outcome.map_err(LineFailure::Line)
    }

    async fn prepare_once(&self, id: &SessionId, origin: Origin) -> Result<Answer, LineFailure> {
        let secret = match self.known_secret(id)? {
            Some(secret) => secret,
            None => self.adopt_or_create(id, origin).await?,
        };
        let known = self.store.session(id)?;
        let owner = known.as_ref().and_then(|session| session.owner_device_id.as_ref());
        if owner.is_some_and(|owner| *owner != self.connection.device_id) {
            // Only the owning device writes the session's row and its secret.
            return Ok(Answer::None);
        }
        let repository =
            known.map_or_else(|| self.new_sessions.repository.clone(), |session| session.repository_id);
        let mut registered = self.service.sync_new_session(id, &repository, &secret).await?;
        if has_another_secret(&registered) {
            // What is there counts: others read it.
            let secret = self.adopt(id).await?;
            registered = self.service.sync_new_session(id, &repository, &secret).await?;
        }
        let answer = if registered.is_done() { Answer::Given } else { Answer::None };
        permanent_failure(registered)?;
        Ok(answer)
    }

    fn known_secret(&self, id: &SessionId) -> Result<Option<SessionSecret>, CliError> {
        let Some(stored) = self.store.session_secret(id)? else { return Ok(None) };
        // Exposed to be parsed into a `SessionSecret`.
        let secret = SessionSecret::parse(stored.expose());
        secret.map(Some).map_err(|_| CliError::MalformedSecret { session: id.clone() })
    }

    /// The secret of a session that this device has no secret for: the one in its envelope on the
    /// server, or a new one.
    async fn adopt_or_create(&self, id: &SessionId, origin: Origin) -> Result<SessionSecret, LineFailure> {
        // A second secret for a session that is on the server would make its messages unreadable:
        // another device's, or this device's own whose store is lost.
        if self.is_on_server(id, origin).await? {
            return self.adopt(id).await;
        }
        let secret = SessionSecret::generate(&mut UnwrapErr(SysRng));
        self.save(id, None, &secret)?;
        Ok(secret)
    }

    /// Takes the secret that the server has for this device, and notes whose the session is.
    async fn adopt(&self, id: &SessionId) -> Result<SessionSecret, LineFailure> {
        let secret = match self.reader.session_secret(id).await {
            Ok(secret) => secret,
            Err(
                error @ (ReadError::NoEnvelope { .. } | ReadError::UnknownSender | ReadError::Envelope(_)),
            ) => return Err(LineFailure::Line(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let owner = self.owner(id).await?.filter(|owner| *owner != self.connection.device_id);
        self.save(id, owner, &secret)?;
        Ok(secret)
    }

    /// Saved before anything is encrypted under it, because a message whose secret is lost cannot be
    /// read.
    fn save(
        &self,
        id: &SessionId,
        owner: Option<DeviceId>,
        secret: &SessionSecret,
    ) -> Result<(), LineFailure> {
        self.store.save_session(&self.session(id, owner))?;
        Ok(self.store.save_secret(id, secret)?)
    }

    /// Whether the server has the session. Where that cannot be asked, a session of this device's own counts as new: should
    /// the server have it all the same, session sync leaves its secret alone and says so.
    async fn is_on_server(&self, id: &SessionId, origin: Origin) -> Result<bool, CliError> {
        match origin {
            Origin::New => Ok(false),
            Origin::ThisDevice if !self.was_sent(id)? => {
                let asked = timeout(self.asked_within, self.owner(id)).await;
                Ok(matches!(asked, Ok(Ok(Some(_)))))
            }
            Origin::ThisDevice | Origin::AnyDevice => Ok(self.owner(id).await?.is_some()),
        }
    }

    /// Whether the outbox knows that the server had the session once.
    fn was_sent(&self, id: &SessionId) -> Result<bool, CliError> {
        Ok(Inspector::open(self.connection.data_dir.outbox_path())?.session_was_sent(id)?)
    }

    async fn owner(&self, id: &SessionId) -> Result<Option<DeviceId>, CliError> {
        let rows: Vec<SessionOwner> = decode_rows(&self.connection.select(Select::session_owner(id)).await?)?;
        Ok(rows.into_iter().next().map(|row| row.device_id))
    }

    fn session(&self, id: &SessionId, owner: Option<DeviceId>) -> CodingSession {
        CodingSession {
            owner_device_id: owner,
            title: self.new_sessions.title.clone(),
            ..CodingSession::new(id.clone(), self.new_sessions.repository.clone())
        }
    }
}

/// Whether another secret of the session, or another device's session, was found there and left alone.
fn has_another_secret(session: &NewSession) -> bool {
    let steps = [&session.session, &session.secret];
    steps.into_iter().any(|step| {
        matches!(step, Step::Failed(SyncError::OtherSecret(_) | SyncError::SessionOfAnotherDevice { .. }))
    })
}

/// Fails if a retry cannot help. Every other failed step is in the outbox and is retried like a
/// message.
fn permanent_failure(session: NewSession) -> Result<(), LineFailure> {
    for step in [session.repository, session.session, session.secret] {
        if let Step::Failed(error) = step {
            return Err(LineFailure::Line(error.to_string()));
        }
    }
    Ok(())
}
