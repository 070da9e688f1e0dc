//! The fields before the body, the same in every kind.

use levi_types::{DeviceId, UserId};

use super::EntryError;
use crate::bytes::{Reader, Writer};
use crate::hash::EntryHash;
use crate::member::check_id;

const LABEL: &str = "levi/device-list/v1";

/// Where an entry belongs and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The row that it is stored in, 0 to [`MAX_SLOT`](super::MAX_SLOT).
    pub slot: u64,
    /// The hash of the entry that it follows; [`EntryHash::ZERO`] in a genesis.
    pub prev: EntryHash,
    /// The user whose list it is.
    pub user_id: UserId,
    /// When it was made, in milliseconds since 1970 by the signer's clock. For people; no rule
    /// depends on it.
    pub time_ms: i64,
    /// The member that signs it.
    pub signer_id: DeviceId,
}

impl Header {
    /// Reads the fields before the body of an entry of any kind, known or not. Returns the kind
    /// too.
    ///
    /// # Errors
    /// [`EntryError::Malformed`] or [`EntryError::Member`].
    pub fn decode(bytes: &[u8]) -> Result<(u8, Self), EntryError> {
        Self::read(&mut Reader::new(bytes))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<(u8, Self), EntryError> {
        let (kind, header) = Self::fields(reader).ok_or(EntryError::Malformed)?;
        for id in [header.user_id.as_str(), header.signer_id.as_str()] {
            check_id(id).map_err(|error| EntryError::Member(error.into()))?;
        }
        Ok((kind, header))
    }

    fn fields(reader: &mut Reader<'_>) -> Option<(u8, Self)> {
        if reader.slice(LABEL.len())? != LABEL.as_bytes() {
            return None;
        }
        let kind = reader.u8()?;
        let header = Self {
            slot: reader.u64()?,
            prev: EntryHash::from_bytes(*reader.array()?),
            user_id: UserId::from(reader.text()?),
            time_ms: reader.i64()?,
            signer_id: DeviceId::from(reader.text()?),
        };
        Some((kind, header))
    }

    pub(super) fn write(&self, writer: &mut Writer, kind: u8) {
        writer.bytes(LABEL.as_bytes()).u8(kind).u64(self.slot).bytes(self.prev.as_bytes());
        writer.text(self.user_id.as_str()).i64(self.time_ms).text(self.signer_id.as_str());
    }
}
