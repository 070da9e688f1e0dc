//! Encryption of one message's content, version 2: the key depends on the epoch of the user's
//! device list, and the length of the content may be hidden.
//!
//! ```text
//! key         HKDF-SHA256(salt = E_e, ikm = the session secret's 32 bytes,
//!                         info = "levi/message-key/v2" || lp(session_id) || u32be(e)), 32 bytes
//!             where lp(x) = u32be(len(x)) || x, and E_e is the secret of epoch e
//! plain       u32be(len(content) + 2^31 if the message is late) || content || zeros
//! nonce       24 bytes, random, or derived from writer, message and plain
//! aad         "levi/message/v2" || lp(session_id) || i64be(sequence_number) || u32be(e)
//! ciphertext  XChaCha20-Poly1305(key, nonce, aad, plain), 16-byte tag at the end
//! row         content_nonce = "v2:" || e in decimal || ":" || base64(nonce)
//! ```
//!
//! A device that left the list does not know later epochs' secrets. So it can read nothing that is
//! sealed after its removal, even if it holds the session's secret and the server hands it every
//! row.
//!
//! A message is late if its writer sealed a higher sequence number of the session before: it was
//! enqueued out of order, or is an edit. Readers need to know, because a row of an older epoch that
//! follows one of a newer epoch is refused, and an edit of an old message belongs to a newer epoch
//! than the messages after it.
//!
//! The writer chooses the number of zeros; the reader accepts any. [`Padding::Padme`] pads `plain`
//! to a Padmé length (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
//! Communication with PURBs", 2019, section 4), which adds at most 12 % and leaves O(log log len)
//! bits of the length visible.
//!
//! A reader of version 1 refuses such a row cleanly, because its nonce is not base64. HKDF is RFC
//! 5869; the cipher is that of [version 1](crate::message).

mod wire;

use levi_types::SessionId;
use rand_core::CryptoRng;
use ring::hkdf;
use zeroize::Zeroizing;

pub use crate::epoch::{Epoch, EpochSecret};
pub use crate::message::{MessagePosition, NONCE_BYTES, SealedMessage, TAG_BYTES};
pub use wire::{WireNonce, WireNonceError, is_version_2, nonce_from_wire, nonce_to_wire};

use crate::context::{Context, NameTooLong};
use crate::key::{KEY_BYTES, SecretBytes};
use crate::message::decrypt;
use crate::nonce::{self, Author};
use crate::{MessageKey, OpenError, SealError, SessionSecret, xchacha};

const KEY_LABEL: &str = "levi/message-key/v2";
const LABEL: &str = "levi/message/v2";

/// Length of the number before the content, in bytes.
const LENGTH_BYTES: usize = 4;

/// Set in the number before the content of a late message.
const LATE: u32 = 1 << 31;

/// The key that seals the messages of one session in one epoch. Not stored: derived again when
/// needed.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochMessageKey {
    key: SecretBytes,
    epoch: Epoch,
}

impl EpochMessageKey {
    /// Derives the key from the session's secret and the epoch's.
    ///
    /// # Errors
    /// [`SealError::TooLong`] if the session id is 4 GiB or longer.
    pub fn derive(
        secret: &SessionSecret,
        session_id: &SessionId,
        epoch: Epoch,
        epoch_secret: &EpochSecret,
    ) -> Result<Self, SealError> {
        Self::of(&secret.message_key(), session_id, epoch, epoch_secret)
    }

    /// As [`derive`](Self::derive), from the session's key of version 1, which is the session's
    /// secret too.
    ///
    /// # Errors
    /// As for [`derive`](Self::derive).
    pub fn of(
        session_key: &MessageKey,
        session_id: &SessionId,
        epoch: Epoch,
        epoch_secret: &EpochSecret,
    ) -> Result<Self, SealError> {
        let too_long = |NameTooLong| SealError::TooLong;
        let info = Context::new(KEY_LABEL).name(session_id.as_str()).map_err(too_long)?.epoch(epoch);
        // Exposed to be hashed.
        let prk =
            hkdf::Salt::new(hkdf::HKDF_SHA256, epoch_secret.expose_bytes()).extract(session_key.expose());
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        prk.expand(&[info.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(key.as_mut_slice()))
            .map_err(|_| SealError::TooLong)?;
        Ok(Self { key: SecretBytes::new(*key), epoch })
    }

    /// The epoch that the key belongs to.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn aad(&self, position: MessagePosition<'_>) -> Result<Context, NameTooLong> {
        let aad = Context::new(LABEL).name(position.session_id.as_str())?;
        Ok(aad.number(position.sequence_number).epoch(self.epoch))
    }
}

impl std::fmt::Debug for EpochMessageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EpochMessageKey({:?}, ..)", self.epoch)
    }
}

/// Whether a message's length is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// No zeros: the row's length tells the content's.
    #[default]
    None,
    /// Zeros up to a Padmé length: at most 12 % more.
    Padme,
}

impl Padding {
    /// The length to which a plaintext of `bytes` bytes is padded.
    fn padded(self, bytes: usize) -> usize {
        match self {
            Self::None => bytes,
            Self::Padme => padme(bytes),
        }
    }
}

/// Rounds `bytes` up so that only the highest `log2(log2(bytes)) + 1` bits of the length may be
/// set.
fn padme(bytes: usize) -> usize {
    let Some(exponent) = bytes.checked_ilog2().filter(|exponent| *exponent > 0) else { return bytes };
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - kept_bits.min(exponent))) - 1;
    (bytes + mask) & !mask
}

