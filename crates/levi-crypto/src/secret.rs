//! A session's secret: the text that is shared with every device of the user, and the key that it
//! encodes.
//!
//! `sess_` followed by 32 random bytes in base64url without padding, 48 characters in all.

use std::fmt;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, DecodeSliceError, Engine as _};
use levi_types::SecretString;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::MessageKey;
use crate::key::KEY_BYTES;

const PREFIX: &str = "sess_";
const LENGTH: usize = 48;

/// The secret of one session. `Debug` shows no content, memory is zeroised on drop, equality is
/// constant-time.
#[derive(Clone)]
pub struct SessionSecret {
    text: SecretString,
    key: MessageKey,
}

impl SessionSecret {
    /// Parses a secret. Strict: each secret has exactly one text.
    ///
    /// # Errors
    /// [`SessionSecretError`], which does not contain the text.
    pub fn parse(text: &str) -> Result<Self, SessionSecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SessionSecretError::Prefix)?;
        if encoded.contains('=') {
            return Err(SessionSecretError::Padding);
        }
        if text.len() != LENGTH {
            return Err(SessionSecretError::Length { bytes: text.len() });
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        URL_SAFE_NO_PAD.decode_slice(encoded, key.as_mut_slice()).map_err(|error| match error {
            DecodeSliceError::DecodeError(DecodeError::InvalidLastSymbol { .. }) => {
                SessionSecretError::TrailingBits
            }
            _ => SessionSecretError::Alphabet,
        })?;
        Ok(Self { text: text.into(), key: MessageKey::filled(|bytes| bytes.copy_from_slice(key.as_slice())) })
    }

    /// A new secret from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(key.as_mut_slice());
        // Sized up front, because a growing buffer would leave copies of the secret in freed
        // memory.
        let mut text = String::with_capacity(LENGTH);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(key.as_slice(), &mut text);
        Self { text: text.into(), key: MessageKey::filled(|bytes| bytes.copy_from_slice(key.as_slice())) }
    }

    /// The secret's text. Comment each call with the reason for the exposure.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The key of the session's messages: the 32 bytes that the text encodes.
    pub fn message_key(&self) -> MessageKey {
        self.key.clone()
    }
}

impl PartialEq for SessionSecret {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for SessionSecret {}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}

/// Why a text is not a session secret. Does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionSecretError {
    /// It does not start with `sess_`.
    #[error("a session secret starts with sess_; check that the right value was passed")]
    Prefix,
    /// It holds `=`.
    #[error("a session secret has no padding; remove the = signs")]
    Padding,
    /// It is not 48 bytes long.
    #[error("the session secret is {bytes} bytes long instead of 48; pass it whole and without spaces")]
    Length {
        /// The actual length, in bytes of UTF-8.
        bytes: usize,
    },
    /// It holds a character outside of base64url.
    #[error("the session secret holds a character outside A-Z a-z 0-9 - _; pass it unchanged")]
    Alphabet,
    /// Its last character sets bits that encode nothing.
    #[error("the session secret's last character is not one an encoder writes; it was altered or mistyped")]
    TrailingBits,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: &str = "sess_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn every_malformed_text_is_refused_with_its_own_error() {
        let forty_three = &ZEROS[5..];
        let table = [
            (String::new(), SessionSecretError::Prefix),
            (forty_three.to_owned(), SessionSecretError::Prefix),
            (format!("SESS_{forty_three}"), SessionSecretError::Prefix),
            (format!(" {ZEROS}"), SessionSecretError::Prefix),
            (format!("sess-{forty_three}"), SessionSecretError::Prefix),
            (format!("{ZEROS}="), SessionSecretError::Padding),
            (format!("{}=", &ZEROS[..47]), SessionSecretError::Padding),
            ("sess_".to_owned(), SessionSecretError::Length { bytes: 5 }),
            (ZEROS[..47].to_owned(), SessionSecretError::Length { bytes: 47 }),
            (format!("{ZEROS}A"), SessionSecretError::Length { bytes: 49 }),
            (format!("{ZEROS}\n"), SessionSecretError::Length { bytes: 49 }),
            (format!("{}+", &ZEROS[..47]), SessionSecretError::Alphabet),
            (format!("sess_/{}", &ZEROS[6..]), SessionSecretError::Alphabet),
            (format!("sess_\0{}", &ZEROS[6..]), SessionSecretError::Alphabet),
            (format!("sess_\u{e4}{}", &ZEROS[7..]), SessionSecretError::Alphabet),
            (format!("{}B", &ZEROS[..47]), SessionSecretError::TrailingBits),
            (format!("{}_", &ZEROS[..47]), SessionSecretError::TrailingBits),
        ];
        for (text, expected) in table {
            let error = SessionSecret::parse(&text).unwrap_err();
            assert_eq!(error, expected, "{text:?}");
            assert!(!error.to_string().contains(forty_three.get(..8).unwrap()), "{error}");
        }
        assert_eq!(SessionSecret::parse(ZEROS).unwrap().message_key(), MessageKey::from_bytes([0; 32]));
    }

    #[test]
    fn a_secret_has_exactly_one_text() {
        // 43 characters hold 258 bits; of the 64 possible last ones, only the 16 with two zero bits
        // are canonical.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let accepted: String = alphabet
            .chars()
            .filter(|last| SessionSecret::parse(&format!("{}{last}", &ZEROS[..47])).is_ok())
            .collect();
        assert_eq!(accepted, "AEIMQUYcgkosw048");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SessionSecret::parse(ZEROS).unwrap()), "SessionSecret(..)");
    }
}
