//! Removing a device, or replacing the recovery key: a new epoch begins, whose secret the removed member never gets.

use std::iter;

use levi_devices::draft::Stamp;
use levi_devices::entry::{Entry, SignedEntry};
use levi_devices::keyring::Keyring;
use levi_devices::list::{DeviceList, ReadError};
use levi_devices::recovery::RecoveryKey;
use levi_devices::{Member, MemberType};
use levi_transport::rows::DeviceRow;
use levi_types::{AuthSession, DeviceId};

use super::append::{ATTEMPTS, keyring_rows};
use super::init::recovery_name;
use super::{DeviceListAdmin, DeviceListError};
use crate::uuid::uuid_from;

impl DeviceListAdmin {
    /// Removes a device from the list. It reads nothing that is written by devices which have seen the removal.
    ///
    /// # Errors
    /// [`DeviceListError::Refused`] with [`Refusal::LastDevice`](levi_devices::list::Refusal::LastDevice) for the last one,
    /// [`DeviceListError::NoSuchDevice`] for one that is not on the list; otherwise as named.
    pub async fn remove(&self, device: &DeviceId) -> Result<(), DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.0.changing.lock().await;
        let build = |list: &DeviceList, stamp: Stamp| {
            if list.active(device).is_none() {
                return Err(DeviceListError::no_such(device));
            }
            let entry = list.draft_remove(self.list.device_id(), device.clone(), list.rotation()?, stamp);
            Ok(SignedEntry::sign(&self.committed(list, entry), &self.list.0.keys, None)?)
        };
        let list = self.append(&auth, build).await?;
        self.begin_epoch(&auth, list).await?;
        self.deactivate(&auth, device).await;
        Ok(())
    }

    /// Replaces the recovery key. `new` is the key that the user has written down.
    ///
    /// # Errors
    /// [`DeviceListError::Read`] if `old` is not the list's recovery key; otherwise as named.
    pub async fn replace_recovery_key(
        &self,
        old: &RecoveryKey,
        new: &RecoveryKey,
    ) -> Result<(), DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.0.changing.lock().await;
        let (old_keys, new_keys) = (old.member_keys(), new.member_keys());
        let old_public = old_keys.public_keys()?;
        let id = DeviceId::from(uuid_from(&mut self.list.random()));
        let recovery = Member::new(id, MemberType::Recovery, recovery_name(), new_keys.public_keys()?)?;
        let replaced_in = |list: &DeviceList| {
            let replaced = list.recovery().filter(|member| *member.keys() == old_public);
            replaced.map(|member| member.id().clone()).ok_or(ReadError::OtherRecoveryKey)
        };
        let replaced = replaced_in(&self.current(&auth).await?)?;
        self.register_recovery(&auth, &recovery).await?;
        let build = |list: &DeviceList, stamp: Stamp| {
            // Another device may have replaced it since.
            replaced_in(list)?;
            let entry = list.draft_new_recovery_key(recovery.clone(), list.rotation()?, stamp)?;
            Ok(SignedEntry::sign(&self.committed(list, entry), &old_keys, Some(&new_keys))?)
        };
        for _ in 0..ATTEMPTS {
            let Some((list, signed)) = self.draft(&auth, build).await? else { continue };
            // Before the entry: if this device is lost right after it, the new key opens the history all the same.
            let rows = keyring_rows(&list, &self.next_keyring(&auth, &list)?, iter::once(recovery.id()))?;
            self.server.upsert(&auth, &rows).await?;
            if self.insert(&auth, &signed).await? {
                self.begin_epoch(&auth, list).await?;
                self.deactivate(&auth, &replaced).await;
                return Ok(());
            }
        }
        Err(DeviceListError::Raced)
    }

    /// `entry`, committed to the secret of the epoch that it begins, which this device derives.
    pub(super) fn committed(&self, list: &DeviceList, entry: Entry) -> Entry {
        let secret = self.list.0.keys.epoch_secret(&entry);
        entry.commit(list.genesis(), &secret)
    }

    /// This device's keyring with the secret of the epoch that `list` begins.
    fn next_keyring(&self, auth: &AuthSession, list: &DeviceList) -> Result<Keyring, DeviceListError> {
        let secret = self.list.0.keys.epoch_secret(&list.epoch_entry()?);
        let mut keyring = self.keyring(auth)?;
        keyring.push(list.epoch(), secret)?;
        Ok(keyring)
    }

    /// After the entry was inserted: keyrings for all, then this device seals in the new epoch.
    async fn begin_epoch(&self, auth: &AuthSession, list: DeviceList) -> Result<(), DeviceListError> {
        let keyring = self.next_keyring(auth, &list)?;
        // This device stores the new epoch first, so that the next look makes up for a failure from here on.
        self.list.owe_keyrings(list.clone(), keyring.clone())?;
        self.write_keyrings(auth, &list, &keyring).await?;
        Ok(self.list.keyrings_are_written(&auth.user_id)?)
    }

    /// Tells software that looks at the table only. The list has changed already, so a failure is not the caller's.
    async fn deactivate(&self, auth: &AuthSession, device: &DeviceId) {
        let deactivated: Result<(), DeviceListError> = async {
            if let Some(row) = self.reads(auth).device(device).await? {
                self.server.upsert(auth, &[DeviceRow { is_active: false, ..row }]).await?;
            }
            Ok(())
        }
        .await;
        if let Err(error) = deactivated {
            tracing::warn!(%device, "the table of devices still shows it as active: {error}");
        }
    }
}
