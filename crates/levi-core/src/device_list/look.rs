//! A look at the list that the server shows.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levi_devices::Epoch;
use levi_devices::entry::{ListRow, MAX_SLOT};
use levi_devices::keyring::{Keyring, SealedKeyring};
use levi_devices::list::DeviceList;
use levi_devices::pin::PinError;
use levi_transport::rows::{DeviceListRow, KeyringRow, decode_rows};
use levi_transport::{
    ApiError, DeviceListOf, PageSource, Select, SharedPageSize, Supabase, next_page, read_one,
};
use levi_types::{AccessToken, StoreError, UserId};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::record::{self, Alarm};
use super::{DeviceListProblem, DeviceListState, Known, SignedDeviceList, store_problem};

/// What PostgREST says of a table that is not there, in new versions and in those before 13: the project has not the
/// tables of the device list.
const NO_TABLE: [&str; 2] = ["PGRST205", "42P01"];

/// Rows in one request. A row has at most 8 KiB.
const PAGE: u32 = 500;

/// Why the server could not be asked.
#[derive(Debug)]
pub(crate) enum LookError {
    /// The server refused or could not be reached. What was known before still holds.
    Server(ApiError),
    /// What was read cannot be stored here. Nothing is sealed.
    Store(DeviceListProblem),
}

impl From<ApiError> for LookError {
    fn from(error: ApiError) -> Self {
        Self::Server(error)
    }
}

impl SignedDeviceList {
    /// Asks the server for what came after the pinned head, and goes on with it if it continues what this device has seen.
    ///
    /// Entries before the pinned head are not fetched again, because the head's hash covers them.
    pub(crate) async fn look(
        &self,
        source: &dyn PageSource,
        user: &UserId,
    ) -> Result<DeviceListState, LookError> {
        let _one_at_a_time = self.0.changing.lock().await;
        self.look_while_locked(source, user).await
    }

    pub(super) async fn look_while_locked(
        &self,
        source: &dyn PageSource,
        user: &UserId,
    ) -> Result<DeviceListState, LookError> {
        self.load(user);
        match self.list(user) {
            Some(list) => {
                let rows = rows_from(source, user, list.slot()).await?;
                let own = list.entries().filter_map(|signed| signed.to_row().ok());
                let own = own.filter(|row| row.slot < list.slot());
                match list.extend(&own.chain(rows).collect::<Vec<_>>()) {
                    Ok(extended) => self.adopt(source, extended).await?,
                    Err(problem) => self.stop(user, problem.into()),
                }
            }
            // The store could not be read, and may be readable by now.
            None if self.stored_problem().is_some() => self.read_again(user),
            None => {
                let rows = all_rows(source, user).await?;
                let problem =
                    (!DeviceList::geneses(user, &rows).is_empty()).then_some(DeviceListProblem::NotOnList);
                let mode = self.mode(None, None, problem);
                self.publish(user, None, mode, None);
            }
        }
        Ok(self.state())
    }

    /// Goes on with a list that was verified: fetches the keyring if its epoch is a new one, and stores both.
    pub(super) async fn adopt(&self, source: &dyn PageSource, list: DeviceList) -> Result<(), LookError> {
        let user = list.user_id().clone();
        let (keyring, problem) = match self.0.cache.keyring(&user).filter(|known| known.check(&list).is_ok())
        {
            Some(keyring) => (Some(keyring), None),
            None if list.active(&self.0.device_id).is_none() => (self.0.cache.keyring(&user), None),
            // Whatever it is, the list has gone on: nothing is sealed in the epoch before.
            None => {
                match self.fetch_keyring(source, &list).await.inspect_err(|_| self.await_keyring(&user))? {
                    Ok(keyring) => (Some(keyring), None),
                    Err(problem) => match self.own_epoch(&list) {
                        Some(keyring) => {
                            self.owe_keyrings(list, keyring);
                            return Ok(());
                        }
                        // Older epochs stay readable.
                        None => (self.0.cache.keyring(&user), Some(problem)),
                    },
                }
            }
        };
        self.keep(list, keyring, problem)
    }

