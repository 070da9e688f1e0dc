//! SHA-256 values of the list: the hash of an entry and the commitment to an epoch's secret.

use std::fmt;

use levi_crypto::message_v2::{Epoch, EpochSecret};
use ring::digest;
use subtle::ConstantTimeEq;

const ENTRY_LABEL: &[u8] = b"levi/device-list-hash/v1";
const COMMIT_LABEL: &[u8] = b"levi/epoch-commit/v1";

/// SHA-256 (FIPS 180-4) of the concatenated parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Writes `bytes` in lower-case hexadecimal.
pub(crate) fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The hash of an entry: `SHA-256("levi/device-list-hash/v1" || entry)`. The next entry names it as
/// `prev`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryHash([u8; 32]);

impl EntryHash {
    /// What a genesis has as `prev`.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes the encoding of an entry, signatures not included.
    pub fn of(entry: &[u8]) -> Self {
        Self(sha256(&[ENTRY_LABEL, entry]))
    }

    /// Takes the hash's 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EntryHash {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryHash({self})")
    }
}

/// The commitment of an entry to the secret of an epoch:
/// `SHA-256("levi/epoch-commit/v1" || genesis hash || u32be(e) || E_e)`.
///
/// In the genesis itself, whose hash does not exist yet, 32 zero bytes stand for the genesis hash.
/// The secret has 256 random bits, so the commitment does not reveal it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// What an entry has that is not committed to a secret yet.
    pub(crate) const NONE: Self = Self([0; 32]);

    /// Commits to `secret` as that of `epoch`. `genesis` is [`EntryHash::ZERO`] within the genesis.
    pub fn to(genesis: EntryHash, epoch: Epoch, secret: &EpochSecret) -> Self {
        // Exposed to be hashed.
        let parts: [&[u8]; 4] =
            [COMMIT_LABEL, genesis.as_bytes(), &epoch.number().to_be_bytes(), secret.expose_bytes()];
        Self(sha256(&parts))
    }

    /// Takes the commitment's 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The commitment's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this commits to `secret`. In constant time.
    pub fn matches(&self, genesis: EntryHash, epoch: Epoch, secret: &EpochSecret) -> bool {
        self.0.ct_eq(&Self::to(genesis, epoch, secret).0).into()
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commitment(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}
