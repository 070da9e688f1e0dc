//! What a device has stored of its list, and pins.

use levi_core::{DeviceListState, stored_device_list};
use levi_crypto::at_rest::DatabaseKey;
use levi_devices::pin::Pin;
use levi_types::{DeviceListStore, EpochStart, SessionId, StoreError, UserId};

use crate::devices::Fixed;

/// A store that holds these bytes.
struct Stored<'i>(&'i [u8]);

impl DeviceListStore for Stored<'_> {
    fn device_list(&self, _: &UserId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Some(self.0.to_vec()))
    }

    fn replace_device_list(&self, _: &UserId, _: Option<&[u8]>, _: &[u8]) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn epoch_starts(&self, _: &UserId, _: &SessionId) -> Result<Vec<EpochStart>, StoreError> {
        Ok(Vec::new())
    }

    fn keep_epoch_start(&self, _: &UserId, _: &SessionId, _: EpochStart) -> Result<(), StoreError> {
        Ok(())
    }
}

fn database_key() -> DatabaseKey {
    DatabaseKey::from_bytes([9; 32])
}

/// The record of a device. Whatever was stored, nothing is sealed but with the keyring that this device has encrypted
/// itself; and no record makes a device seal as without a list.
pub(crate) fn stored_list(input: &[u8]) {
    if let Ok(pin) = Pin::decode(input) {
        assert_eq!(pin.encode(), input, "a second encoding of a pin is accepted");
    }
    let fixed = Fixed::new();
    let read = stored_device_list(&Stored(input), &fixed.user, &"laptop".into(), Some(&database_key()));
    let Ok(stored) = read else { return };
    let Some(stored) = stored else { unreachable!("something is stored") };
    if let Some(keyring) = &stored.keyring {
        assert_eq!(*keyring, fixed.keyring, "a keyring of somebody else's was restored");
    }
    match stored.state {
        DeviceListState::Listed { .. } => assert!(stored.keyring.is_some(), "sealed without a keyring"),
        DeviceListState::Stopped(_) => {}
        state => unreachable!("{state:?} although there is a list"),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use levi_crypto::at_rest::{self, Slot};

    use super::*;
    use crate::devices::Repeat;

    #[test]
    fn the_kept_record_is_listed() {
        let fixed = Fixed::new();
        let slot = Slot { table: "levi_device_list", row_key: fixed.user.as_str(), column: "keyring" };
        let secret = fixed.keyring.expose_bytes();
        let keyring = at_rest::seal(&database_key(), slot, &secret, &mut Repeat([7; 16])).unwrap();
        let entries = fixed.list.entries().map(|signed| {
            let row = signed.to_row().unwrap();
            serde_json::json!({
                "entry": row.entry, "signature": row.signature, "cosignature": row.cosignature,
            })
        });
        let record = serde_json::json!({
            "pin": STANDARD.encode(fixed.list.pin().encode()),
            "entries": entries.collect::<Vec<_>>(),
            "keyring": STANDARD.encode(keyring),
        });
        let kept = include_str!("../../../fuzz/corpus/stored_list/listed");
        assert_eq!(kept, record.to_string(), "fuzz/corpus/stored_list/listed");
        let read = |text: &str| {
            stored_device_list(&Stored(text.as_bytes()), &fixed.user, &"laptop".into(), Some(&database_key()))
        };
        let listed = read(kept).unwrap().unwrap();
        assert!(
            matches!(listed.state, DeviceListState::Listed { epoch: 1, devices: 1 }),
            "{:?}",
            listed.state
        );
        let not_on_list = include_str!("../../../fuzz/corpus/stored_list/not-on-list");
        assert!(!read(not_on_list).unwrap().unwrap().state.may_seal());
    }
}