    /// The keyring of an epoch that this device began, if it was interrupted before it wrote the keyrings.
    fn own_epoch(&self, list: &DeviceList) -> Option<Keyring> {
        let (user, epoch) = (list.user_id(), list.epoch());
        let secret = self.0.keys.epoch_secret(user, list.epoch_follows().ok()?, epoch);
        let keyring = match self.0.cache.keyring(user) {
            Some(mut keyring) => {
                keyring.push(epoch, secret).ok()?;
                keyring
            }
            None => Keyring::first(secret),
        };
        keyring.check(list).is_ok().then_some(keyring)
    }

    /// Goes on with a list whose current epoch this device began, and has yet to write the keyrings of. It is stored only
    /// once they are written, so that after a crash the next look finds out again that they are missing.
    pub(super) fn owe_keyrings(&self, list: DeviceList, keyring: Keyring) {
        let user = list.user_id().clone();
        self.load(&user);
        let mut known = self.known();
        if known.is_of(&user) {
            let mode = self.mode(Some(&list), Some(&keyring), None);
            (known.list, known.is_stored, known.owes_keyrings) = (Some(Arc::new(list)), false, true);
            self.publish(&user, known.list.as_deref(), mode, Some(keyring));
        }
    }

    /// The keyrings were written.
    pub(crate) fn keyrings_are_written(&self, user: &UserId) -> Result<(), LookError> {
        self.known().owes_keyrings = false;
        match self.list(user) {
            Some(list) => self.keep((*list).clone(), self.0.cache.keyring(user), None),
            None => Ok(()),
        }
    }

    /// Stores the list and goes on with it.
    pub(super) fn keep(
        &self,
        list: DeviceList,
        keyring: Option<Keyring>,
        problem: Option<DeviceListProblem>,
    ) -> Result<(), LookError> {
        let user = list.user_id().clone();
        self.load(&user);
        let mut known = self.known();
        if !known.is_of(&user) {
            // Another user is signed in by now.
            return Ok(());
        }
        let unchanged = known.is_stored
            && known.list.as_deref() == Some(&list)
            && known.alarm.is_none()
            && self.0.cache.keyring(&user) == keyring;
        if !unchanged {
            match self.write(&mut known, &list, keyring.as_ref(), None) {
                Ok(true) => {}
                Ok(false) => {
                    drop(known);
                    self.read_again(&user);
                    return Ok(());
                }
                Err(error) => {
                    drop(known);
                    let problem = store_problem(error);
                    self.stop(&user, problem.clone());
                    return Err(LookError::Store(problem));
                }
            }
        }
        let mode = self.mode(Some(&list), keyring.as_ref(), problem);
        known.list = Some(Arc::new(list));
        self.publish(&user, known.list.as_deref(), mode, keyring);
        Ok(())
    }

    fn await_keyring(&self, user: &UserId) {
        self.load(user);
        self.stop(user, DeviceListProblem::NoKeyring);
    }

    /// Seals nothing any more. What was readable stays readable.
    fn stop(&self, user: &UserId, problem: DeviceListProblem) {
        let mut known = self.known();
        let keyring = self.0.cache.keyring(user);
        let alarm = Alarm::of(&problem);
        let is_news = alarm.is_some() && alarm != known.alarm;
        if let Some(list) = known.list.clone().filter(|list| is_news && list.user_id() == user)
            && let Err(error) = self.write(&mut known, &list, keyring.as_ref(), alarm)
        {
            tracing::warn!("that nothing is sealed is not remembered: {error}");
        }
        self.publish(user, known.list.as_deref(), Err(problem), keyring);
    }

    /// Stores what is known now, unless another process has stored something else meanwhile. Whether it was stored.
    fn write(
        &self,
        known: &mut Known,
        list: &DeviceList,
        keyring: Option<&Keyring>,
        alarm: Option<Alarm>,
    ) -> Result<bool, StoreError> {
        let key = self.0.database_key.as_ref();
        let stored = record::encode(list, keyring, alarm, key, &mut UnwrapErr(SysRng));
        let is_stored = self.0.store.replace_device_list(list.user_id(), known.stored.as_deref(), &stored)?;
        if is_stored {
            (known.stored, known.alarm, known.is_stored) = (Some(stored), alarm, true);
        }
        Ok(is_stored)
    }

