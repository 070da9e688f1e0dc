//! The code that the user enters on the new device.

use std::fmt;

use levi_types::{SecretString, UserId};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::PairingKeys;
use crate::crockford::{self, FormError};
use crate::hkdf;

const INFO: &[u8] = b"levi/pair/v1";

const CHARACTERS: usize = 20;
const DATA_CHARACTERS: usize = CHARACTERS - 1;
const BYTES: usize = 12;

/// A pairing code: 95 random bits. `Debug` shows no content, memory is zeroised on drop, equality
/// is constant-time.
///
/// The 20th character is a check: with the characters as elements c_0 to c_19 of GF(2^5) modulo
/// `x^5 + x^2 + 1`, `sum(c_i * x^i) = 0`. Every single wrong character and every exchange of two
/// characters is detected.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PairingCode([u8; BYTES]);

impl PairingCode {
    /// A new code from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut code = Self([0; BYTES]);
        rng.fill_bytes(&mut code.0);
        code.0[BYTES - 1] &= 0xfe;
        code
    }

    /// The text to show: five groups of four characters. Comment each call with the reason for the
    /// exposure.
    pub fn expose_text(&self) -> SecretString {
        let mut symbols = crockford::symbols(&self.0);
        symbols.truncate(DATA_CHARACTERS);
        let check = check_symbol(&symbols);
        symbols.push(check);
        SecretString::new(crockford::grouped(&symbols))
    }

    /// Reads what a person typed or a camera scanned. Case does not matter, O is read as 0, I and L
    /// as 1, and spaces count as hyphens.
    ///
    /// # Errors
    /// [`PairingCodeError`], which never holds the text.
    pub fn parse(typed: &str) -> Result<Self, PairingCodeError> {
        let symbols = crockford::parse(typed, CHARACTERS)?;
        let (data, check) = symbols.split_at(DATA_CHARACTERS);
        if check != [check_symbol(data)] {
            return Err(PairingCodeError::Checksum);
        }
        let bytes = crockford::bytes(data);
        let bytes = bytes.as_slice().try_into().map_err(|_| PairingCodeError::Checksum)?;
        Ok(Self(bytes))
    }

    pub(super) fn keys(&self, user_id: &UserId) -> PairingKeys {
        let output = hkdf::derive::<96>(user_id.as_str().as_bytes(), &self.0, INFO);
        let mut keys = PairingKeys { id: [0; 16], request: [0; 32], answer: [0; 32], shown: [0; 16] };
        keys.id.copy_from_slice(&output[..16]);
        keys.request.copy_from_slice(&output[16..48]);
        keys.answer.copy_from_slice(&output[48..80]);
        keys.shown.copy_from_slice(&output[80..]);
        keys
    }
}

/// The character that makes the weighted sum zero.
fn check_symbol(data: &[u8]) -> u8 {
    let sum = data.iter().enumerate().fold(0, |sum, (place, symbol)| sum ^ times_power(*symbol, place));
    // x has order 31, so that dividing by x^19 is multiplying by x^12.
    times_power(sum, 31 - DATA_CHARACTERS)
}

/// `number * x^exponent` in GF(2^5).
fn times_power(number: u8, exponent: usize) -> u8 {
    (0..exponent).fold(number, |number, _| {
        let doubled = number << 1;
        if doubled & 0x20 == 0 { doubled } else { doubled ^ 0x25 }
    })
}

impl PartialEq for PairingCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PairingCode {}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(..)")
    }
}

/// Why a text is not a pairing code. Groups count from 1. Does not hold the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingCodeError {
    /// A group holds a character that no code has.
    #[error(
        "group {group} of the pairing code holds a character that none has; it has digits and letters without U"
    )]
    Character {
        /// The group's number.
        group: usize,
    },
    /// A group does not have four characters.
    #[error("group {group} of the pairing code has {characters} characters instead of 4; type it again")]
    GroupLength {
        /// The group's number.
        group: usize,
        /// The actual number of characters.
        characters: usize,
    },
    /// Not 20 characters altogether.
    #[error("the pairing code has {characters} characters instead of 20, 5 groups of 4; type all of it")]
    Length {
        /// The actual number of characters.
        characters: usize,
    },
    /// The check does not fit.
    #[error("the pairing code is mistyped; compare it with the other device's screen")]
    Checksum,
}

impl From<FormError> for PairingCodeError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Character { group } => Self::Character { group },
            FormError::GroupLength { group, characters } => Self::GroupLength { group, characters },
            FormError::Length { characters } => Self::Length { characters },
        }
    }
}
