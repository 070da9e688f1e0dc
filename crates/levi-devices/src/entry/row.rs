//! An entry with its signatures, and the row of `levi_device_list` that stores it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Entry, EntryError};
use crate::hash::EntryHash;
use crate::keys::MemberKeys;
use crate::signature::{Signature, SignatureError};

/// The last slot of a list.
pub const MAX_SLOT: u64 = 1999;

/// A row of `levi_device_list` as the server returns it. The columns may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRow {
    /// The row's slot.
    pub slot: u64,
    /// The entry in standard padded base64.
    pub entry: String,
    /// The signer's signature in standard padded base64.
    pub signature: String,
    /// The cosigner's signature in standard padded base64, in the kinds that ask for one.
    pub cosignature: Option<String>,
}

/// The encoding of an entry with its signatures. Nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEntry {
    /// The entry's encoding.
    pub entry: Vec<u8>,
    /// The signer's signature over it.
    pub signature: Signature,
    /// The cosigner's signature over it.
    pub cosignature: Option<Signature>,
}

impl SignedEntry {
    /// Signs `entry` with the signer's keys, and with the cosigner's where its kind asks for that.
    ///
    /// # Errors
    /// [`SignatureError`] if ring refuses a key, which it does not do for 32 bytes.
    pub fn sign(
        entry: &Entry,
        signer: &MemberKeys,
        cosigner: Option<&MemberKeys>,
    ) -> Result<Self, SignatureError> {
        let entry = entry.encode();
        let signature = signer.sign(&entry)?;
        let cosignature = cosigner.map(|keys| keys.sign(&entry)).transpose()?;
        Ok(Self { entry, signature, cosignature })
    }

    /// The entry's hash.
    pub fn hash(&self) -> EntryHash {
        EntryHash::of(&self.entry)
    }

    /// The row that stores it.
    ///
    /// # Errors
    /// [`EntryError`] if the bytes are not an entry.
    pub fn to_row(&self) -> Result<ListRow, EntryError> {
        let slot = Entry::decode(&self.entry)?.header.slot;
        Ok(ListRow {
            slot,
            entry: STANDARD.encode(&self.entry),
            signature: self.signature.to_base64(),
            cosignature: self.cosignature.map(|signature| signature.to_base64()),
        })
    }

    /// Parses a row's columns. Does not look at the entry itself.
    ///
    /// # Errors
    /// [`RowError`].
    pub fn from_row(row: &ListRow) -> Result<Self, RowError> {
        let entry = STANDARD.decode(&row.entry).map_err(|_| RowError::Entry)?;
        let signature = Signature::from_base64(&row.signature).map_err(|_| RowError::Signature)?;
        let cosignature = row.cosignature.as_deref().map(Signature::from_base64).transpose();
        Ok(Self { entry, signature, cosignature: cosignature.map_err(|_| RowError::Cosignature)? })
    }
}

/// Why a row is not an entry with signatures. Readers skip such a row, because anybody with the
/// user's token can write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Not standard padded base64.
    #[error("the row's entry is not standard padded base64; it is skipped")]
    Entry,
    /// Not 64 bytes in standard padded base64.
    #[error("the row's signature is not 64 bytes in standard padded base64; it is skipped")]
    Signature,
    /// Not 64 bytes in standard padded base64.
    #[error("the row's cosignature is not 64 bytes in standard padded base64; it is skipped")]
    Cosignature,
}