    /// Another process has stored a list, or the store could not be read before.
    pub(super) fn read_again(&self, user: &UserId) {
        self.0.cache.forget_mode(user);
        self.load(user);
    }

    fn stored_problem(&self) -> Option<DeviceListProblem> {
        match self.state() {
            DeviceListState::Stopped(
                problem @ (DeviceListProblem::Store(_) | DeviceListProblem::Pin(PinError::Damaged)),
            ) => Some(problem),
            _ => None,
        }
    }

    pub(super) async fn fetch_keyring(
        &self,
        source: &dyn PageSource,
        list: &DeviceList,
    ) -> Result<Result<Keyring, DeviceListProblem>, ApiError> {
        let select = Select::keyring(list.user_id(), &self.0.device_id);
        let rows: Vec<KeyringRow> = decode_rows(&read_one(source, select).await?)?;
        let Some(row) = rows.into_iter().next() else { return Ok(Err(DeviceListProblem::NoKeyring)) };
        Ok(open_keyring(&row, list, &self.0.device_id, &self.0.keys))
    }
}

/// Opens a member's keyring. One of another epoch is not there yet: it is written just after the entry.
pub(super) fn open_keyring(
    row: &KeyringRow,
    list: &DeviceList,
    member: &levi_types::DeviceId,
    keys: &levi_devices::MemberKeys,
) -> Result<Keyring, DeviceListProblem> {
    let epoch = Epoch::new(row.epoch).filter(|epoch| *epoch == list.epoch());
    let epoch = epoch.ok_or(DeviceListProblem::NoKeyring)?;
    let sealed = SealedKeyring::from_wire(epoch, &row.enc, &row.sealed)?;
    Ok(Keyring::open(&sealed, list, member, keys)?)
}

/// Every row of the user's list. A project without the tables has none.
pub(super) async fn all_rows(source: &dyn PageSource, user: &UserId) -> Result<Vec<ListRow>, ApiError> {
    match rows_after(source, user, None).await {
        Err(error) if NO_TABLE.contains(&error.code.as_str()) => Ok(Vec::new()),
        result => result,
    }
}

/// The rows from `slot` on.
pub(super) async fn rows_from(
    source: &dyn PageSource,
    user: &UserId,
    slot: u64,
) -> Result<Vec<ListRow>, ApiError> {
    let after = i64::try_from(slot).ok().and_then(|slot| slot.checked_sub(1)).filter(|after| *after >= 0);
    rows_after(source, user, after).await
}

/// Rows in slots that no list has are not asked for, because a server could show them without end.
async fn rows_after(
    source: &dyn PageSource,
    user: &UserId,
    mut after: Option<i64>,
) -> Result<Vec<ListRow>, ApiError> {
    let (size, mut rows) = (SharedPageSize::new(PAGE), Vec::new());
    loop {
        let page = next_page(source, &DeviceListOf(user), after.as_ref(), u32::MAX, &size).await?;
        // A row that cannot be fetched even alone is garbage, because entries are short.
        rows.extend(page.rows.into_iter().filter_map(Result::ok).filter_map(to_list_row));
        match page.cursor {
            Some(cursor) if u64::try_from(cursor).is_ok_and(|slot| slot < MAX_SLOT) => after = Some(cursor),
            _ => return Ok(rows),
        }
    }
}

fn to_list_row(row: DeviceListRow) -> Option<ListRow> {
    let DeviceListRow { slot, entry, signature, cosignature, .. } = row;
    let slot = u64::try_from(slot).ok().filter(|slot| *slot <= MAX_SLOT)?;
    Some(ListRow { slot, entry, signature, cosignature })
}

/// Reads with one token and without patience: whoever looks, looks again later.
pub(crate) struct WithToken {
    pub(crate) supabase: Arc<dyn Supabase>,
    pub(crate) token: AccessToken,
}

#[async_trait]
impl PageSource for WithToken {
    async fn select(&self, select: Select) -> Result<Vec<u8>, ApiError> {
        self.supabase.select(&self.token, select).await
    }

    async fn wait(&self, _retry: u32, _at_least: Option<Duration>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests;
