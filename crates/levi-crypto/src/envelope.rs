//! One session secret for one device.
//!
//! HPKE (RFC 9180) in *Auth* mode, so that a recipient knows which device sealed it: an unauthenticated envelope
//! could be minted by anyone who knows the recipient's public key, the server included.
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
//! Every envelope has its own ephemeral key, so the sender keeps nothing that could open it later. Two limits, both
//! RFC 9180's: whoever steals the *recipient's* private key later opens what was sealed for it before, and can also
//! make envelopes for that recipient which seem to come from any sender whose public key is known.

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

/// The HPKE crate documents a panic for `info` of 64 KiB and more. Levi's ids have 256 bytes at the most.
const MAX_INFO_BYTES: usize = 60_000;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Whose secret travels from which device to which. An envelope opens for this route and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The user that both devices belong to.
    pub user_id: &'a UserId,
    /// The session whose secret it is.
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

/// A sealed session secret, as the server may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// RFC 9180's `enc`.
    pub ephemeral_public_key: [u8; 32],
    /// Ciphertext, then tag.
    pub encrypted_secret: Vec<u8>,
}

impl Envelope {
    /// The columns `ephemeral_public_key` and `encrypted_secret` of the envelope's row, in this order.
    pub fn to_wire(&self) -> (String, String) {
        (STANDARD.encode(self.ephemeral_public_key), STANDARD.encode(&self.encrypted_secret))
    }

    /// Reads the two columns of an envelope's row.
    ///
    /// # Errors
    /// [`EnvelopeError::NotBase64`] for anything but standard padded base64,
    /// [`EnvelopeError::WrongKeyLength`] for an ephemeral key of other than 32 bytes,
    /// [`EnvelopeError::Truncated`] for a secret too short to be sealed.
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
/// [`EnvelopeError::TooLong`] for ids beyond 60,000 bytes, [`EnvelopeError::Sealing`] where the
/// HPKE implementation refuses, which it has no reason to do for a valid recipient key.
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
            // The one place where the secret leaves this device, and it leaves encrypted.
            secret.expose().as_bytes(),
            &[],
            &mut rng,
        )
        .map_err(sealed)?;
    Ok(Envelope { ephemeral_public_key: enc.to_bytes().into(), encrypted_secret })
}

/// Opens what `sender` sealed for `recipient` and this route.
///
/// # Errors
/// [`EnvelopeError::Forged`] where it was not: another sender, recipient or route, or altered bytes.
/// [`EnvelopeError::LowOrder`] and [`EnvelopeError::Truncated`] for envelopes that nobody can have sealed so, and
/// [`EnvelopeError::NotASecret`] where the sender did seal it, but what is inside is no session secret.
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
    // A route that cannot be expressed cannot have been sealed for.
    let info = route.info().map_err(|NameTooLong| EnvelopeError::Forged)?;
    let plain = open_raw(envelope, info.as_bytes(), recipient, sender).map_err(|_| EnvelopeError::Forged)?;
    // Text or not, bytes that are no secret get the parser's answer, which does not echo them.
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

/// Why an envelope could not be made, read or opened. No variant carries a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// A column is not standard padded base64.
    #[error("{column} of the envelope is not standard padded base64; ask the sending device to share again")]
    NotBase64 {
        /// Which column.
        column: &'static str,
    },
    /// An ephemeral key is 32 bytes.
    #[error(
        "the envelope's ephemeral key is {bytes} bytes long instead of 32; ask the sending device to share again"
    )]
    WrongKeyLength {
        /// What it was instead.
        bytes: usize,
    },
    /// Too short to hold even an empty secret.
    #[error("the envelope's secret is cut off at {bytes} bytes; ask the sending device to share again")]
    Truncated {
        /// How many bytes there were.
        bytes: usize,
    },
    /// The ephemeral key is a point that no honest sender produces.
    #[error("the envelope's ephemeral key is of low order; do not trust it")]
    LowOrder,
    /// Authentication failed: another sender, recipient, user or session, or bytes that somebody changed. Which of
    /// them cannot be told, by design.
    #[error(
        "the envelope was not sealed by that device for this device and session, or was altered; do not trust it"
    )]
    Forged,
    /// The sender sealed something else than a session secret.
    #[error("the envelope is authentic but holds no session secret; the sending device needs an update: {0}")]
    NotASecret(#[source] SessionSecretError),
    /// The ids are longer than an envelope can be bound to.
    #[error("the ids are too long to seal an envelope for: together they must stay under 60,000 bytes")]
    TooLong,
    /// The HPKE implementation refused to seal.
    #[error("the envelope could not be sealed: {0}")]
    Sealing(#[source] HpkeError),
}
