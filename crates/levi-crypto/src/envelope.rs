//! One session secret, encrypted for one device.
//!
//! HPKE (RFC 9180) in *Auth* mode, so that the recipient knows which device sealed the envelope.
//! Without authentication, anyone who knows the recipient's public key could make one, the server
//! included.
//!
//! ```text
//! suite  DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305      (0x0020, 0x0001, 0x0003)
//! info   "levi/envelope/v1" || lp(user_id) || lp(session_id) || lp(sender_device_id) || lp(recipient_device_id)
//!        where lp(x) = u32be(len(x)) || x
//! aad    empty
//! plain  the session secret's text
//! row    ephemeral_public_key = base64(enc, 32 bytes), encrypted_secret = base64(ciphertext || tag)
//! ```
//!
//! Every envelope has its own ephemeral key, so the sender keeps nothing that could open it later.
//! [`seal_reproducibly`] derives that key from the secret and the sender's own key, so that the
//! sender can tell later whether an envelope on the server is the one that it made.
//! Two limits, both from RFC 9180: an attacker who obtains the *recipient's* private key can open
//! envelopes that were sealed for it before, and can make envelopes for that recipient which seem
//! to come from any sender whose public key is known.

mod derived;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable};
use levi_types::{DeviceId, SessionId, UserId};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use crate::device_key::{DeviceKeyError, DevicePrivateKey, DevicePublicKey};

use crate::context::{Context, NameTooLong};
use crate::device_key::is_low_order;
use crate::xchacha::TAG_BYTES;
use crate::{SessionSecret, SessionSecretError};

const LABEL: &str = "levi/envelope/v1";

/// The HPKE crate documents a panic for `info` of 64 KiB and more. An id of Levi has at most 256
/// bytes.
const MAX_INFO_BYTES: usize = 60_000;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The user, session, sender and recipient of an envelope. It opens only for the same route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The user that both devices belong to.
    pub user_id: &'a UserId,
    /// The session whose secret is sealed.
    pub session_id: &'a SessionId,
    /// The device that seals.
    pub sender_device_id: &'a DeviceId,
    /// The device that opens.
    pub recipient_device_id: &'a DeviceId,
}

impl Route<'_> {
    fn info(&self) -> Result<Context, NameTooLong> {
        let info = Context::new(LABEL)
            .name(self.user_id.as_str())?
            .name(self.session_id.as_str())?
            .name(self.sender_device_id.as_str())?
            .name(self.recipient_device_id.as_str())?;
        if info.as_bytes().len() > MAX_INFO_BYTES { Err(NameTooLong) } else { Ok(info) }
    }
}

/// A sealed session secret, as stored on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// RFC 9180's `enc`.
    pub ephemeral_public_key: [u8; 32],
    /// Ciphertext, then tag.
    pub encrypted_secret: Vec<u8>,
}

impl Envelope {
    /// The columns `ephemeral_public_key` and `encrypted_secret` of the envelope's row, in this
    /// order.
    pub fn to_wire(&self) -> (String, String) {
        (STANDARD.encode(self.ephemeral_public_key), STANDARD.encode(&self.encrypted_secret))
    }

    /// Parses the two columns of an envelope's row.
    ///
    /// # Errors
    /// [`EnvelopeError::NotBase64`] for anything but standard padded base64,
    /// [`EnvelopeError::WrongKeyLength`] for an ephemeral key that is not 32 bytes long,
    /// [`EnvelopeError::Truncated`] for a secret that is too short.
    pub fn from_wire(ephemeral_public_key: &str, encrypted_secret: &str) -> Result<Self, EnvelopeError> {
        let decode = |column, text| STANDARD.decode(text).map_err(|_| EnvelopeError::NotBase64 { column });
        let key = decode("ephemeral_public_key", ephemeral_public_key)?;
        let encrypted_secret = decode("encrypted_secret", encrypted_secret)?;
        let ephemeral_public_key =
            key.as_slice().try_into().map_err(|_| EnvelopeError::WrongKeyLength { bytes: key.len() })?;
        check_length(&encrypted_secret)?;
        Ok(Self { ephemeral_public_key, encrypted_secret })
    }
}

/// Seals `secret` so that only the recipient can open it and knows that `sender` sealed it.
///
/// # Errors
/// [`EnvelopeError::TooLong`] for ids of more than 60,000 bytes together,
/// [`EnvelopeError::Sealing`] if the HPKE implementation refuses, which it does not do for a valid
/// recipient key.
pub fn seal(
    secret: &SessionSecret,
    route: Route<'_>,
    sender: &DevicePrivateKey,
    recipient: &DevicePublicKey,
    mut rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Envelope, EnvelopeError> {
    let info = route.info().map_err(|NameTooLong| EnvelopeError::TooLong)?;
    let sealed = |error: HpkeError| EnvelopeError::Sealing(error);
    let sender_private = PrivateKey::from_bytes(sender.expose_bytes()).map_err(sealed)?;
    let sender_public = X25519HkdfSha256::sk_to_pk(&sender_private);
    let recipient = PublicKey::from_bytes(recipient.as_bytes()).map_err(sealed)?;
    let (enc, encrypted_secret) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Auth((sender_private, sender_public)),
            &recipient,
            info.as_bytes(),
            // Exposed to be encrypted.
            secret.expose().as_bytes(),
            &[],
            &mut rng,
        )
        .map_err(sealed)?;
    Ok(Envelope { ephemeral_public_key: enc.to_bytes().into(), encrypted_secret })
}

