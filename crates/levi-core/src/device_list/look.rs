//! A look at the list that the server shows.

use std::sync::Arc;

use levi_devices::Epoch;
use levi_devices::entry::ListRow;
use levi_devices::keyring::{Keyring, SealedKeyring};
use levi_devices::list::DeviceList;
use levi_devices::pin::PinError;
use levi_transport::rows::{KeyringRow, decode_rows};
use levi_transport::{ApiError, PageSource, Select, read_one};
use levi_types::{StoreError, UserId};

use super::fetch::{all_rows, rows_from};
use super::record::{self, Alarm, Keyrings, Marks};
use super::{DeviceListProblem, DeviceListState, SignedDeviceList, store_problem};

/// How often the server is asked again because another process has stored another list meanwhile.
const ATTEMPTS: usize = 3;

/// Why the server could not be asked.
#[derive(Debug)]
pub(crate) enum LookError {
    /// The server refused or could not be reached. What was known before still holds.
    Server(ApiError),
    /// What was read cannot be stored here. Nothing is sealed.
    Store(DeviceListProblem),
    /// Other processes on the same store have stored another list each time. This process adopts
    /// what they stored, and drops the server's answer.
    Overtaken,
}

impl From<ApiError> for LookError {
    fn from(error: ApiError) -> Self {
        Self::Server(error)
    }
}

impl SignedDeviceList {
    /// Asks the server for the entries after the pinned head, and adopts them if they continue what this device has seen.
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

    /// As [`look`](Self::look), for a caller that holds the lock.
    pub(crate) async fn look_while_locked(
        &self,
        source: &dyn PageSource,
        user: &UserId,
    ) -> Result<DeviceListState, LookError> {
        for _ in 0..ATTEMPTS {
            match self.look_once(source, user).await {
                Err(LookError::Overtaken) => {}
                looked => return looked,
            }
        }
        Err(LookError::Overtaken)
    }

    async fn look_once(&self, source: &dyn PageSource, user: &UserId) -> Result<DeviceListState, LookError> {
        self.load(user);
        // A command may have put this device on the list since.
        self.catch_up_while_locked(user);
        match self.list(user) {
            Some(list) => {
                let rows = rows_from(source, user, list.slot()).await?;
                match extended(&list, rows) {
                    Ok(extended) => self.adopt(source, extended).await?,
                    Err(problem) => self.stop(user, problem.into()),
                }
            }
            // The store could not be read, and may be readable by now.
            None if self.stored_problem().is_some() => self.read_again(user),
            None => {
                let rows = all_rows(source, user).await?;
                let is_there = !DeviceList::geneses(user, &rows).is_empty();
                if is_there {
                    self.note_not_on_list(user)?;
                }
                // A device that has seen a list does not go back to none because the server hides it.
                let was_there = self.known().stored.is_some();
                let problem = (is_there || was_there).then_some(DeviceListProblem::NotOnList);
                let mode = self.mode(None, None, problem);
                self.publish(user, None, mode, None);
            }
        }
        Ok(self.state())
    }

    /// Adopts a list that was verified: fetches the keyring if its epoch is a new one, and stores both.
    pub(super) async fn adopt(&self, source: &dyn PageSource, list: DeviceList) -> Result<(), LookError> {
        let known = self.0.cache.keyring(list.user_id());
        if let Some(keyring) = known.clone().filter(|known| known.check(&list).is_ok()) {
            let keyrings = self.still_owed(source, &list).await?;
            return self.keep(list, Some(keyring), None, keyrings);
        }
        if list.active(&self.0.device_id).is_none() {
            return match self.own_epoch(&list).filter(|_| self.is_news(&list)) {
                // It removed itself: nobody else can write the keyrings.
                Some(keyring) => self.keep(list, Some(keyring), None, Keyrings::Owed),
                None => self.keep(list, known, None, Keyrings::Written),
            };
        }
        let fetched = self.fetch_keyring(source, &list).await;
        // Whatever the reason, the list has new entries, so nothing is sealed in the earlier epoch.
        match fetched.inspect_err(|_| self.await_keyring(list.user_id()))? {
            Ok(mut keyring) => {
                // What this device knows of epochs that were cut off, and whose secrets others have lost.
                known.iter().for_each(|known| keyring.fill_from(known, &list));
                self.keep(list, Some(keyring), None, Keyrings::Written)
            }
            Err(problem) => match self.own_epoch(&list) {
                Some(keyring) => self.keep(list, Some(keyring), None, Keyrings::Owed),
                // Older epochs stay readable.
                None => self.keep(list, known, Some(problem), Keyrings::Written),
            },
        }
    }

