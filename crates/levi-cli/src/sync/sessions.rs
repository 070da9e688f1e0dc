//! Sessions as they turn up in the input: known here, known to the server, or new.

use std::collections::HashMap;
use std::path::Path;

use levi::{
    CodingSession, DeviceId, NewSession, ReadError, Reader, Repository, RepositoryId, Select, SessionId,
    SessionOwner, SessionSecret, SessionStore as _, SessionSyncService, SqliteSessionStore, Step,
    decode_rows,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::SyncArgs;
use crate::connection::Connection;
use crate::error::CliError;
use crate::ids::stable_uuid;

/// The repository of new sessions, under an id that follows from this device and the path.
pub(super) fn repository(args: &SyncArgs, connection: &Connection) -> Result<Repository, CliError> {
    let path = args.repository.as_deref().unwrap_or(Path::new("."));
    let path =
        std::fs::canonicalize(path).map_err(|source| CliError::Input { path: path.to_owned(), source })?;
    let local_path = path.to_string_lossy().into_owned();
    let folder = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = args.repository_name.clone().or(folder).unwrap_or_else(|| local_path.clone());
    let id = stable_uuid("repository", &[connection.device_id.as_str(), &local_path]);
    Ok(Repository::new(id, name, local_path))
}

/// Who may already have the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody but this device: its id was made here.
    Own,
    /// Anybody: the input names it.
    Named,
}

pub(super) struct Sessions<'a> {
    connection: &'a Connection,
    store: &'a SqliteSessionStore,
    service: &'a SessionSyncService,
    reader: &'a Reader,
    repository: RepositoryId,
    title: Option<String>,
    /// Those of this run: ready, or why their lines cannot be taken.
    seen: HashMap<SessionId, Result<(), String>>,
}

impl<'a> Sessions<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        store: &'a SqliteSessionStore,
        service: &'a SessionSyncService,
        reader: &'a Reader,
        repository: RepositoryId,
        title: Option<String>,
    ) -> Self {
        Self { connection, store, service, reader, repository, title, seen: HashMap::new() }
    }

    pub(super) fn ids(&self) -> Vec<&SessionId> {
        let mut ids: Vec<_> = self.seen.iter().filter(|(_, ready)| ready.is_ok()).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Sees to it that the session's messages can be sealed, and that the server will know it before they come.
    ///
    /// The inner error is this session's own trouble, in words.
    pub(super) async fn ready(
        &mut self,
        id: &SessionId,
        origin: Origin,
    ) -> Result<Result<(), String>, CliError> {
        if let Some(ready) = self.seen.get(id) {
            return Ok(ready.clone());
        }
        let ready = self.make_ready(id, origin).await?;
        self.seen.insert(id.clone(), ready.clone());
        Ok(ready)
    }

    async fn make_ready(&self, id: &SessionId, origin: Origin) -> Result<Result<(), String>, CliError> {
        let secret = match self.known_secret(id)? {
            Some(secret) => secret,
            None => match self.find(id, origin).await? {
                Ok(secret) => secret,
                Err(why) => return Ok(Err(why)),
            },
        };
        let known = self.store.session(id)?;
        let owner = known.as_ref().and_then(|session| session.owner_device_id.as_ref());
        if owner.is_some_and(|owner| *owner != self.connection.device_id) {
            // Its row and its secret are the other device's to write.
            return Ok(Ok(()));
        }
        let repository = known.map_or_else(|| self.repository.clone(), |session| session.repository_id);
        let registered = self.service.sync_new_session(id, &repository, &secret).await?;
        Ok(lasting_trouble(registered))
    }

    fn known_secret(&self, id: &SessionId) -> Result<Option<SessionSecret>, CliError> {
        let Some(stored) = self.store.session_secret(id)? else { return Ok(None) };
        // Exposed to be parsed; it goes on as a `SessionSecret`.
        SessionSecret::parse(stored.expose()).map(Some).map_err(|_| {
            CliError::Usage("a stored session secret is malformed; restore the data folder from a backup")
        })
    }

    /// A secret for a session that this device does not know: the server's, or a new one.
    async fn find(&self, id: &SessionId, origin: Origin) -> Result<Result<SessionSecret, String>, CliError> {
        let owner = match origin {
            Origin::Own => None,
            // A second secret for a session that another device made would make its messages unreadable.
            Origin::Named => self.owner(id).await?,
        };
        let secret = match &owner {
            None => SessionSecret::generate(&mut UnwrapErr(SysRng)),
            Some(_) => match self.reader.session_secret(id).await {
                Ok(secret) => secret,
                Err(
                    error
                    @ (ReadError::NoEnvelope { .. } | ReadError::UnknownSender | ReadError::Envelope(_)),
                ) => {
                    return Ok(Err(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            },
        };
        self.store
            .save_session(&self.session(id, owner.filter(|owner| *owner != self.connection.device_id)))?;
        // On this disk before the server has anything that was sealed under it.
        self.store.save_secret(id, &secret)?;
        Ok(Ok(secret))
    }

    async fn owner(&self, id: &SessionId) -> Result<Option<DeviceId>, CliError> {
        let rows: Vec<SessionOwner> = decode_rows(&self.connection.select(Select::session_owner(id)).await?)?;
        Ok(rows.into_iter().next().map(|row| row.device_id))
    }

    fn session(&self, id: &SessionId, owner: Option<DeviceId>) -> CodingSession {
        CodingSession {
            owner_device_id: owner,
            title: self.title.clone(),
            ..CodingSession::new(id.clone(), self.repository.clone())
        }
    }
}

/// What will not come right by itself. The rest is in the outbox, and is tried again like a message.
fn lasting_trouble(session: NewSession) -> Result<(), String> {
    for step in [session.repository, session.session, session.secret] {
        if let Step::Failed(error) = step {
            return Err(error.to_string());
        }
    }
    Ok(())
}
