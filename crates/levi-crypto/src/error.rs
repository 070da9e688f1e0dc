//! Why a symmetric sealing or opening failed. No variant carries content, a key or a nonce.

/// Why something could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The content, or a name of the place it is sealed for, is beyond what the format can express.
    #[error("too long to seal: content must stay under 256 GiB and every id under 4 GiB")]
    TooLong,
}

/// Why something sealed could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A message's nonce is always 24 bytes.
    #[error("the nonce is {bytes} bytes long instead of 24; fetch the row again")]
    WrongNonceLength {
        /// What it was instead.
        bytes: usize,
    },
    /// Too short to hold even an empty content; nothing was decrypted.
    #[error("the ciphertext is cut off at {bytes} bytes; fetch the row again")]
    Truncated {
        /// How many bytes there were.
        bytes: usize,
    },
    /// Authentication failed: another key, another place, or bytes that somebody changed. Which of them
    /// cannot be told, by design.
    #[error("authentication failed: wrong key, moved to another place, or altered; do not trust this row")]
    Forged,
    /// A message is authentic but its sender sealed something that is no UTF-8 text.
    #[error("the message is authentic but is not UTF-8 text; the sending device needs an update")]
    NotUtf8,
}
