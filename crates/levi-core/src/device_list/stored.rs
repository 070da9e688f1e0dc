//! What a device's store remembers of the list, for programs that show it without asking the server.

use levi_crypto::at_rest::DatabaseKey;
use levi_devices::keyring::Keyring;
use levi_types::{DeviceId, DeviceListStore, UserId};

use super::{DeviceListProblem, DeviceListState, mode, record, state_of, store_problem};

/// What the list of `user` was worth for `device` when the server was last asked, as `store` remembers it. `None`: the
/// device has seen no list.
///
/// # Errors
/// [`DeviceListProblem`] if the store cannot be read or is damaged.
pub fn stored_state(
    store: &dyn DeviceListStore,
    user: &UserId,
    device: &DeviceId,
    database_key: &DatabaseKey,
) -> Result<Option<DeviceListState>, DeviceListProblem> {
    let Some(stored) = read(store, user, database_key)? else { return Ok(None) };
    let record::Stored { list, keyring, alarm } = stored;
    let mode = mode(device, Some(&list), keyring.as_ref(), alarm.map(DeviceListProblem::from));
    Ok(Some(state_of(&mode, Some(&list))))
}

/// The secrets of epochs that `store` has for `user`, without a [`SignedDeviceList`](super::SignedDeviceList).
///
/// # Errors
/// [`DeviceListProblem`] if the store cannot be read or is damaged.
pub fn stored_keyring(
    store: &dyn DeviceListStore,
    user: &UserId,
    database_key: &DatabaseKey,
) -> Result<Option<Keyring>, DeviceListProblem> {
    Ok(read(store, user, database_key)?.and_then(|stored| stored.keyring))
}

fn read(
    store: &dyn DeviceListStore,
    user: &UserId,
    database_key: &DatabaseKey,
) -> Result<Option<record::Stored>, DeviceListProblem> {
    let Some(stored) = store.device_list(user).map_err(store_problem)? else { return Ok(None) };
    Ok(Some(record::decode(&stored, user, Some(database_key))?))
}
