//! The text of the column `content_nonce` of a row of version 2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Epoch, NONCE_BYTES};

const NONCE_PREFIX: &str = "v2:";

/// The text of the column `content_nonce`, which also names the epoch.
pub fn nonce_to_wire(epoch: Epoch, nonce: &[u8; NONCE_BYTES]) -> String {
    let mut text = format!("{NONCE_PREFIX}{epoch}:");
    STANDARD.encode_string(nonce, &mut text);
    text
}

/// A `content_nonce` of version 2, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireNonce {
    /// The epoch under which the row says that it was sealed. Not authenticated until the message
    /// opens.
    pub epoch: Epoch,
    /// The nonce.
    pub nonce: [u8; NONCE_BYTES],
}

/// Whether a `content_nonce` says that its row is of version 2. Everything else is version 1.
pub fn is_version_2(content_nonce: &str) -> bool {
    content_nonce.starts_with(NONCE_PREFIX)
}

/// Parses the column `content_nonce` of a row of version 2. Strict: each nonce has exactly one
/// text.
///
/// # Errors
/// [`WireNonceError`].
pub fn nonce_from_wire(content_nonce: &str) -> Result<WireNonce, WireNonceError> {
    let rest = content_nonce.strip_prefix(NONCE_PREFIX).ok_or(WireNonceError::NotVersion2)?;
    let (number, nonce) = rest.split_once(':').ok_or(WireNonceError::Epoch)?;
    // A leading zero and a sign would parse too.
    let number = Some(number).filter(|number| !number.starts_with(['0', '+']));
    let epoch = number.and_then(|number| number.parse().ok()).and_then(Epoch::new);
    let epoch = epoch.ok_or(WireNonceError::Epoch)?;
    Ok(WireNonce { epoch, nonce: decoded_nonce(nonce)? })
}

/// Decodes without allocating where the text has the length of a nonce.
fn decoded_nonce(text: &str) -> Result<[u8; NONCE_BYTES], WireNonceError> {
    let mut nonce = [0; NONCE_BYTES];
    match STANDARD.decode_slice(text, &mut nonce) {
        Ok(NONCE_BYTES) => Ok(nonce),
        _ => {
            let bytes = STANDARD.decode(text).map_err(|_| WireNonceError::NotBase64)?.len();
            Err(WireNonceError::WrongLength { bytes })
        }
    }
}

/// Why a `content_nonce` is not one of version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireNonceError {
    /// It does not start with `v2:`.
    #[error("the row is not of version 2; open it as version 1")]
    NotVersion2,
    /// The epoch is not a number from 1 to 2^32 - 1 in plain decimal digits, followed by a colon.
    #[error("the row names no epoch; fetch it again")]
    Epoch,
    /// What follows is not standard padded base64.
    #[error("the row's nonce is not standard padded base64; fetch it again")]
    NotBase64,
    /// Nonces are 24 bytes.
    #[error("the row's nonce is {bytes} bytes long instead of 24; fetch it again")]
    WrongLength {
        /// The actual length.
        bytes: usize,
    },
}
