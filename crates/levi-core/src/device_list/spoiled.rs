//! Keyrings on the server that are not what the members of the list write. A stolen token is enough to overwrite them, which
//! nobody would notice until a device, or the recovery key, needs its own. Every member who has the current epoch makes the
//! same row for every other one, so each can detect the change, and write the row again.

use std::collections::HashSet;
use std::time::Duration;

use levi_devices::Epoch;
use levi_devices::keyring::{Keyring, SealedKeyring};
use levi_devices::list::DeviceList;
use levi_transport::rows::{KeyringRow, decode_rows, upsert_of};
use levi_transport::{ApiError, PageSource, Select, Update, Upsert, read_one};
use levi_types::{DeviceId, Now, UserId};
use serde::Serialize;

use super::look::open_keyring;
use super::record::Keyrings;
use super::upkeep::{INTERVAL, WithToken, has_passed};
use super::{SignedDeviceList, admin};

/// How often a process compares the keyrings while messages are sent.
const EVERY: Duration = Duration::from_secs(3600);

/// The keyrings of some members as the server shows them.
pub(super) struct Shown {
    of: HashSet<DeviceId>,
    rows: Vec<KeyringRow>,
}

/// A keyring that is to be written again.
pub(super) struct Spoiled {
    /// What belongs there.
    pub(super) row: KeyringRow,
    /// The epoch of the row that was found, if there was one.
    found: Option<u32>,
}

/// The columns of a keyring that are written again.
#[derive(Serialize)]
struct Columns<'a> {
    epoch: u32,
    enc: &'a str,
    sealed: &'a str,
}

/// How a keyring is written again. Neither request replaces a row of an epoch that began meanwhile.
pub(super) enum Mending {
    Insert(Upsert),
    Update(Update),
}

impl Spoiled {
    pub(super) fn mending(&self) -> Mending {
        let KeyringRow { user_id, member_id, epoch, enc, sealed } = &self.row;
        match self.found {
            None => Mending::Insert(upsert_of(std::slice::from_ref(&self.row))),
            Some(found) => {
                let columns = Columns { epoch: *epoch, enc, sealed };
                let body = serde_json::to_vec(&columns).unwrap_or_default();
                Mending::Update(Update::keyring(user_id, member_id, found, body))
            }
        }
    }
}

impl SignedDeviceList {
    /// Whether a process that looks at the list at `now` compares the keyrings as well: once it has lived for a while, so
    /// that a command that ends soon does without the request.
    pub(super) fn is_comparison_due(&self, now: Now) -> bool {
        let known = self.known();
        known.first_look.is_some_and(|first| has_passed(INTERVAL, first, now))
            && known.compared.is_none_or(|compared| has_passed(EVERY, compared, now))
    }

    pub(super) fn compared_at(&self, now: Now) {
        self.known().compared = Some(now);
    }

    /// The keyrings of the list's members. The caller reads them before it looks at the list, because a device that begins an
    /// epoch inserts its entry first: no row of an honest device is then of a later epoch than the list.
    pub(super) async fn shown_keyrings(
        &self,
        source: &dyn PageSource,
        user: &UserId,
    ) -> Result<Option<Shown>, ApiError> {
        let Some(list) = self.list(user) else { return Ok(None) };
        let of: HashSet<DeviceId> = list.active_members().map(|member| member.id().clone()).collect();
        let rows = decode_rows(&read_one(source, Select::keyrings(user, &of)).await?)?;
        Ok(Some(Shown { of, rows }))
    }

    /// What is to be written again. Nothing, while this device cannot know what belongs there.
    pub(super) fn spoiled_keyrings(&self, user: &UserId, shown: &Shown) -> Vec<Spoiled> {
        let (list, keyring) = (self.list(user), self.0.cache.keyring(user));
        let Some((list, keyring)) = list.zip(keyring).filter(|_| self.state().may_seal()) else {
            return Vec::new();
        };
        if self.known().keyrings == Keyrings::Owed {
            return Vec::new();
        }
        let keyring = self.shared_keyring(&list, keyring, shown);
        let asked = list.active_members().map(|member| member.id()).filter(|id| shown.of.contains(*id));
        let found = |id: &DeviceId| shown.rows.iter().find(|row| row.member_id == *id);
        let spoiled: Vec<&DeviceId> = asked.filter(|id| !is_whole(found(id), &list, &keyring, id)).collect();
        let rows = admin::keyring_rows(&list, &keyring, spoiled.into_iter()).unwrap_or_default();
        let found = |row: KeyringRow| Spoiled { found: found(&row.member_id).map(|row| row.epoch), row };
        rows.into_iter().map(found).collect()
    }

    /// What belongs into every row. This device keeps what it learns from its own one.
    fn shared_keyring(&self, list: &DeviceList, known: Keyring, shown: &Shown) -> Keyring {
        if !list.has_cut_off_epochs() {
            return known;
        }
        let (device, keys) = (&self.0.device_id, &self.0.keys);
        let row = shown.rows.iter().find(|row| row.member_id == *device);
        let shared = known.as_shared(row.and_then(|row| open_keyring(row, list, device, keys).ok()), list);
        let mut learned = known.clone();
        learned.fill_from(&shared, list);
        if learned != known && self.keep_change(list.clone(), Some(learned), Keyrings::Written).is_err() {
            tracing::warn!("the secret of an epoch that was cut off is not kept");
        }
        shared
    }

    /// Writes again what is not as it should be. If that fails, the next comparison tries again.
    pub(super) async fn mend_keyrings(&self, source: &WithToken, user: &UserId, shown: &Shown) {
        for spoiled in self.spoiled_keyrings(user, shown) {
            let member = &spoiled.row.member_id;
            tracing::warn!(%member, "a keyring on the server is not what this user's devices wrote");
            let written = match spoiled.mending() {
                Mending::Insert(insert) => source.supabase.insert(&source.token, insert).await,
                Mending::Update(update) => source.supabase.update(&source.token, update).await,
            };
            if let Err(error) = written {
                tracing::warn!(%member, code = error.code, "the keyring was not written again");
            }
        }
    }
}

fn is_whole(row: Option<&KeyringRow>, list: &DeviceList, keyring: &Keyring, member: &DeviceId) -> bool {
    let sealed = row.and_then(|row| {
        let epoch = Epoch::new(row.epoch)?;
        SealedKeyring::from_wire(epoch, &row.enc, &row.sealed).ok()
    });
    // What cannot be sealed is not written again either.
    sealed.is_some_and(|sealed| keyring.is_sealed_in(&sealed, list, member).unwrap_or(true))
}
