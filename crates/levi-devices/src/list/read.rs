//! Reading a list from the rows that the server shows.

use levi_types::UserId;

use super::DeviceList;
use crate::entry::{Body, Entry, EntryError, Header, ListRow, SignedEntry};
use crate::hash::EntryHash;
use crate::keys::PublicKeys;
use crate::member::MemberType;

impl DeviceList {
    /// Reads the list that begins with `genesis`. Rows may be in any order; rows of other lists and
    /// garbage are skipped.
    ///
    /// Uses no pin, so the server may have cut the list short. A device that has a pin uses
    /// [`extend`](DeviceList::extend); a new one compares the head with that in the pairing answer.
    ///
    /// # Errors
    /// [`ReadError::NoGenesis`] if no row is that genesis, [`ReadError::UnknownKind`] if this
    /// version cannot read on.
    pub fn read(user_id: &UserId, genesis: EntryHash, rows: &[ListRow]) -> Result<Self, ReadError> {
        walk(user_id, genesis, &decoded(rows), |_| false)?.whole()
    }

    /// The hash of every valid genesis among the rows, in the order of their slots.
    ///
    /// There may be several, because anybody with the user's token can begin a list of their own.
    /// Only a pin, a pairing or the recovery key says which one is the user's.
    pub fn geneses(user_id: &UserId, rows: &[ListRow]) -> Vec<EntryHash> {
        geneses(user_id, &decoded(rows))
    }

    /// Reads the list whose recovery key has the given public keys, for a device that has nothing
    /// but the recovery key.
    ///
    /// Only somebody who has that key can have begun the list with it, or added it to the list,
    /// because the key cosigns.
    ///
    /// # Errors
    /// [`ReadError::OtherRecoveryKey`] if no list has that recovery key,
    /// [`ReadError::ReplacedRecoveryKey`] if one had it earlier, [`ReadError::SeveralLists`] if
    /// several have it, [`ReadError::UnknownKind`] as above.
    pub fn read_with_recovery_key(
        user_id: &UserId,
        recovery: &PublicKeys,
        rows: &[ListRow],
    ) -> Result<Self, ReadError> {
        find(user_id, recovery, rows, Walked::whole)
    }

    /// As [`read_with_recovery_key`](Self::read_with_recovery_key), but if a device signed an entry
    /// of an unknown kind, returns the list up to that entry. For a person who recovers and names
    /// the last entry of their own; the recovery then cuts the unknown entry off.
    ///
    /// # Errors
    /// Likewise. An unknown kind that the recovery key signed ends the reading here, too.
    pub fn read_to_recover(
        user_id: &UserId,
        recovery: &PublicKeys,
        rows: &[ListRow],
    ) -> Result<Self, ReadError> {
        find(user_id, recovery, rows, |walked| Ok(walked.list))
    }
}

/// The list that has this recovery key.
fn find(
    user_id: &UserId,
    recovery: &PublicKeys,
    rows: &[ListRow],
    list_of: impl Fn(Walked) -> Result<DeviceList, ReadError>,
) -> Result<DeviceList, ReadError> {
    let rows = decoded(rows);
    let mut found: Option<DeviceList> = None;
    let mut error = ReadError::OtherRecoveryKey;
    for genesis in geneses(user_id, &rows) {
        let list = match walk(user_id, genesis, &rows, |_| false).and_then(&list_of) {
            Ok(list) => list,
            Err(stopped) => {
                error = stopped;
                continue;
            }
        };
        if list.recovery().is_some_and(|member| member.keys() == recovery) {
            if found.is_some() {
                return Err(ReadError::SeveralLists);
            }
            found = Some(list);
        } else if had(&list, recovery) {
            error = ReadError::ReplacedRecoveryKey;
        }
    }
    found.ok_or(error)
}

fn had(list: &DeviceList, recovery: &PublicKeys) -> bool {
    let recovery_keys = list.members().iter().map(|known| &known.member);
    recovery_keys
        .filter(|member| member.member_type() == MemberType::Recovery)
        .any(|member| member.keys() == recovery)
}

/// A row that may be an entry.
pub(crate) struct Candidate {
    slot: u64,
    hash: EntryHash,
    signed: SignedEntry,
    entry: Result<Entry, EntryError>,
}

/// The rows that may be entries, by slot.
pub(crate) fn decoded(rows: &[ListRow]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = rows.iter().filter_map(candidate).collect();
    candidates.sort_by_key(|candidate| candidate.slot);
    candidates
}