/// As [`seal`], but the same sender makes the same envelope of the same secret for the same route
/// and recipient each time: it can compare that with what the server shows. Recipients cannot tell
/// the two apart.
///
/// # Errors
/// As for [`seal`].
pub fn seal_reproducibly(
    secret: &SessionSecret,
    route: Route<'_>,
    sender: &DevicePrivateKey,
    recipient: &DevicePublicKey,
) -> Result<Envelope, EnvelopeError> {
    let info = route.info().map_err(|NameTooLong| EnvelopeError::TooLong)?;
    seal(secret, route, sender, recipient, &mut derived::drawn(secret, sender, recipient, info.as_bytes()))
}

/// Opens what `sender` sealed for `recipient` and this route.
///
/// # Errors
/// [`EnvelopeError::Forged`] for another sender, recipient or route, or altered bytes.
/// [`EnvelopeError::LowOrder`] and [`EnvelopeError::Truncated`] for envelopes that no honest sender
/// makes. [`EnvelopeError::NotASecret`] if the envelope is authentic, but its content is not a
/// session secret.
pub fn open(
    envelope: &Envelope,
    route: Route<'_>,
    recipient: &DevicePrivateKey,
    sender: &DevicePublicKey,
) -> Result<SessionSecret, EnvelopeError> {
    check_length(&envelope.encrypted_secret)?;
    if is_low_order(envelope.ephemeral_public_key) {
        return Err(EnvelopeError::LowOrder);
    }
    // Nothing can have been sealed for a route that the format does not allow.
    let info = route.info().map_err(|NameTooLong| EnvelopeError::Forged)?;
    let plain = open_raw(envelope, info.as_bytes(), recipient, sender).map_err(|_| EnvelopeError::Forged)?;
    let text =
        std::str::from_utf8(&plain).map_err(|_| EnvelopeError::NotASecret(SessionSecretError::Alphabet))?;
    SessionSecret::parse(text).map_err(EnvelopeError::NotASecret)
}

fn open_raw(
    envelope: &Envelope,
    info: &[u8],
    recipient: &DevicePrivateKey,
    sender: &DevicePublicKey,
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Auth(PublicKey::from_bytes(sender.as_bytes())?),
        &PrivateKey::from_bytes(recipient.expose_bytes())?,
        &EncappedKey::from_bytes(&envelope.ephemeral_public_key)?,
        info,
        &envelope.encrypted_secret,
        &[],
    )?;
    Ok(Zeroizing::new(plain))
}

fn check_length(encrypted_secret: &[u8]) -> Result<(), EnvelopeError> {
    let bytes = encrypted_secret.len();
    if bytes < TAG_BYTES { Err(EnvelopeError::Truncated { bytes }) } else { Ok(()) }
}

/// Why an envelope could not be sealed, parsed or opened. No variant contains a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// A column is not standard padded base64.
    #[error("{column} of the envelope is not standard padded base64; ask the sending device to share again")]
    NotBase64 {
        /// The column's name.
        column: &'static str,
    },
    /// An ephemeral key is 32 bytes long.
    #[error(
        "the envelope's ephemeral key is {bytes} bytes long instead of 32; ask the sending device to share again"
    )]
    WrongKeyLength {
        /// The actual length.
        bytes: usize,
    },
    /// Shorter than the sealed form of an empty secret.
    #[error("the envelope's secret is cut off at {bytes} bytes; ask the sending device to share again")]
    Truncated {
        /// The actual length.
        bytes: usize,
    },
    /// The ephemeral key is a point that no honest sender produces.
    #[error("the envelope's ephemeral key is of low order; do not trust it")]
    LowOrder,
    /// Authentication failed: another sender, recipient, user or session, another key of one of
    /// them, or altered bytes. Authenticated encryption does not tell which.
    #[error(
        "the envelope was not sealed for this device and session under a key that its sender is known by, or was \
         altered; if one of the two devices has a new key, share the session again (`levi share`)"
    )]
    Forged,
    /// The envelope is authentic, but its content is not a session secret.
    #[error(
        "the envelope is authentic but does not hold a session secret; the sending device needs an update: {0}"
    )]
    NotASecret(#[source] SessionSecretError),
    /// The ids are longer than 60,000 bytes together.
    #[error("the ids are too long for an envelope: together they must stay under 60,000 bytes")]
    TooLong,
    /// The HPKE implementation refused to seal.
    #[error("the envelope could not be sealed: {0}")]
    Sealing(#[source] HpkeError),
}
