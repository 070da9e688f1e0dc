//! What a device list lets a device seal.

use levi_devices::keyring::Keyring;
use levi_devices::list::DeviceList;
use levi_types::DeviceId;

use super::{DeviceListProblem, DeviceListState};
use crate::sealing_key::SealingMode;

/// What `device` may seal with this list.
pub(super) fn mode(
    device: &DeviceId,
    list: Option<&DeviceList>,
    keyring: Option<&Keyring>,
    problem: Option<DeviceListProblem>,
) -> Result<SealingMode, DeviceListProblem> {
    if let Some(problem) = problem {
        return Err(problem);
    }
    let Some(list) = list else { return Ok(SealingMode::Version1) };
    if list.active(device).is_none() {
        return Err(DeviceListProblem::Removed);
    }
    let keyring = keyring.ok_or(DeviceListProblem::NoKeyring)?;
    // One that ends before is whole: the secret of the new epoch is not here yet.
    let secret = keyring.secret(list.epoch()).ok_or(DeviceListProblem::NoKeyring)?;
    keyring.check(list)?;
    Ok(SealingMode::Epoch(list.epoch(), secret.clone()))
}

pub(super) fn state_of(
    mode: &Result<SealingMode, DeviceListProblem>,
    list: Option<&DeviceList>,
) -> DeviceListState {
    match (mode, list) {
        (Err(problem), _) => DeviceListState::Stopped(problem.clone()),
        (Ok(_), None) => DeviceListState::DeviceTable,
        (Ok(_), Some(list)) => {
            DeviceListState::Listed { epoch: list.epoch().number(), devices: list.active_devices().count() }
        }
    }
}
