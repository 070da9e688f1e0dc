//! The first device begins the list.

use levi_devices::draft::genesis;
use levi_devices::entry::{ListRow, SignedEntry};
use levi_devices::keyring::Keyring;
use levi_devices::list::DeviceList;
use levi_devices::recovery::RecoveryKey;
use levi_devices::{EntryHash, Member, MemberType};
use levi_transport::ApiError;
use levi_transport::rows::DeviceRow;
use levi_types::{AuthSession, DeviceId};

use super::{DeviceListAdmin, DeviceListError};
use crate::device_list::fetch::all_rows;
use crate::device_list::record::Keyrings;
use crate::request_error::RequestError;
use crate::uuid::uuid_from;

/// What `devices` shows for the recovery key. The second word is for projects that know no other type.
const RECOVERY_TYPES: [&str; 2] = ["recovery", "desktop"];

/// `invalid_text_representation`: the column is an enum without the word.
const NOT_IN_ENUM: &str = "22P02";

/// The recovery key's name on the list.
const RECOVERY_NAME: &str = "recovery key";

/// What happens to the user's other devices when the list begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherDevices {
    /// The list is not begun if there are any.
    #[default]
    Refuse,
    /// They read no new messages until they are paired. What was sent before stays readable.
    PairLater,
}

impl DeviceListAdmin {
    /// Fails if [`init`](Self::init) would fail now. Call it before the user writes down a recovery key.
    ///
    /// # Errors
    /// As for [`init`](Self::init).
    pub async fn check_init(&self, others: OtherDevices) -> Result<(), DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.0.changing.lock().await;
        self.may_begin(&auth, others).await.map(drop)
    }

    /// Begins the user's signed list, with this device under `name` and the recovery key, which the user has written down.
    ///
    /// From then on this device does not open what was sealed by a device that never joins the
    /// list, such as one that the user no longer has. So call
    /// [`share_with_device`](crate::SessionSyncService::share_with_device) with this device's own
    /// id before, as `levi init` does.
    ///
    /// # Errors
    /// [`DeviceListError::AlreadyListed`], [`DeviceListError::ListExists`], [`DeviceListError::OtherDevices`],
    /// [`DeviceListError::NotRegistered`]; otherwise as named.
    pub async fn init(
        &self,
        name: &str,
        recovery_key: &RecoveryKey,
        others: OtherDevices,
    ) -> Result<(), DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.0.changing.lock().await;
        let rows = self.may_begin(&auth, others).await?;
        let (device, recovery_keys) = (self.this_device(name)?, recovery_key.member_keys());
        let recovery_id = DeviceId::from(uuid_from(&mut self.list.random()));
        let recovery = recovery_keys.public_keys()?;
        let recovery = Member::new(recovery_id, MemberType::Recovery, RECOVERY_NAME, recovery)?;
        let entry = genesis(&auth.user_id, device, recovery.clone(), self.stamp_among(None, &rows)?);
        let secret = self.list.0.keys.epoch_secret(&entry);
        let entry = entry.commit(EntryHash::ZERO, &secret);
        let signed = SignedEntry::sign(&entry, &self.list.0.keys, Some(&recovery_keys))?;
        let list = DeviceList::begin(&auth.user_id, &signed)?;
        let keyring = Keyring::first(secret);
        // Before the entry, because nobody reads them without it, and a list without keyrings helps nobody.
        self.register_recovery(&auth, &recovery).await?;
        self.write_keyrings(&auth, &list, &keyring).await?;
        if !self.insert(&auth, &signed).await? {
            return Err(DeviceListError::Raced);
        }
        Ok(self.list.keep_change(list, Some(keyring), Keyrings::Written)?)
    }

    /// Adopts a list that this device was put on before it was interrupted and could store it.
    /// Returns whether there is one. The entry has this device's own signature.
    ///
    /// # Errors
    /// [`DeviceListError`]
    pub async fn resume(&self) -> Result<bool, DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.0.changing.lock().await;
        let reads = self.reads(&auth);
        self.list.look_while_locked(&reads, &auth.user_id).await?;
        if self.list.list(&auth.user_id).is_some() {
            return Ok(false);
        }
        let rows = all_rows(&reads, &auth.user_id).await?;
        let keys = self.list.0.keys.public_keys()?;
        for genesis in DeviceList::geneses(&auth.user_id, &rows) {
            let list = DeviceList::read(&auth.user_id, genesis, &rows)?;
            if list.active(self.list.device_id()).is_some_and(|member| *member.keys() == keys) {
                self.list.adopt(&reads, list).await?;
                self.write_owed_keyrings(&auth).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rows on the server, if this device is on no list.
    pub(super) async fn begin_anew(&self, auth: &AuthSession) -> Result<Vec<ListRow>, DeviceListError> {
        let reads = self.reads(auth);
        self.list.look_while_locked(&reads, &auth.user_id).await?;
        if self.list.list(&auth.user_id).is_some() {
            return Err(DeviceListError::AlreadyListed);
        }
        Ok(all_rows(&reads, &auth.user_id).await?)
    }

    /// The rows on the server, if none of them begins a list. Needs the lock.
    async fn may_begin(
        &self,
        auth: &AuthSession,
        others: OtherDevices,
    ) -> Result<Vec<ListRow>, DeviceListError> {
        let rows = self.begin_anew(auth).await?;
        if !DeviceList::geneses(&auth.user_id, &rows).is_empty() {
            return Err(DeviceListError::ListExists);
        }
        self.check_others(auth, others).await?;
        Ok(rows)
    }

    async fn check_others(&self, auth: &AuthSession, others: OtherDevices) -> Result<(), DeviceListError> {
        let devices = self.reads(auth).active_devices().await?;
        let devices: Vec<DeviceRow> = devices.into_iter().filter_map(Result::ok).collect();
        let own_key = self.list.0.keys.envelope.public_key().to_base64();
        let is_this = |row: &&DeviceRow| row.id == *self.list.device_id();
        if !devices.iter().filter(is_this).any(|row| row.public_key.as_ref() == Some(&own_key)) {
            return Err(DeviceListError::NotRegistered);
        }
        let names = devices.iter().filter(|row| !is_this(row)).map(|row| row.name.clone());
        let names: Vec<String> = names.collect();
        match others {
            OtherDevices::Refuse if !names.is_empty() => Err(DeviceListError::OtherDevices(names)),
            _ => Ok(()),
        }
    }

    /// A row of `devices`, so that the recovery key is given envelopes like a device.
    pub(super) async fn register_recovery(
        &self,
        auth: &AuthSession,
        recovery: &Member,
    ) -> Result<(), DeviceListError> {
        let mut refused: Option<ApiError> = None;
        for device_type in RECOVERY_TYPES {
            let row = DeviceRow {
                public_key: Some(recovery.keys().envelope().to_base64()),
                ..DeviceRow::new(recovery.id().clone(), auth.user_id.clone(), RECOVERY_NAME, device_type)
            };
            match self.server.upsert(auth, &[row]).await {
                Err(RequestError::Api(error)) if error.code == NOT_IN_ENUM => refused = Some(error),
                result => return Ok(result?),
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The recovery member's name on the list.
pub(super) const fn recovery_name() -> &'static str {
    RECOVERY_NAME
}
