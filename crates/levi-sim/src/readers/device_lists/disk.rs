//! A device's disk: the list, the first messages of epochs, and the messages that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_types::{
    DeviceListStore, EpochStart, MessageSyncRequest, PortErrorKind, SessionId, StoreError, UserId,
};

use super::line::{DiskFate, Line};

/// A message that is not on the server yet, as far as the device knows.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) request: MessageSyncRequest,
    /// The sealed row. `None`: it waits for a key, or for the device list.
    pub(super) row: Option<Vec<u8>>,
}

/// A device's disk, which survives its processes.
#[derive(Default)]
pub(super) struct Disk {
    kept: Mutex<Kept>,
}

#[derive(Default)]
pub(super) struct Kept {
    list: Option<Vec<u8>>,
    starts: HashMap<SessionId, Vec<EpochStart>>,
    pub(super) outbox: Vec<Waiting>,
    /// The highest number of each session that was sealed here.
    pub(super) highest: HashMap<SessionId, i64>,
}

impl Disk {
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row to be sent next, if it is sealed.
    pub(super) fn first_sealed(&self) -> Option<Vec<u8>> {
        self.kept().outbox.first()?.row.clone()
    }
}

/// The disk as one process sees it: it may fail, and the process may end before or after a write.
pub(super) struct ListStore {
    pub(super) disk: Arc<Disk>,
    pub(super) line: Arc<Line>,
}

impl ListStore {
    fn write(&self) -> Result<MutexGuard<'_, Kept>, StoreError> {
        match self.line.disk() {
            DiskFate::Stores => Ok(self.disk.kept()),
            DiskFate::Fails => Err(StoreError::new(PortErrorKind::Unavailable, "the disk does not write")),
        }
    }
}

impl DeviceListStore for ListStore {
    fn device_list(&self, _: &UserId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.disk.kept().list.clone())
    }

    fn replace_device_list(
        &self,
        _: &UserId,
        before: Option<&[u8]>,
        list: &[u8],
    ) -> Result<bool, StoreError> {
        let mut kept = self.write()?;
        let is_as_before = kept.list.as_deref() == before;
        if is_as_before {
            kept.list = Some(list.to_vec());
        }
        Ok(is_as_before)
    }

    fn epoch_starts(&self, _: &UserId, session: &SessionId) -> Result<Vec<EpochStart>, StoreError> {
        Ok(self.disk.kept().starts.get(session).cloned().unwrap_or_default())
    }

    fn keep_epoch_start(&self, _: &UserId, session: &SessionId, start: EpochStart) -> Result<(), StoreError> {
        let mut kept = self.write()?;
        let starts = kept.starts.entry(session.clone()).or_default();
        match starts.iter_mut().find(|known| known.epoch == start.epoch) {
            Some(known) => known.sequence_number = known.sequence_number.min(start.sequence_number),
            None => starts.push(start),
        }
        Ok(())
    }
}
