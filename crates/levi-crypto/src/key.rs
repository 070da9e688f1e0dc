//! 256-bit secret keys: contentless `Debug`, zeroised on drop, equality in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_types::SecretString;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of every secret key here, in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// What the public key types wrap.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct SecretBytes([u8; KEY_BYTES]);

impl SecretBytes {
    pub(crate) const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut key = Self([0; KEY_BYTES]);
        rng.fill_bytes(&mut key.0);
        key
    }

    pub(crate) const fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(crate) fn from_base64(text: &str) -> Result<Self, KeyTextError> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| KeyTextError::NotBase64)?);
        let bytes =
            bytes.as_slice().try_into().map_err(|_| KeyTextError::WrongLength { bytes: bytes.len() })?;
        Ok(Self(bytes))
    }

    pub(crate) fn expose_base64(&self) -> SecretString {
        SecretString::new(STANDARD.encode(self.0))
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

/// Why a text is no secret key. Never carries the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// The standard alphabet with padding, and no stray bits at the end.
    #[error("the key is not standard padded base64; restore it from a backup or create a new one")]
    NotBase64,
    /// Keys are 32 bytes.
    #[error("the key is {bytes} bytes long instead of 32; restore it from a backup or create a new one")]
    WrongLength {
        /// What it was instead.
        bytes: usize,
    },
}

/// A key that is stored on the device as text, as the database key and the device's private key are.
macro_rules! stored_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(crate::key::SecretBytes);

        impl $name {
            /// Takes 32 bytes that a caller already has, from a keychain for example.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(crate::key::SecretBytes::new(bytes))
            }

            /// A fresh key from `rng`.
            pub fn generate(rng: &mut (impl rand_core::CryptoRng + ?Sized)) -> Self {
                Self(crate::key::SecretBytes::generate(rng))
            }

            /// Reads what [`expose_base64`](Self::expose_base64) wrote.
            ///
            /// # Errors
            /// [`KeyTextError`](crate::KeyTextError) for anything but 32 bytes in standard padded base64.
            pub fn from_base64(text: &str) -> Result<Self, crate::KeyTextError> {
                crate::key::SecretBytes::from_base64(text).map(Self)
            }

            /// The key itself. Every call is an exposure: say at the call site why it is needed.
            pub const fn expose_bytes(&self) -> &[u8; 32] {
                self.0.expose()
            }

            /// The key in standard padded base64, for a credentials store. Every call is an exposure.
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

/// The key under which the messages of one session are sealed.
///
/// It comes from the session's secret ([`SessionSecret::message_key`](crate::SessionSecret::message_key)) and
/// is kept in memory only.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageKey(SecretBytes);

impl MessageKey {
    /// Takes 32 bytes that a caller already has.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(SecretBytes::new(bytes))
    }

    pub(crate) const fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.expose()
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey(..)")
    }
}
