//! Putting a new device on the list with the recovery key, when all devices are lost or a thief has one.

use levi_devices::Epoch;
use levi_devices::entry::{ListRow, SignedEntry};
use levi_devices::keyring::Keyring;
use levi_devices::list::{DeviceList, ReadError};
use levi_devices::recovery::RecoveryKey;
use levi_transport::rows::{KeyringRow, decode_rows};
use levi_transport::{Select, read_one};
use levi_types::{AuthSession, DeviceId};

use super::{DeviceListAdmin, DeviceListError};
use crate::DeviceListProblem;
use crate::device_list::fetch::all_rows;
use crate::device_list::look::open_keyring;
use crate::device_list::record::Keyrings;

/// How to recover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The name of this device on the list.
    pub name: String,
    /// The devices that stay. All others are removed.
    pub keep: Vec<DeviceId>,
    /// The slot of the last entry that the user recognizes; the entries after it are cut off. `None`: none are.
    pub after: Option<u64>,
}

impl DeviceListAdmin {
    /// The list that has this recovery key, for the person to look at before recovering: up to an entry of an unknown kind,
    /// if a device signed one.
    ///
    /// # Errors
    /// [`DeviceListError::Read`] if there is none; otherwise as named.
    pub async fn list_with(&self, key: &RecoveryKey) -> Result<DeviceList, DeviceListError> {
        let auth = self.server.session().await?;
        let rows = all_rows(&self.reads(&auth), &auth.user_id).await?;
        let public = key.member_keys().public_keys()?;
        Ok(DeviceList::read_to_recover(&auth.user_id, &public, &rows)?)
    }

    /// Puts this device on the list with the recovery key, and removes others. Returns the id of the recovery key: all
    /// sessions are then to be shared with this device by a `SessionSyncService` that acts as the recovery key.
    ///
    /// # Errors
    /// [`DeviceListError::AlreadyListed`] if this device is on the list, [`DeviceListError::Refused`] if its id or keys were on
    /// the list before; otherwise as named.
    pub async fn recover(&self, key: &RecoveryKey, how: &Recovery) -> Result<DeviceId, DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.0.changing.lock().await;
        // Before the rows are fetched: what another process of this device stores meanwhile is newer than they are.
        let seen = self.list.list(&auth.user_id);
        let rows = all_rows(&self.reads(&auth), &auth.user_id).await?;
        // What the server shows now does not replace what this device has seen.
        if let Some(seen) = seen {
            seen.extend(&rows).map_err(DeviceListProblem::from)?;
        }
        let list = match how.after {
            Some(_) => DeviceList::read_to_recover(&auth.user_id, &key.member_keys().public_keys()?, &rows)?,
            // An entry of an unknown kind may be an honest one of a later version: only a person cuts it off.
            None => read_with(&auth, key, &rows)?,
        };
        let recovery = list.recovery().ok_or(ReadError::OtherRecoveryKey)?.id().clone();
        let (mut keyring, list) = match self.recovered_at(&list, &recovery)? {
            // An earlier attempt was interrupted after its entry.
            Some(slot) => {
                let before: Vec<ListRow> = rows.into_iter().filter(|row| row.slot < slot).collect();
                let before = read_with(&auth, key, &before)?;
                (self.keyring_of(&auth, key, [&before, &list], &recovery).await?.0, list)
            }
            None => {
                // Before the entry, because a list whose secrets nobody has would be of no use.
                let (keyring, of) = self.keyring_of(&auth, key, [&list, &list], &recovery).await?;
                let base = base(&list, how, &of)?;
                (keyring, self.append_recovery(&auth, key, (how, &base), (list, &rows)).await?)
            }
        };
        let secret = self.list.0.keys.epoch_secret(&list.epoch_entry()?);
        if keyring.secret(list.epoch()).is_none() {
            keyring.push(list.epoch(), secret)?;
        }
        self.write_keyrings(&auth, &list, &keyring).await?;
        self.list.keep_change(list, Some(keyring), Keyrings::Written)?;
        Ok(recovery)
    }

    /// The slot of the last entry, if it put this device on the list with the recovery key.
    fn recovered_at(&self, list: &DeviceList, recovery: &DeviceId) -> Result<Option<u64>, DeviceListError> {
        let own_keys = self.list.0.keys.public_keys()?;
        let own = list.member(self.list.device_id()).filter(|known| known.is_active());
        let Some(known) = own.filter(|known| *known.member.keys() == own_keys) else { return Ok(None) };
        if known.added.by == *recovery && known.added.slot == list.slot() {
            return Ok(Some(list.slot()));
        }
        // Nothing would be removed or cut off, although the person asked for it.
        Err(DeviceListError::AlreadyListed)
    }

    async fn append_recovery(
        &self,
        auth: &AuthSession,
        key: &RecoveryKey,
        (how, base): (&Recovery, &DeviceList),
        (mut list, rows): (DeviceList, &[ListRow]),
    ) -> Result<DeviceList, DeviceListError> {
        let removed = base.active_devices().map(|device| device.id().clone());
        let removed: Vec<DeviceId> = removed.filter(|id| !how.keep.contains(id)).collect();
        let stamp = self.stamp_among(Some(list.slot()), rows)?;
        let device = self.this_device(&how.name)?;
        let entry = list.draft_recover(base.head(), removed, device, list.rotation()?, stamp)?;
        let entry = self.committed(&list, entry);
        let signed = SignedEntry::sign(&entry, &key.member_keys(), Some(&self.list.0.keys))?;
        list.accept(&signed)?;
        if self.insert(auth, &signed).await? { Ok(list) } else { Err(DeviceListError::Raced) }
    }

    /// The keyring that the recovery key was given last, and the list of then: of an epoch of one of `lists`, which may be
    /// one that was cut off.
    async fn keyring_of(
        &self,
        auth: &AuthSession,
        key: &RecoveryKey,
        lists: [&DeviceList; 2],
        recovery: &DeviceId,
    ) -> Result<(Keyring, DeviceList), DeviceListError> {
        let select = Select::keyring(&auth.user_id, recovery);
        let rows: Vec<KeyringRow> = decode_rows(&read_one(&self.reads(auth), select).await?)?;
        let row = rows.into_iter().next().ok_or(DeviceListProblem::NoKeyring)?;
        let epoch = Epoch::new(row.epoch).ok_or(DeviceListProblem::NoKeyring)?;
        let then = lists.iter().find_map(|list| list.in_epoch(epoch));
        let then = then.ok_or(DeviceListProblem::NoKeyring)?;
        let keyring = open_keyring(&row, &then, recovery, &key.member_keys())?;
        Ok((keyring, then))
    }
}

/// The list that the recovery follows. Epochs whose secrets the recovery key does not have are given up only if the person
/// names an entry before them, because an older keyring, which anybody with a token can put back, looks the same.
fn base(list: &DeviceList, how: &Recovery, of: &DeviceList) -> Result<DeviceList, DeviceListError> {
    let base = match how.after {
        Some(slot) => list.up_to(slot).ok_or(DeviceListError::NoSuchEntry(slot))?,
        None => list.clone(),
    };
    if base.epoch() > of.epoch() {
        let (known, epoch, after) = (of.epoch(), base.epoch(), of.slot());
        return Err(DeviceListError::OlderKeyring { known, epoch, after });
    }
    Ok(base)
}

fn read_with(auth: &AuthSession, key: &RecoveryKey, rows: &[ListRow]) -> Result<DeviceList, DeviceListError> {
    let public = key.member_keys().public_keys()?;
    Ok(DeviceList::read_with_recovery_key(&auth.user_id, &public, rows)?)
}
