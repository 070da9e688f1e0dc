//! Levi's own vectors: every file in `docs/vectors` equals the generator's output, and every case
//! has the outcome that it names. An implementation in another language needs only the second half
//! of this file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure that names its line")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_crypto::at_rest::{self as disk, DatabaseKey, Slot};
use levi_crypto::envelope::{
    DeviceKeyError, DevicePrivateKey, DevicePublicKey, Envelope, EnvelopeError, Route, open as open_envelope,
};
use levi_crypto::message::{MessagePosition, open as open_message};
use levi_crypto::{OpenError, SessionSecret, SessionSecretError};
use levi_types::{DeviceId, SessionId, UserId};

#[path = "../examples/vectors/files/mod.rs"]
mod files;
mod vector_files;

use files::{at_rest, device_key, envelope, message, session_secret};
use vector_files::{assert_checked_in, decoded, read};

#[test]
fn the_checked_in_files_equal_the_generators_output() {
    assert_checked_in(files::all().unwrap(), "cargo run -p levi-crypto --example vectors");
}

#[test]
fn every_message_vector_has_the_named_outcome() {
    for case in read::<message::Case>("message.json", 30) {
        let session_id = SessionId::from(case.session_id.as_str());
        let place = MessagePosition {
            session_id: &session_id,
            sequence_number: case.sequence_number.parse().unwrap(),
        };
        let key = SessionSecret::parse(&case.session_secret).unwrap().message_key();
        let opened =
            open_message(&key, place, &decoded(&case.content_encrypted), &decoded(&case.content_nonce));
        assert_eq!(
            opened.as_ref().err().map_or("opens", |error| open_kind(*error)),
            case.expected,
            "{}",
            case.name
        );
        assert_eq!(opened.ok(), case.content, "{}", case.name);
    }
}

#[test]
fn every_session_secret_vector_has_the_named_outcome() {
    for case in read::<session_secret::Case>("session-secret.json", 20) {
        let parsed = SessionSecret::parse(&case.text);
        let kind = match &parsed {
            Ok(_) => "parses",
            Err(SessionSecretError::Prefix) => "prefix",
            Err(SessionSecretError::Padding) => "padding",
            Err(SessionSecretError::Length { .. }) => "length",
            Err(SessionSecretError::Alphabet) => "alphabet",
            Err(SessionSecretError::TrailingBits) => "trailing-bits",
            Err(other) => panic!("{other:?} has no name in the vectors"),
        };
        assert_eq!(kind, case.expected, "{}", case.name);
        assert_eq!(parsed.is_ok(), case.key.is_some(), "{}", case.name);
        if let (Ok(secret), Some(key)) = (parsed, case.key) {
            let key: [u8; 32] = decoded(&key).try_into().unwrap();
            assert_eq!(secret.message_key(), levi_crypto::MessageKey::from_bytes(key), "{}", case.name);
            assert_eq!(secret.expose(), case.text, "{}", case.name);
        }
    }
}

#[test]
fn every_device_key_vector_has_the_named_outcome() {
    for case in read::<device_key::Case>("device-key.json", 20) {
        let kind = match DevicePublicKey::from_base64(&case.public_key) {
            Ok(_) => "accepted",
            Err(DeviceKeyError::NotBase64) => "not-base64",
            Err(DeviceKeyError::WrongLength { .. }) => "wrong-length",
            Err(DeviceKeyError::LowOrder) => "low-order",
            Err(other) => panic!("{other:?} has no name in the vectors"),
        };
        assert_eq!(kind, case.expected, "{}", case.name);
        if let Some(private_key) = case.private_key {
            let private_key = DevicePrivateKey::from_base64(&private_key).unwrap();
            assert_eq!(private_key.public_key().to_base64(), case.public_key, "{}", case.name);
        }
    }
}

#[test]
fn every_envelope_vector_has_the_named_outcome() {
    for case in read::<envelope::Case>("envelope.json", 25) {
        let route = Route {
            user_id: &UserId::from(case.user_id.as_str()),
            session_id: &SessionId::from(case.session_id.as_str()),
            sender_device_id: &DeviceId::from(case.sender_device_id.as_str()),
            recipient_device_id: &DeviceId::from(case.recipient_device_id.as_str()),
        };
        let sender = DevicePublicKey::from_base64(&case.sender_public_key).unwrap();
        let recipient = DevicePrivateKey::from_base64(&case.recipient_private_key).unwrap();
        let opened = Envelope::from_wire(&case.ephemeral_public_key, &case.encrypted_secret)
            .and_then(|envelope| open_envelope(&envelope, route, &recipient, &sender));
        let kind = match &opened {
            Ok(_) => "opens",
            Err(EnvelopeError::NotBase64 { .. }) => "not-base64",
            Err(EnvelopeError::WrongKeyLength { .. }) => "wrong-key-length",
            Err(EnvelopeError::Truncated { .. }) => "truncated",
            Err(EnvelopeError::LowOrder) => "low-order",
            Err(EnvelopeError::Forged) => "forged",
            Err(EnvelopeError::NotASecret(_)) => "not-a-secret",
            Err(other) => panic!("{other:?} has no name in the vectors"),
        };
        assert_eq!(kind, case.expected, "{}", case.name);
        let secret = opened.ok();
        assert_eq!(
            secret.as_ref().map(SessionSecret::expose),
            case.session_secret.as_deref(),
            "{}",
            case.name
        );
    }
}

#[test]
fn every_at_rest_vector_has_the_named_outcome() {
    for case in read::<at_rest::Case>("at-rest.json", 15) {
        let key = DatabaseKey::from_base64(&case.database_key).unwrap();
        let slot = Slot { table: &case.table, row_key: &case.row_key, column: &case.column };
        let opened = disk::open(&key, slot, &decoded(&case.wrapped));
        assert_eq!(
            opened.as_ref().err().map_or("opens", |error| open_kind(*error)),
            case.expected,
            "{}",
            case.name
        );
        assert_eq!(opened.ok().map(|plain| STANDARD.encode(&*plain)), case.plain, "{}", case.name);
    }
}

fn open_kind(error: OpenError) -> &'static str {
    match error {
        OpenError::WrongNonceLength { .. } => "wrong-nonce-length",
        OpenError::Truncated { .. } => "truncated",
        OpenError::Forged => "forged",
        OpenError::NotUtf8 => "not-utf8",
        other => panic!("{other:?} has no name in the vectors"),
    }
}
