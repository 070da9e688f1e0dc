//! The daemon's own store: session secrets as they arrive, the sessions it has, and the deliveries
//! that Levi reports.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_types::{
    CodingSession, Delivery, DeliveryReport, PortErrorKind, Repository, RepositoryId, SecretString,
    SessionId, SessionStore, StoreError, UserId,
};

use crate::content::{Keys, session_number, user_name};
use crate::disk::Disk;
use crate::plan::{SessionSetup, SessionState};
use crate::tables::folder;

pub(crate) struct Daemon {
    keys: Arc<Keys>,
    sessions: Vec<SessionSetup>,
    disk: Disk,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    silent: bool,
    key_here: Vec<bool>,
}

impl Daemon {
    pub(crate) fn new(keys: Arc<Keys>, sessions: Vec<SessionSetup>, disk: Disk) -> Self {
        let key_here = sessions.iter().map(|session| session.key).collect();
        let daemon = Self { keys, sessions, disk, state: Mutex::new(State { silent: false, key_here }) };
        daemon.publish();
        daemon
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports to the model which keys and sessions Levi can know at this moment.
    fn publish(&self) {
        let state = self.state();
        let mut inner = self.disk.inner();
        inner.model.daemon_silent = state.silent;
        for (session, here) in inner.model.sessions.iter_mut().zip(&state.key_here) {
            session.key_here = *here && !state.silent;
        }
        for (session, setup) in inner.model.sessions.iter_mut().zip(&self.sessions) {
            session.known_to_daemon = setup.state != SessionState::Foreign;
        }
    }

    pub(crate) fn key_arrives(&self, session: usize) {
        if let Some(here) = self.state().key_here.get_mut(session) {
            *here = true;
        }
        self.publish();
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.state().silent = silent;
        self.publish();
    }

    fn answers(&self) -> Result<(), StoreError> {
        let silent = self.state().silent;
        if silent {
            Err(StoreError::new(PortErrorKind::Unavailable, "the store does not answer"))
        } else {
            Ok(())
        }
    }
}

impl SessionStore for Daemon {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        self.answers()?;
        let number = session_number(session);
        let here = self.state().key_here.get(number).copied().unwrap_or(false);
        let secret = self.keys.secrets.get(number).filter(|_| here);
        // Exposed as the daemon's store hands it out.
        Ok(secret.map(|secret| secret.expose().into()))
    }

    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        self.answers()?;
        Ok(Some(Repository::new(repository.clone(), "repository", folder(repository.as_str()))))
    }

    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        self.answers()?;
        let setup = self.sessions.get(session_number(session));
        Ok(setup
            .filter(|setup| setup.state != SessionState::Foreign)
            .map(|setup| CodingSession::new(session.clone(), format!("r{}", setup.repository_number()))))
    }

    fn session_user(&self, session: &SessionId) -> Result<Option<UserId>, StoreError> {
        self.answers()?;
        let setup = self.sessions.get(session_number(session));
        Ok(setup.map(|setup| user_name(usize::from(setup.user))))
    }

    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
        self.answers()?;
        let inner = &mut *self.disk.inner();
        if inner.dead {
            return Ok(());
        }
        for report in reports {
            let number = session_number(&report.session_id);
            let place = report.sequence_number;
            let Some(session) = inner.model.sessions.get_mut(number) else { continue };
            match &report.delivery {
                Delivery::Sent => {
                    session.reported_sent.insert(place);
                    let shown = session.shown_once(place).is_some();
                    inner.model.expect(shown, "reports", || {
                        format!("s{number}/{place} is reported as sent, the server does not have it")
                    });
                }
                Delivery::Parked { code } => {
                    inner.model.note(|| format!("report: s{number}/{place} was parked: {code}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
