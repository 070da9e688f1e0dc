//! What a device's store remembers of the list, for programs that show it without asking the server.

use levi_crypto::at_rest::DatabaseKey;
use levi_devices::keyring::Keyring;
use levi_types::{DeviceId, DeviceListStore, UserId};

use super::{DeviceListProblem, DeviceListState, mode, record, state_of, store_problem};

/// A list as the device has seen it last.
#[derive(Debug)]
pub struct StoredDeviceList {
    /// Whether it could be relied on then.
    pub state: DeviceListState,
    /// The secrets of its epochs, if the device has them.
    pub keyring: Option<Keyring>,
}

/// Reads what `store` remembers for `device` and `user`. `None`: the device has seen no list.
///
/// # Errors
/// [`DeviceListProblem`] if it cannot be read, or is damaged.
pub fn stored_device_list(
    store: &dyn DeviceListStore,
    user: &UserId,
    device: &DeviceId,
    database_key: Option<&DatabaseKey>,
) -> Result<Option<StoredDeviceList>, DeviceListProblem> {
    let Some(bytes) = store.device_list(user).map_err(store_problem)? else { return Ok(None) };
    let stored = match record::decode(&bytes, user, database_key)? {
        record::Stored::List(stored) => stored,
        record::Stored::NotOnList => {
            let state = DeviceListState::Stopped(DeviceListProblem::NotOnList);
            return Ok(Some(StoredDeviceList { state, keyring: None }));
        }
    };
    let record::StoredList { list, keyring, alarm, .. } = *stored;
    let mode = mode(device, Some(&list), keyring.as_ref(), alarm.map(DeviceListProblem::from));
    let state = state_of(&mode, Some(&list));
    Ok(Some(StoredDeviceList { state, keyring }))
}
