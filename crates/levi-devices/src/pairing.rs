//! Pairing: a device that is on the list shows a code, and the user enters it on a new device.
//!
//! ```text
//! code     20 characters of Crockford's base32: 95 random bits c, 5 of check; 10 minutes by the old device's clock; used once
//! k        HKDF-SHA256(salt = user_id, ikm = c and one zero bit, 12 bytes, info = "levi/pair/v1"):
//!          k_id(16) || k_request(32) || k_answer(32) || k_shown(16)
//! shown    from the old device, while it shows the code: an empty row with id hex(k_shown)
//! request  from the new device, in the row with id hex(k_id):
//!          XChaCha20-Poly1305(k_request, aad "levi/pair/v1/request" || lp(user_id), member || fresh(16))
//! answer   from the old device, after its person said yes to name and fingerprint, in the same row:
//!          XChaCha20-Poly1305(k_answer, aad "levi/pair/v1/answer" || lp(user_id),
//!                             fresh(16) || genesis(32) || head(32) || u64 slot || the entry of kind 2),
//!          or fresh(16) alone if its person said no
//! columns  base64(nonce(24) || ciphertext || tag(16)); the cosignature is base64(64 bytes)
//! ```
//!
//! 1. The old device makes an [`Invitation`] and shows its code as text and QR.
//! 2. The new device reads the code and writes a [`Join`]'s request.
//! 3. The old device opens the request. Its person compares name and fingerprint, and says yes. It
//!    writes the answer.
//! 4. The new device reads the list up to the answer's head, checks that the entry adds itself and
//!    nothing else, and writes its cosignature.
//! 5. The old device inserts the entry, seals the keyring for the new member, deletes the row and
//!    shares all sessions.
//! 6. The new device reads the list once more, finds itself on it, and pins it.
//!
//! The code goes from the old device to the new one, never the other way, because phishing of
//! linked devices relies on trusted devices that accept an invitation from elsewhere.

mod code;
mod invitation;
mod join;

pub use code::{PairingCode, PairingCodeError};
pub use invitation::{Invitation, PairingRequest, PendingMember, VALID_FOR_MS};
pub use join::{Answer, Join};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_crypto::aead;
use levi_types::UserId;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::bytes::Writer;
use crate::entry::EntryError;
use crate::list::{ReadError, Refusal};

const REQUEST_LABEL: &str = "levi/pair/v1/request";
const ANSWER_LABEL: &str = "levi/pair/v1/answer";

/// Random bytes of a request that its answer repeats.
const FRESH_BYTES: usize = 16;

type Fresh = [u8; FRESH_BYTES];

/// The keys derived from a code.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct PairingKeys {
    id: [u8; 16],
    request: [u8; 32],
    answer: [u8; 32],
    shown: [u8; 16],
}

/// Which of the two messages. Each has its own key and its own label.
#[derive(Clone, Copy)]
enum Message {
    Request,
    Answer,
}

impl PairingKeys {
    /// The row's id: 32 lower-case hexadecimal digits.
    fn row_id(&self) -> String {
        hexadecimal(&self.id)
    }

    /// The id of the row that says that the code is shown, likewise.
    fn shown_id(&self) -> String {
        hexadecimal(&self.shown)
    }

    fn seal(
        &self,
        message: Message,
        user_id: &UserId,
        plain: &[u8],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<String, PairingError> {
        let (key, aad) = self.key_and_aad(message, user_id);
        aead::seal(key, &aad, plain, rng)
            .map(|sealed| STANDARD.encode(sealed))
            .map_err(|_| PairingError::Malformed)
    }

    fn open(
        &self,
        message: Message,
        user_id: &UserId,
        column: &str,
    ) -> Result<Zeroizing<Vec<u8>>, PairingError> {
        let (key, aad) = self.key_and_aad(message, user_id);
        let sealed = STANDARD.decode(column).map_err(|_| PairingError::NotBase64)?;
        aead::open(key, &aad, &sealed).map_err(|_| PairingError::Forged)
    }

    fn key_and_aad(&self, message: Message, user_id: &UserId) -> (&[u8; 32], Vec<u8>) {
        let (key, label) = match message {
            Message::Request => (&self.request, REQUEST_LABEL),
            Message::Answer => (&self.answer, ANSWER_LABEL),
        };
        (key, Writer::new(label).text(user_id.as_str()).finish())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    // Writing to a string does not fail.
    let _ = crate::hash::write_hex(&mut text, bytes);
    text
}

/// Why pairing cannot continue. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingError {
    /// A column is not standard padded base64.
    #[error("the pairing row is not standard padded base64; show a new code with `levi pair`")]
    NotBase64,
    /// The message does not open: another code or user, a request in place of an answer, or altered
    /// bytes.
    #[error(
        "the pairing message was made with another code, or was altered; show a new code with `levi pair`"
    )]
    Forged,
    /// The message opens, but is not what its format says.
    #[error(
        "the other device sent a pairing message that this version does not understand; update Levi on both"
    )]
    Malformed,
    /// More than ten minutes have passed since the code was shown.
    #[error("the pairing code has expired; show a new one with `levi pair`")]
    Expired,
    /// The person at the old device said no.
    #[error(
        "the other device was told not to add this one; if it is yours, show a new code with `levi pair`"
    )]
    Declined,
    /// The answer is to another request.
    #[error("the answer is to another request; show a new code with `levi pair`")]
    NotFresh,
    /// The entry in the answer does something other than add this device.
    #[error("the other device would not add this device as it is; do not trust it, and show a new code")]
    OtherEntry,
    /// The list that the server shows does not have the head that the old device named.
    #[error(
        "the server shows this device another list than the one that the other device has; do not trust it"
    )]
    OtherList,
    /// The list has changed since the answer was made.
    #[error("the device list has changed meanwhile; show a new code with `levi pair`")]
    ListChanged,
    /// The new device has not found itself on the list yet.
    #[error("the other device has not added this one yet; wait for it, or show a new code with `levi pair`")]
    NotAdded,
    /// The entry is not accepted.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The entry does not decode.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The list cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
