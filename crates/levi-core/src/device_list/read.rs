//! What the daemon's store has of the device list.

use levi_types::UserId;

use super::{DeviceListProblem, SignedDeviceList, record, store_problem};

/// What the store has.
pub(super) struct Read {
    pub(super) stored: Option<Vec<u8>>,
    pub(super) list: Option<Box<record::StoredList>>,
    pub(super) problem: Option<DeviceListProblem>,
}

impl Read {
    pub(super) const fn problem(problem: DeviceListProblem) -> Self {
        Self { stored: None, list: None, problem: Some(problem) }
    }
}

impl SignedDeviceList {
    pub(super) fn read_store(&self, user: &UserId) -> Result<Read, DeviceListProblem> {
        let stored = self.0.store.device_list(user).map_err(store_problem)?;
        let Some(stored) = stored else { return Ok(Read::problem(DeviceListProblem::NotLooked)) };
        Ok(match record::decode(&stored, user, self.0.database_key.as_ref())? {
            record::Stored::List(list) => {
                let problem = list.alarm.map(DeviceListProblem::from);
                Read { stored: Some(stored), list: Some(list), problem }
            }
            record::Stored::NotOnList => {
                Read { stored: Some(stored), list: None, problem: Some(DeviceListProblem::NotOnList) }
            }
        })
    }
}
