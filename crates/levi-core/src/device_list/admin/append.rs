//! One entry and its keyrings: build, insert, and build again if another device was first.

use levi_devices::draft::{Stamp, free_slot};
use levi_devices::entry::{ListRow, SignedEntry};
use levi_devices::keyring::Keyring;
use levi_devices::list::{DeviceList, Refusal};
use levi_transport::rows::{DeviceListRow, KeyringRow};
use levi_types::{AuthSession, DeviceId};

use super::{DeviceListAdmin, DeviceListError};
use crate::device_list::DeviceListProblem;
use crate::device_list::fetch::rows_from;
use crate::device_list::look::extended;

/// How often an entry is built anew because another device was first.
pub(super) const ATTEMPTS: usize = 5;

impl DeviceListAdmin {
    /// The list as the server has it now. The caller holds the lock.
    pub(super) async fn current(&self, auth: &AuthSession) -> Result<DeviceList, DeviceListError> {
        let state = self.list.look_while_locked(&self.reads(auth), &auth.user_id).await?;
        if let crate::DeviceListState::Stopped(problem) = state {
            return Err(problem.into());
        }
        self.write_owed_keyrings(auth).await?;
        let list = self.list.list(&auth.user_id).ok_or(DeviceListError::NoList)?;
        Ok((*list).clone())
    }

    /// Appends the entry that `build` makes of the list as it is. Returns the list with it. Needs the lock.
    pub(super) async fn append(
        &self,
        auth: &AuthSession,
        build: impl Fn(&DeviceList, Stamp) -> Result<SignedEntry, DeviceListError>,
    ) -> Result<DeviceList, DeviceListError> {
        for _ in 0..ATTEMPTS {
            // Another device was first; with the next attempt, as with a slot that is taken.
            let Some((list, signed)) = self.draft(auth, &build).await? else { continue };
            if self.insert(auth, &signed).await? {
                return Ok(list);
            }
        }
        Err(DeviceListError::Raced)
    }

    /// The entry that `build` makes of the list as it is, and the list with it. `None` if another device was first. Needs
    /// the lock.
    pub(super) async fn draft(
        &self,
        auth: &AuthSession,
        build: impl Fn(&DeviceList, Stamp) -> Result<SignedEntry, DeviceListError>,
    ) -> Result<Option<(DeviceList, SignedEntry)>, DeviceListError> {
        let mut list = self.current(auth).await?;
        let Some(stamp) = self.stamp(auth, &list).await? else { return Ok(None) };
        let signed = build(&list, stamp)?;
        list.accept(&signed)?;
        Ok(Some((list, signed)))
    }

    /// A free slot above the list's head, and the time. `None` if the list has new entries by now:
    /// an entry that passes them over would fork the list.
    pub(super) async fn stamp(
        &self,
        auth: &AuthSession,
        list: &DeviceList,
    ) -> Result<Option<Stamp>, DeviceListError> {
        let rows = rows_from(&self.reads(auth), &auth.user_id, list.slot()).await?;
        let stamp = self.stamp_among(Some(list.slot()), &rows)?;
        let now = extended(list, rows).map_err(DeviceListProblem::from)?;
        Ok((now.head() == list.head()).then_some(stamp))
    }

    /// A free slot among `rows`, which must be the ones in which `head` is the last entry: every slot below the one that is
    /// chosen has been read then, and found to hold no entry.
    pub(super) fn stamp_among(&self, head: Option<u64>, rows: &[ListRow]) -> Result<Stamp, DeviceListError> {
        let taken: Vec<u64> = rows.iter().map(|row| row.slot).collect();
        Ok(Stamp { slot: free_slot(head, &taken)?, time_ms: self.now_ms() })
    }

    /// Whether the entry was inserted. Its slot may have been taken meanwhile.
    pub(super) async fn insert(
        &self,
        auth: &AuthSession,
        signed: &SignedEntry,
    ) -> Result<bool, DeviceListError> {
        let ListRow { slot, entry, signature, cosignature } = signed.to_row().map_err(Refusal::from)?;
        // Slots are below 2000.
        let slot = i64::try_from(slot).unwrap_or(i64::MAX);
        let row = DeviceListRow { user_id: auth.user_id.clone(), slot, entry, signature, cosignature };
        Ok(self.server.insert(auth, row).await?)
    }

    /// Writes the keyring for each active member.
    pub(super) async fn write_keyrings(
        &self,
        auth: &AuthSession,
        list: &DeviceList,
        keyring: &Keyring,
    ) -> Result<(), DeviceListError> {
        let members = list.active_members().map(|member| member.id());
        let rows = keyring_rows(list, keyring, members)?;
        Ok(self.server.upsert(auth, &rows).await?)
    }

    /// Writes the keyrings that this device began an epoch for and did not write.
    pub(super) async fn write_owed_keyrings(&self, auth: &AuthSession) -> Result<(), DeviceListError> {
        if let Some(rows) = self.list.owed_keyrings(&auth.user_id) {
            self.server.upsert(auth, &rows).await?;
            self.list.keyrings_are_written(&auth.user_id)?;
        }
        Ok(())
    }

    /// The keyring that this device has.
    pub(super) fn keyring(&self, auth: &AuthSession) -> Result<Keyring, DeviceListError> {
        let keyring = self.list.0.cache.keyring(&auth.user_id);
        keyring.ok_or_else(|| crate::DeviceListProblem::NoKeyring.into())
    }
}

/// The rows of `members`' keyrings.
pub(in crate::device_list) fn keyring_rows<'m>(
    list: &DeviceList,
    keyring: &Keyring,
    members: impl Iterator<Item = &'m DeviceId>,
) -> Result<Vec<KeyringRow>, levi_devices::keyring::KeyringError> {
    members
        .map(|member| {
            let sealed = keyring.seal_reproducibly(list, member)?;
            let (epoch, (enc, sealed)) = (sealed.epoch.number(), sealed.to_wire());
            Ok(KeyringRow { user_id: list.user_id().clone(), member_id: member.clone(), epoch, enc, sealed })
        })
        .collect()
}