    /// Whether the list's epoch is another one than that of the list before.
    fn is_news(&self, list: &DeviceList) -> bool {
        let known = self.known();
        known.keyrings == Keyrings::Owed
            || known.list.as_ref().is_none_or(|known| known.epoch() != list.epoch())
    }

    /// Whether this device has yet to write the keyrings of the current epoch. Its own one is on the server if an earlier
    /// request arrived and its answer was lost: they are not written again then, because by the time that a late request
    /// arrives, another device may have begun the next epoch.
    async fn still_owed(&self, source: &dyn PageSource, list: &DeviceList) -> Result<Keyrings, LookError> {
        if self.known().keyrings == Keyrings::Written {
            return Ok(Keyrings::Written);
        }
        let row = self.own_row(source, list).await?;
        let is_there = row.is_some_and(|row| {
            let is_later = row.epoch > list.epoch().number();
            is_later || open_keyring(&row, list, &self.0.device_id, &self.0.keys).is_ok()
        });
        Ok(if is_there { Keyrings::Written } else { Keyrings::Owed })
    }

    /// The keyring of an epoch that this device began, if it was interrupted before it wrote the keyrings.
    fn own_epoch(&self, list: &DeviceList) -> Option<Keyring> {
        let secret = self.0.keys.epoch_secret(&list.epoch_entry().ok()?);
        let keyring = match self.0.cache.keyring(list.user_id()) {
            Some(mut keyring) => {
                keyring.push(list.epoch(), secret).ok()?;
                keyring
            }
            None => Keyring::first(secret),
        };
        keyring.check(list).is_ok().then_some(keyring)
    }

    /// Adopts a list whose current epoch this device began, and whose keyrings it has yet to write.
    /// That is stored, so that it writes them after a crash too, because no other device can.
    pub(super) fn owe_keyrings(&self, list: DeviceList, keyring: Keyring) -> Result<(), LookError> {
        self.keep_change(list, Some(keyring), Keyrings::Owed)
    }

    /// The keyrings were written. Needs the lock.
    pub(crate) fn keyrings_are_written(&self, user: &UserId) -> Result<(), LookError> {
        match self.list(user) {
            Some(list) => self.keep_change((*list).clone(), self.0.cache.keyring(user), Keyrings::Written),
            None => Ok(()),
        }
    }

    /// As [`keep`](Self::keep), after this device has changed the list. If another process was faster, it knows the
    /// change, or learns of it at its next look.
    pub(super) fn keep_change(
        &self,
        list: DeviceList,
        keyring: Option<Keyring>,
        keyrings: Keyrings,
    ) -> Result<(), LookError> {
        match self.keep(list, keyring, None, keyrings) {
            Err(LookError::Overtaken) => Ok(()),
            kept => kept,
        }
    }

    /// Stores the list and adopts it.
    pub(super) fn keep(
        &self,
        list: DeviceList,
        keyring: Option<Keyring>,
        problem: Option<DeviceListProblem>,
        keyrings: Keyrings,
    ) -> Result<(), LookError> {
        let user = list.user_id().clone();
        self.load(&user);
        let known = self.known();
        if !known.is_of(&user) {
            // Another user is signed in by now.
            return Ok(());
        }
        let unchanged = known.is_stored
            && known.list.as_deref() == Some(&list)
            && (known.alarm, known.keyrings) == (None, keyrings)
            && self.0.cache.keyring(&user) == keyring;
        drop(known);
        if !unchanged {
            self.store(&list, keyring.as_ref(), Marks { alarm: None, keyrings })?;
        }
        let mut known = self.known();
        if !known.is_of(&user) {
            return Ok(());
        }
        let mode = self.mode(Some(&list), keyring.as_ref(), problem);
        known.list = Some(Arc::new(list));
        self.publish(&user, known.list.as_deref(), mode, keyring);
        Ok(())
    }

