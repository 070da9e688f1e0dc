//! What each kind of entry says.

use levi_crypto::message_v2::Epoch;
use levi_types::DeviceId;

use super::EntryError;
use crate::bytes::{Reader, Writer};
use crate::hash::Commitment;
use crate::member::{InvalidMember, Member, check_id};

/// The beginning of an epoch: its number and the commitment to its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The commitment to its secret.
    pub commitment: Commitment,
}

/// What an entry changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Kind 1: begins a list with one device and the recovery key, in epoch 1.
    Genesis {
        /// The first device.
        device: Box<Member>,
        /// The recovery key.
        recovery: Box<Member>,
        /// The commitment to the first epoch's secret, with zeros for the genesis hash.
        commitment: Commitment,
    },
    /// Kind 2: adds a device. It learns all epochs.
    Add {
        /// The new device.
        member: Box<Member>,
    },
    /// Kind 3: removes a device and begins an epoch that it does not learn.
    Remove {
        /// The device that is removed.
        id: DeviceId,
        /// The epoch that begins.
        rotation: Rotation,
    },
    /// Kind 4: replaces the recovery key and begins an epoch that the old one does not learn.
    NewRecoveryKey {
        /// The new recovery key.
        recovery: Box<Member>,
        /// The epoch that begins.
        rotation: Rotation,
    },
    /// Kind 5: with the recovery key, removes devices, adds a new one and begins an epoch.
    Recover {
        /// The devices that are removed.
        removed: Vec<DeviceId>,
        /// The new device.
        device: Box<Member>,
        /// The epoch that begins.
        rotation: Rotation,
    },
}

impl Body {
    /// The kind's number.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Genesis { .. } => 1,
            Self::Add { .. } => 2,
            Self::Remove { .. } => 3,
            Self::NewRecoveryKey { .. } => 4,
            Self::Recover { .. } => 5,
        }
    }

    /// The member who cosigns, if the kind asks for one: the one whose keys the entry brings in.
    pub const fn cosigner(&self) -> Option<&Member> {
        match self {
            Self::Genesis { recovery, .. } | Self::NewRecoveryKey { recovery, .. } => Some(recovery),
            Self::Add { member } => Some(member),
            Self::Recover { device, .. } => Some(device),
            Self::Remove { .. } => None,
        }
    }

    /// The epoch that the entry begins, and the commitment to its secret. Kind 2 begins none.
    pub(super) const fn begins(&mut self) -> Option<(Epoch, &mut Commitment)> {
        match self {
            Self::Genesis { commitment, .. } => Some((Epoch::FIRST, commitment)),
            Self::Add { .. } => None,
            Self::Remove { rotation, .. }
            | Self::NewRecoveryKey { rotation, .. }
            | Self::Recover { rotation, .. } => Some((rotation.epoch, &mut rotation.commitment)),
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Genesis { device, recovery, commitment } => {
                device.write(writer);
                recovery.write(writer);
                writer.bytes(commitment.as_bytes());
            }
            Self::Add { member } => member.write(writer),
            Self::Remove { id, rotation } => write_rotation(writer.text(id.as_str()), rotation),
            Self::NewRecoveryKey { recovery, rotation } => {
                recovery.write(writer);
                write_rotation(writer, rotation);
            }
            Self::Recover { removed, device, rotation } => {
                // At most 31 are ever accepted, so the number always fits.
                writer.u16(u16::try_from(removed.len()).unwrap_or(u16::MAX));
                for id in removed {
                    writer.text(id.as_str());
                }
                device.write(writer);
                write_rotation(writer, rotation);
            }
        }
    }

    pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        match kind {
            1 => Ok(Self::Genesis {
                device: read_member(reader)?,
                recovery: read_member(reader)?,
                commitment: read_commitment(reader)?,
            }),
            2 => Ok(Self::Add { member: read_member(reader)? }),
            3 => Ok(Self::Remove { id: read_id(reader)?, rotation: read_rotation(reader)? }),
            4 => {
                Ok(Self::NewRecoveryKey { recovery: read_member(reader)?, rotation: read_rotation(reader)? })
            }
            5 => Ok(Self::Recover {
                removed: read_ids(reader)?,
                device: read_member(reader)?,
                rotation: read_rotation(reader)?,
            }),
            unknown => Err(EntryError::UnknownKind(unknown)),
        }
    }
}

fn write_rotation(writer: &mut Writer, rotation: &Rotation) {
    writer.u32(rotation.epoch.number()).bytes(rotation.commitment.as_bytes());
}

fn read_rotation(reader: &mut Reader<'_>) -> Result<Rotation, EntryError> {
    let epoch = reader.u32().and_then(Epoch::new).ok_or(EntryError::Malformed)?;
    Ok(Rotation { epoch, commitment: read_commitment(reader)? })
}

fn read_commitment(reader: &mut Reader<'_>) -> Result<Commitment, EntryError> {
    reader.array().copied().map(Commitment::from_bytes).ok_or(EntryError::Malformed)
}

fn read_member(reader: &mut Reader<'_>) -> Result<Box<Member>, EntryError> {
    Ok(Box::new(Member::read(reader).ok_or(EntryError::Malformed)??))
}

fn read_ids(reader: &mut Reader<'_>) -> Result<Vec<DeviceId>, EntryError> {
    let count = reader.u16().ok_or(EntryError::Malformed)?;
    (0..count).map(|_| read_id(reader)).collect()
}

fn read_id(reader: &mut Reader<'_>) -> Result<DeviceId, EntryError> {
    let id = reader.text().ok_or(EntryError::Malformed)?;
    check_id(id).map_err(InvalidMember::from)?;
    Ok(DeviceId::from(id))
}
