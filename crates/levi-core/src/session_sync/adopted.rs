//! Repositories that the server has under another id than the daemon's store, because this device's folder was
//! registered before: by an earlier installation, or by another program of the device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_types::{RepositoryId, UserId};

/// The server's ids. They are kept in memory only, because a session's row that names an id which the server does not
/// have leads to the right one: the server is asked for the repository of the folder.
#[derive(Clone, Default)]
pub(crate) struct Adopted(Arc<Mutex<HashMap<(UserId, RepositoryId), RepositoryId>>>);

impl Adopted {
    fn ids(&self) -> MutexGuard<'_, HashMap<(UserId, RepositoryId), RepositoryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id by which the rows of `user` name the repository.
    pub(super) fn id_on_server(&self, user: &UserId, repository: &RepositoryId) -> RepositoryId {
        self.ids().get(&(user.clone(), repository.clone())).unwrap_or(repository).clone()
    }

    pub(super) fn adopt(&self, user: &UserId, repository: &RepositoryId, on_server: RepositoryId) {
        self.ids().insert((user.clone(), repository.clone()), on_server);
    }

    /// The server has the repository under its own id.
    pub(super) fn forget(&self, user: &UserId, repository: &RepositoryId) {
        self.ids().remove(&(user.clone(), repository.clone()));
    }
}