    /// Stores a list, or adopts the one that another process has stored meanwhile.
    fn store(&self, list: &DeviceList, keyring: Option<&Keyring>, marks: Marks) -> Result<(), LookError> {
        let (user, fail) = (list.user_id(), |error| {
            let problem = store_problem(error);
            self.stop(list.user_id(), problem.clone());
            LookError::Store(problem)
        });
        if self.write(list, keyring, marks).map_err(fail)? {
            return Ok(());
        }
        self.read_again(user);
        // That there is a list may be all that the other process knew.
        let has_none = self.known().list.is_none();
        if has_none && self.write(list, keyring, marks).map_err(fail)? {
            return Ok(());
        }
        Err(LookError::Overtaken)
    }

    /// Remembers that the server has shown a list that this device is not on.
    fn note_not_on_list(&self, user: &UserId) -> Result<(), LookError> {
        if self.known().stored.is_some() {
            return Ok(());
        }
        let mark = record::encode_not_on_list();
        match self.0.store.replace_device_list(user, None, &mark) {
            Ok(true) => {
                let mut known = self.known();
                known.stored = Some(mark).filter(|_| known.is_of(user)).or_else(|| known.stored.take());
                Ok(())
            }
            Ok(false) => {
                self.read_again(user);
                Err(LookError::Overtaken)
            }
            Err(error) => {
                tracing::warn!("that there is a device list is not remembered: {error}");
                Ok(())
            }
        }
    }

    fn await_keyring(&self, user: &UserId) {
        self.load(user);
        self.stop(user, DeviceListProblem::NoKeyring);
    }

    /// From now on nothing is sealed. What was readable stays readable.
    fn stop(&self, user: &UserId, problem: DeviceListProblem) {
        let known = self.known();
        let keyring = self.0.cache.keyring(user);
        let (alarm, keyrings) = (Alarm::of(&problem), known.keyrings);
        let is_news = alarm.is_some() && alarm != known.alarm;
        let list = known.list.clone().filter(|list| list.user_id() == user);
        // Before it is stored, because a slow store must not let anything be sealed meanwhile.
        self.publish(user, list.as_deref(), Err(problem), keyring.clone());
        drop(known);
        if let Some(list) = list.filter(|_| is_news)
            && let Err(error) = self.write(&list, keyring.as_ref(), Marks { alarm, keyrings })
        {
            tracing::warn!("that nothing is sealed is not remembered: {error}");
        }
    }

    /// Stores what is known now, unless another process has stored something else meanwhile. Whether it was stored.
    ///
    /// No lock is held while the store writes, because sealing takes it.
    fn write(&self, list: &DeviceList, keyring: Option<&Keyring>, marks: Marks) -> Result<bool, StoreError> {
        let (user, key, before) = (list.user_id(), self.0.database_key.as_ref(), self.known().stored.clone());
        let stored = record::encode(list, keyring, marks, key, &mut self.random());
        if !self.0.store.replace_device_list(user, before.as_deref(), &stored)? {
            return Ok(false);
        }
        let mut known = self.known();
        if known.is_of(user) {
            (known.stored, known.alarm, known.is_stored) = (Some(stored), marks.alarm, true);
            known.keyrings = marks.keyrings;
        }
        Ok(true)
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
        let Some(row) = self.own_row(source, list).await? else {
            return Ok(Err(DeviceListProblem::NoKeyring));
        };
        Ok(open_keyring(&row, list, &self.0.device_id, &self.0.keys))
    }

    /// The row of this device's keyring.
    async fn own_row(
        &self,
        source: &dyn PageSource,
        list: &DeviceList,
    ) -> Result<Option<KeyringRow>, ApiError> {
        let select = Select::keyring(list.user_id(), &self.0.device_id);
        let rows: Vec<KeyringRow> = decode_rows(&read_one(source, select).await?)?;
        Ok(rows.into_iter().next())
    }
}

/// Extends `list` by the rows from its head's slot on. Earlier ones are not needed, because the head's hash covers
/// them.
pub(super) fn extended(list: &DeviceList, rows: Vec<ListRow>) -> Result<DeviceList, PinError> {
    let own = list.entries().filter_map(|signed| signed.to_row().ok());
    let own = own.filter(|row| row.slot < list.slot());
    list.extend(&own.chain(rows).collect::<Vec<_>>())
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
