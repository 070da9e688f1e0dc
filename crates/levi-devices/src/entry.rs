//! Entries of the list: their content, their only encoding, and the rows in which they are stored.
//!
//! Integers are big endian, `lp(x) = u32be(len(x)) || x`, ids are canonical text.
//!
//! ```text
//! entry      "levi/device-list/v1" || u8 kind || u64 slot || prev(32) || lp(user_id) || i64 time_ms || lp(signer_id) || body
//! signature  Ed25519(signer, entry); a cosignature over the same bytes where the table asks for one
//! rotation   u32 e || commit(E_e)
//! row        entry = base64(entry), signature = base64(64 bytes), cosignature = base64(64 bytes) or null
//! ```
//!
//! | kind | body | signed by | cosigned by |
//! | --- | --- | --- | --- |
//! | 1 genesis | member (device), member (recovery), commit(E_1) | that device | the recovery key |
//! | 2 add | member | any active device | the new member |
//! | 3 remove | lp(id), rotation | any active device | nobody |
//! | 4 new recovery key | member (recovery), rotation | the old recovery key | the new one |
//! | 5 recover | u16 n, n times lp(id), member (new device), rotation | the recovery key | the new device |
//!
//! Every kind, later ones too, keeps the fields before the body. So if a reader does not know the
//! kind of an entry, it still knows the entry's position and signer.

mod body;
mod header;
mod row;

pub use body::{Body, Rotation};
pub use header::Header;
pub use row::{ListRow, MAX_SLOT, RowError, SignedEntry};

use levi_crypto::message_v2::{Epoch, EpochSecret};

use crate::bytes::{Reader, Writer};
use crate::hash::{Commitment, EntryHash};
use crate::member::InvalidMember;

/// The longest encoding of an entry in bytes. In base64 it is 8 KiB, which is what the table takes.
pub const MAX_ENTRY_BYTES: usize = 6144;

/// One entry without its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs and who signs it.
    pub header: Header,
    /// What it changes.
    pub body: Body,
}

impl Entry {
    /// The entry's one encoding. Whether it is an acceptable entry is checked when it is decoded or
    /// accepted.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.header.write(&mut writer, self.body.kind());
        self.body.write(&mut writer);
        writer.finish()
    }

    /// The entry's hash, which the next entry names.
    pub fn hash(&self) -> EntryHash {
        EntryHash::of(&self.encode())
    }

    /// Commits to `secret` as that of the epoch that the entry begins, in the list that starts with
    /// `genesis`. (In a genesis, whose hash does not exist yet, zeros stand for it.) An entry of
    /// kind 2 begins no epoch, and stays as it is.
    #[must_use]
    pub fn commit(mut self, genesis: EntryHash, secret: &EpochSecret) -> Self {
        if let Some((epoch, commitment)) = self.body.begins() {
            let genesis = if epoch == Epoch::FIRST { EntryHash::ZERO } else { genesis };
            *commitment = Commitment::to(genesis, epoch, secret);
        }
        self
    }

    /// The hash of the entry with zeros in place of its commitment: of all that is decided before
    /// the secret of its epoch is.
    pub(crate) fn hash_without_commitment(&self) -> EntryHash {
        let mut entry = self.clone();
        if let Some((_, commitment)) = entry.body.begins() {
            *commitment = Commitment::NONE;
        }
        entry.hash()
    }

    /// Decodes an entry, and checks that encoding it gives the same bytes.
    ///
    /// # Errors
    /// [`EntryError::UnknownKind`] if the fields before the body are well formed and the kind is
    /// not 1 to 5. Another [`EntryError`] for everything that is not an entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLong { bytes: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let (kind, header) = Header::read(&mut reader)?;
        let body = Body::read(kind, &mut reader)?;
        reader.end().ok_or(EntryError::Malformed)?;
        let entry = Self { header, body };
        if entry.encode() == bytes { Ok(entry) } else { Err(EntryError::Malformed) }
    }
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Longer than 6144 bytes.
    #[error("the entry is {bytes} bytes long; at most 6144 are allowed, so name fewer devices in one entry")]
    TooLong {
        /// The actual length.
        bytes: usize,
    },
    /// Too short, with bytes at the end, or not in the only valid encoding.
    #[error("the entry is not in the encoding of levi/device-list/v1; fetch the list again")]
    Malformed,
    /// A kind from a later version of Levi.
    #[error("the device list has an entry of kind {0}, which this version does not know; update Levi")]
    UnknownKind(u8),
    /// An id, a name or a key that the list does not accept.
    #[error("the entry names a member that is refused: {0}")]
    Member(#[from] InvalidMember),
}
