//! The recovery key: 32 random bytes that a person keeps on paper, and the three keys derived from
//! them.
//!
//! ```text
//! text   "levi-rk1-" || 13 groups of data || 1 group of check, each of 4 characters, joined by hyphens
//! data   the 32 bytes in Crockford's base32: 52 characters, the last 4 bits zero
//! check  4 characters: two numbers of 10 bits, c_26 and c_27
//! keys   HKDF-SHA256(salt empty, ikm = the 32 bytes, info = "levi/recovery/v1/sign", "/x25519", "/xwing"), 32 bytes each
//! ```
//!
//! Two characters are a number of 10 bits, so the text is 28 numbers c_0 to c_27, elements of
//! GF(2^10) modulo `x^10 + x^3 + 1`. The check makes `sum(c_i) = 0` and `sum(c_i * x^i) = 0`: a
//! Reed-Solomon code of distance 3. A mistake within one pair of characters is found with
//! certainty, and its group is named. Two neighbours exchanged across pairs are found too, and
//! named if only one exchange explains them. Of other mistakes one in a million passes. Nothing is
//! corrected silently.
//!
//! Case does not matter, O is read as 0, I and L as 1, and spaces count as hyphens. `levi-rk1-` may
//! be left out.

mod check;

use std::fmt;

use levi_crypto::envelope::DevicePrivateKey;
use levi_types::SecretString;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crockford::{self, FormError};
use crate::hkdf;
use crate::keys::{KeySeed, MemberKeys};

/// The beginning of a recovery key's text: the program, "recovery key", and the version of the
/// format.
pub const PREFIX: &str = "levi-rk1-";

/// Groups of four characters in the text, the check included.
pub const GROUPS: usize = 14;

const KEY_BYTES: usize = 32;
const CHARACTERS: usize = GROUPS * crockford::GROUP;
const DATA_CHARACTERS: usize = CHARACTERS - crockford::GROUP;

/// A recovery key. `Debug` shows no content, memory is zeroised on drop, equality is constant-time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryKey([u8; KEY_BYTES]);

impl RecoveryKey {
    /// A new key from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut key = Self([0; KEY_BYTES]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// Takes the key's 32 bytes.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key's bytes. Comment each call with the reason for the exposure.
    pub const fn expose_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The text for the paper: `levi-rk1-`, then 14 groups. Comment each call with the reason for
    /// the exposure.
    pub fn expose_text(&self) -> SecretString {
        let mut symbols = crockford::symbols(&self.0);
        let check = check::check_symbols(&symbols);
        symbols.extend_from_slice(&check);
        let groups = Zeroizing::new(crockford::grouped(&symbols));
        let mut text = String::with_capacity(PREFIX.len() + groups.len());
        text.push_str(PREFIX);
        text.push_str(&groups);
        SecretString::new(text)
    }

    /// Reads what a person typed.
    ///
    /// # Errors
    /// [`RecoveryKeyError`], which names the group that is wrong where that can be known, and never
    /// holds the text.
    pub fn parse(typed: &str) -> Result<Self, RecoveryKeyError> {
        let symbols = crockford::parse(without_prefix(typed)?, CHARACTERS)?;
        check::verify(&symbols).map_err(|group| RecoveryKeyError::Checksum { group })?;
        let bytes = crockford::bytes(&symbols[..DATA_CHARACTERS]);
        let (key, rest) = bytes.split_first_chunk().ok_or(RecoveryKeyError::NotAKey)?;
        // The last character of the data has four bits that encode nothing.
        if rest == [0] { Ok(Self(*key)) } else { Err(RecoveryKeyError::NotAKey) }
    }

    /// The three keys of the recovery member.
    pub fn member_keys(&self) -> MemberKeys {
        MemberKeys {
            signing: KeySeed::from_bytes(*self.derive("levi/recovery/v1/sign")),
            envelope: DevicePrivateKey::from_bytes(*self.derive("levi/recovery/v1/x25519")),
            keyring: KeySeed::from_bytes(*self.derive("levi/recovery/v1/xwing")),
        }
    }

    fn derive(&self, info: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        hkdf::derive(&[], &self.0, info.as_bytes())
    }
}

/// What follows `levi-rk1-`, or the whole text if it starts with no `levi-`.
fn without_prefix(typed: &str) -> Result<&str, RecoveryKeyError> {
    let typed = typed.trim();
    let starts_with =
        |prefix: &str| typed.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if starts_with(PREFIX) {
        return Ok(&typed[PREFIX.len()..]);
    }
    if starts_with("levi-") { Err(RecoveryKeyError::Prefix) } else { Ok(typed) }
}

impl PartialEq for RecoveryKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for RecoveryKey {}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(..)")
    }
}

/// Why a text is not a recovery key. Groups count from 1, after `levi-rk1-`. Does not hold the
/// text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryKeyError {
    /// It starts with `levi-`, but not with `levi-rk1-`.
    #[error(
        "this is not a recovery key of this version, which starts with levi-rk1-; look for the right paper"
    )]
    Prefix,
    /// A group holds a character that no recovery key has.
    #[error(
        "group {group} of the recovery key holds a character that none has; it has digits and letters without U"
    )]
    Character {
        /// The group's number.
        group: usize,
    },
    /// A group does not have four characters.
    #[error("group {group} of the recovery key has {characters} characters instead of 4; type it again")]
    GroupLength {
        /// The group's number.
        group: usize,
        /// The actual number of characters.
        characters: usize,
    },
    /// Not 56 characters altogether.
    #[error("the recovery key has {characters} characters instead of 56, 14 groups of 4; type all of it")]
    Length {
        /// The actual number of characters.
        characters: usize,
    },
    /// The check does not fit.
    #[error("the recovery key is mistyped; {}", where_to_look(*group))]
    Checksum {
        /// The number of the group that is probably wrong, if that can be known.
        group: Option<usize>,
    },
    /// The check fits, but no recovery key encodes to this text.
    #[error("the recovery key was not made by Levi; look for the right paper")]
    NotAKey,
}

fn where_to_look(group: Option<usize>) -> String {
    group.map_or_else(
        || "compare every group with the paper".to_owned(),
        |group| format!("compare group {group} with the paper"),
    )
}

impl From<FormError> for RecoveryKeyError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Character { group } => Self::Character { group },
            FormError::GroupLength { group, characters } => Self::GroupLength { group, characters },
            FormError::Length { characters } => Self::Length { characters },
        }
    }
}
