//! Errors of symmetric encryption and decryption. No variant contains content, a key or a nonce.

/// Why a value could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The content or an id is longer than the format allows.
    #[error("too long to seal: content must stay under 256 GiB and every id under 4 GiB")]
    TooLong,
}

/// Why a sealed value could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A message's nonce is 24 bytes long.
    #[error("the nonce is {bytes} bytes long instead of 24; fetch the row again")]
    WrongNonceLength {
        /// The actual length.
        bytes: usize,
    },
    /// Shorter than the sealed form of empty content. Nothing was decrypted.
    #[error("the ciphertext is cut off at {bytes} bytes; fetch the row again")]
    Truncated {
        /// The actual length.
        bytes: usize,
    },
    /// Authentication failed: another key, another position or slot, or altered bytes.
    /// Authenticated encryption does not tell which.
    #[error("authentication failed: wrong key, moved to another position, or altered; do not trust this row")]
    Forged,
    /// The message is authentic, but the length in it is wrong or something other than zeros
    /// follows the content.
    #[error("the message is authentic but wrongly padded; the sending device needs an update")]
    BadPadding,
    /// The message is authentic, but its content is not UTF-8 text.
    #[error("the message is authentic but is not UTF-8 text; the sending device needs an update")]
    NotUtf8,
}