fn candidate(row: &ListRow) -> Option<Candidate> {
    let signed = SignedEntry::from_row(row).ok()?;
    let entry = Entry::decode(&signed.entry);
    let slot = match &entry {
        Ok(entry) => entry.header.slot,
        Err(EntryError::UnknownKind(_)) => Header::decode(&signed.entry).ok()?.1.slot,
        Err(_) => return None,
    };
    // The slot is signed, so that the server cannot move an entry to the front of another.
    (slot == row.slot).then(|| Candidate { slot, hash: signed.hash(), signed, entry })
}

pub(crate) fn geneses(user_id: &UserId, rows: &[Candidate]) -> Vec<EntryHash> {
    let valid =
        rows.iter().filter(|row| row.entry.is_ok() && DeviceList::begin(user_id, &row.signed).is_ok());
    valid.map(|row| row.hash).collect()
}

/// What the rows show of a list.
pub(crate) struct Walked {
    list: DeviceList,
    /// A device on the list signed an entry of an unknown kind on its head, and no recovery has cut
    /// that off.
    stop: Option<ReadError>,
}

impl Walked {
    /// The list, if it could be read to its end.
    pub(crate) fn whole(self) -> Result<DeviceList, ReadError> {
        self.stop.map_or(Ok(self.list), Err)
    }
}

/// Accepts the first valid row on the head, again and again. Signatures of entries that `is_known`
/// names were verified before.
///
/// After a device's entry of an unknown kind, only a recovery is accepted. Otherwise a thief with
/// an unlocked device could stop the list for good.
pub(crate) fn walk(
    user_id: &UserId,
    genesis: EntryHash,
    rows: &[Candidate],
    is_known: impl Fn(&SignedEntry) -> bool,
) -> Result<Walked, ReadError> {
    let mut list: Option<DeviceList> = None;
    let mut stop = None;
    for row in rows {
        let Some(list) = &mut list else {
            if row.hash == genesis {
                list = DeviceList::begin(user_id, &row.signed).ok();
            }
            continue;
        };
        match &row.entry {
            Ok(entry) if stop.is_none() || matches!(entry.body, Body::Recover { .. }) => {
                // Otherwise it is garbage, or an entry that lost a race.
                if list.accept_decoded(&row.signed, entry, &is_known).is_ok() {
                    stop = None;
                }
            }
            Err(EntryError::UnknownKind(kind)) => stop = stop.or(stops_at(list, &row.signed, *kind)?),
            Ok(_) | Err(_) => {}
        }
    }
    let list = list.ok_or(ReadError::NoGenesis)?;
    Ok(Walked { list, stop })
}

/// Whether the list stops at an entry of an unknown kind: an active device signed it and it follows
/// the head, or the recovery key signed it and it follows any entry of the list.
///
/// # Errors
/// [`ReadError::UnknownKind`] if the recovery key signed it, because no recovery cuts such an entry
/// off.
fn stops_at(list: &DeviceList, signed: &SignedEntry, kind: u8) -> Result<Option<ReadError>, ReadError> {
    let Ok((_, header)) = Header::decode(&signed.entry) else { return Ok(None) };
    let Some(signer) = list.active(&header.signer_id) else { return Ok(None) };
    let by_recovery_key = signer.member_type() == MemberType::Recovery;
    let counts = header.prev == list.head() || by_recovery_key && list.position(header.prev).is_some();
    let verified = signer.keys().signing().verify(&signed.entry, &signed.signature).is_ok();
    if !counts || header.user_id != *list.user_id() || !verified {
        return Ok(None);
    }
    let stop = ReadError::UnknownKind { kind, slot: header.slot };
    if by_recovery_key { Err(stop) } else { Ok(Some(stop)) }
}

/// Why a list cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No row is the genesis of the list.
    #[error(
        "the server shows no such device list; check that you are signed in to the right project and user"
    )]
    NoGenesis,
    /// An entry that a later version of Levi made.
    #[error("the device list continues at slot {slot} with an entry of kind {kind}; update Levi to read it")]
    UnknownKind {
        /// The kind's number.
        kind: u8,
        /// The entry's slot.
        slot: u64,
    },
    /// No list of the user has this recovery key.
    #[error("no device list of this user has that recovery key; check the user and the key")]
    OtherRecoveryKey,
    /// The recovery key was replaced.
    #[error("that recovery key was replaced by a newer one; use the one written down last")]
    ReplacedRecoveryKey,
    /// Several lists have this recovery key.
    #[error("several device lists have that recovery key; recover from a device that is left")]
    SeveralLists,
}
