//! 256-bit secret keys: contentless `Debug`, zeroised on drop, equality in constant time.
//!
//! The bytes are made in place on the heap and never move: a move copies a pointer, while moving an
//! array would leave its bytes behind on the stack. Clones share them, and the last one zeroises.
//! Copies that this crate cannot prevent: the array that a caller passes to `from_bytes`; the
//! scalars of `x25519-dalek` and `hpke`, which zeroise on drop but move; and the key schedule of
//! `ring`, which does not zeroise.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_types::SecretString;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize as _, Zeroizing};

/// Length of every secret key in this crate, in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// The bytes inside the public key types.
#[derive(Clone)]
pub(crate) struct SecretBytes(Arc<Zeroizing<[u8; KEY_BYTES]>>);

impl SecretBytes {
    /// Takes the bytes, and zeroises the copy of them that was passed.
    pub(crate) fn new(mut bytes: [u8; KEY_BYTES]) -> Self {
        let key = Self::filled(|key| key.copy_from_slice(&bytes));
        bytes.zeroize();
        key
    }

    /// Lets `fill` write the bytes where they stay.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; KEY_BYTES])) -> Self {
        let mut key = Arc::new(Zeroizing::new([0; KEY_BYTES]));
        // Nobody else has it yet.
        if let Some(bytes) = Arc::get_mut(&mut key) {
            fill(bytes);
        }
        Self(key)
    }

    pub(crate) fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::filled(|key| rng.fill_bytes(key))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(crate) fn from_base64(text: &str) -> Result<Self, KeyTextError> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| KeyTextError::NotBase64)?);
        if bytes.len() != KEY_BYTES {
            return Err(KeyTextError::WrongLength { bytes: bytes.len() });
        }
        Ok(Self::filled(|key| key.copy_from_slice(&bytes)))
    }

    pub(crate) fn expose_base64(&self) -> SecretString {
        SecretString::new(STANDARD.encode(self.expose()))
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for SecretBytes {}

/// Why a text is not a secret key. Does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// The text is not canonical base64 in the standard alphabet with padding.
    #[error("the key is not standard padded base64; restore it from a backup or create a new one")]
    NotBase64,
    /// Keys are 32 bytes.
    #[error("the key is {bytes} bytes long instead of 32; restore it from a backup or create a new one")]
    WrongLength {
        /// The actual length.
        bytes: usize,
    },
}

/// Defines a key that is stored on the device as text: the database key and the device's private
/// key.
macro_rules! stored_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(crate::key::SecretBytes);

        impl $name {
            /// Takes the key's 32 bytes.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(crate::key::SecretBytes::new(bytes))
            }

            /// A new key from `rng`.
            pub fn generate(rng: &mut (impl rand_core::CryptoRng + ?Sized)) -> Self {
                Self(crate::key::SecretBytes::generate(rng))
            }

            /// Parses the text that [`expose_base64`](Self::expose_base64) returns.
            ///
            /// # Errors
            /// [`KeyTextError`](crate::KeyTextError) for anything but 32 bytes in standard padded
            /// base64.
            pub fn from_base64(text: &str) -> Result<Self, crate::KeyTextError> {
                crate::key::SecretBytes::from_base64(text).map(Self)
            }

            /// The key's bytes. Comment each call with the reason for the exposure.
            pub fn expose_bytes(&self) -> &[u8; 32] {
                self.0.expose()
            }

            /// The key in standard padded base64, for a credentials store. Comment each call with
            /// the reason.
            pub fn expose_base64(&self) -> levi_types::SecretString {
                self.0.expose_base64()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}
pub(crate) use stored_key;

/// The key that seals the messages of one session.
///
/// Derived from the session's secret
/// ([`SessionSecret::message_key`](crate::SessionSecret::message_key)) and never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageKey(SecretBytes);

impl MessageKey {
    /// Takes the key's 32 bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(SecretBytes::new(bytes))
    }

    /// Lets `fill` write the key where it stays.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; KEY_BYTES])) -> Self {
        Self(SecretBytes::filled(fill))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.expose()
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey(..)")
    }
}