/// Whether a message comes after every message that its writer has sealed in the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Its sequence number is higher than those that its writer sealed before.
    #[default]
    Rising,
    /// It is not, or the writer does not know: an edit, or a message that was enqueued out of
    /// order.
    Late,
}

/// The properties of a message other than its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Whether its length is hidden.
    pub padding: Padding,
    /// Whether it comes after what was sealed before.
    pub order: Order,
}

/// An opened message.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedMessage {
    /// The text.
    pub content: String,
    /// Whether it came after what its writer had sealed before.
    pub order: Order,
}

impl std::fmt::Debug for OpenedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenedMessage({} bytes, {:?})", self.content.len(), self.order)
    }
}

/// Seals `content` for `position` under a nonce drawn from `rng`. Allocates only the ciphertext.
///
/// # Errors
/// [`SealError::TooLong`] if the content or the session id is longer than the format allows.
pub fn seal(
    key: &EpochMessageKey,
    position: MessagePosition<'_>,
    content: &str,
    form: Form,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<SealedMessage, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    encrypt(key, position, plain(content, form)?, nonce)
}

/// Seals `content` for `position` under a nonce that is derived from `author`, `session_key` and
/// what is encrypted, as in version 1: [`same_message`](crate::same_message) tells an edit of the
/// message from another writer's row, whatever their epochs.
///
/// # Errors
/// [`SealError::TooLong`] if the content or the session id is longer than the format allows.
pub fn seal_as(
    key: &EpochMessageKey,
    session_key: &MessageKey,
    position: MessagePosition<'_>,
    content: &str,
    form: Form,
    author: Author<'_>,
) -> Result<SealedMessage, SealError> {
    let plain = plain(content, form)?;
    let nonce = nonce::derive(session_key, position, author, &plain);
    encrypt(key, position, plain, nonce)
}

/// The nonce with which [`seal_as`] seals.
///
/// # Errors
/// As for [`seal_as`].
pub fn nonce_as(
    session_key: &MessageKey,
    position: MessagePosition<'_>,
    content: &str,
    form: Form,
    author: Author<'_>,
) -> Result<[u8; NONCE_BYTES], SealError> {
    Ok(nonce::derive(session_key, position, author, &plain(content, form)?))
}

/// What is encrypted, with room for the tag.
fn plain(content: &str, form: Form) -> Result<Vec<u8>, SealError> {
    let length = u32::try_from(content.len()).ok().filter(|length| length & LATE == 0);
    let length = length.ok_or(SealError::TooLong)?;
    let length = match form.order {
        Order::Rising => length,
        Order::Late => length | LATE,
    };
    let padded = form.padding.padded(LENGTH_BYTES + content.len());
    // Sized up front, because a growing buffer would leave copies of the content in freed memory.
    let mut plain = Vec::with_capacity(padded + TAG_BYTES);
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(content.as_bytes());
    plain.resize(padded, 0);
    Ok(plain)
}

fn encrypt(
    key: &EpochMessageKey,
    position: MessagePosition<'_>,
    plain: Vec<u8>,
    nonce: [u8; NONCE_BYTES],
) -> Result<SealedMessage, SealError> {
    let aad = key.aad(position).map_err(|NameTooLong| SealError::TooLong)?;
    let mut ciphertext = plain;
    xchacha::seal_in_place(key.key.expose(), &nonce, aad.as_bytes(), &mut ciphertext)?;
    Ok(SealedMessage { ciphertext, nonce })
}

/// Opens what [`seal`] made for the same position under the same key.
///
/// # Errors
/// [`OpenError`] says whether the row is incomplete (`WrongNonceLength`, `Truncated`), not
/// authentic (`Forged`), or authentic but not padded text (`BadPadding`, `NotUtf8`).
pub fn open(
    key: &EpochMessageKey,
    position: MessagePosition<'_>,
    ciphertext: &[u8],
    nonce: &[u8],
) -> Result<OpenedMessage, OpenError> {
    open_owned(key, position, ciphertext.to_vec(), nonce)
}

/// As [`open`], in the memory of the ciphertext.
///
/// # Errors
/// As for [`open`]
pub fn open_owned(
    key: &EpochMessageKey,
    position: MessagePosition<'_>,
    ciphertext: Vec<u8>,
    nonce: &[u8],
) -> Result<OpenedMessage, OpenError> {
    let mut plain = decrypt(key.key.expose(), key.aad(position), ciphertext, nonce)?;
    let Head { length, order } = head(&plain).ok_or(OpenError::BadPadding)?;
    plain.truncate(LENGTH_BYTES + length);
    plain.drain(..LENGTH_BYTES);
    let content = String::from_utf8(plain).map_err(|_| OpenError::NotUtf8)?;
    Ok(OpenedMessage { content, order })
}

/// What the number before the content says.
struct Head {
    length: usize,
    order: Order,
}

/// The head, if the plaintext holds that much content and only zeros after it.
fn head(plain: &[u8]) -> Option<Head> {
    let (number, rest) = plain.split_first_chunk::<LENGTH_BYTES>()?;
    let number = u32::from_be_bytes(*number);
    let order = if number & LATE == 0 { Order::Rising } else { Order::Late };
    let length = usize::try_from(number & !LATE).ok()?;
    let padding = rest.get(length..)?;
    padding.iter().all(|byte| *byte == 0).then_some(Head { length, order })
}

#[cfg(test)]
mod tests;
