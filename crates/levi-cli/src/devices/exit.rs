//! The exit code of an error of the device list.

use levi::core::DeviceListError;
use levi::devices::pairing::PairingError;

use crate::exit::Exit;

/// What the exit code says of `error`. Those of the sign-in and of the server have codes of their
/// own, which a `CliError` knows.
pub(crate) const fn exit_of(error: &DeviceListError) -> Exit {
    match error {
        DeviceListError::NotRegistered => Exit::NotSignedIn,
        DeviceListError::Raced | DeviceListError::TimedOut => Exit::Server,
        DeviceListError::Problem(_)
        | DeviceListError::Keyring(_)
        | DeviceListError::OlderKeyring { .. }
        | DeviceListError::Pairing(PairingError::OtherList | PairingError::OtherEntry) => Exit::DeviceList,
        DeviceListError::Keys(_) | DeviceListError::Signature(_) => Exit::LocalError,
        // What was asked for cannot be done with this list, this code or this key.
        _ => Exit::BadInput,
    }
}
