use std::str;

use levi_crypto::SessionSecret;
use levi_crypto::envelope::{self, DevicePrivateKey, DevicePublicKey, Envelope, Route};
use levi_types::{DeviceId, SessionId, UserId};

use crate::take_line;

/// The route and the keys of the first vector in `docs/vectors/envelope.json`, and its envelope.
const SENDER: &str = "MlQg/ME8w6D4TWc8hfWcbCdkr6SeJWBowEAl+xhV7xc=";
const RECIPIENT: &str = "B5bLKFcRAv8G6irSaTOhfoIlhYoIUnDXIdAoQyuCToQ=";
const ENVELOPE: (&str, &str) = (
    "ROHfBGZ3bauf8KF/a1lw6d+nZX5zRelNzWQyUtEmuxA=",
    "PABO5wtauxGCyFjTQXdzy5lvoxCHGctF1/q/C+dokVjmaS3dIplxkM2QyGHqSP/c8nOa9OnQLbrdbLj9kHFR5A==",
);

/// A key as text, read as a public and as a private key. What is accepted has one spelling.
pub(crate) fn device_keys(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(key) = DevicePublicKey::from_base64(text) {
        assert_eq!(key.to_base64(), text);
        assert_eq!(DevicePublicKey::from_bytes(key.as_bytes()), Ok(key));
    }
    if let Ok(key) = DevicePrivateKey::from_base64(text) {
        assert_eq!(key.expose_base64().expose(), text);
        assert!(!format!("{key:?}").contains(text), "the debug text contains the key");
    }
    if let Ok(secret) = SessionSecret::parse(text) {
        assert_eq!(secret.expose(), text);
        assert!(!format!("{secret:?}").contains(text), "the debug text contains the secret");
    }
}

/// The two columns of an envelope on a line each. Only what the sender sealed can be opened.
pub(crate) fn envelopes(mut input: &[u8]) {
    let [key, secret] = [0, 1].map(|_| str::from_utf8(take_line(&mut input)));
    let (Ok(key), Ok(secret)) = (key, secret) else { return };
    let Ok(envelope) = Envelope::from_wire(key, secret) else { return };
    assert_eq!(envelope.to_wire(), (key.to_owned(), secret.to_owned()), "a second spelling is accepted");
    let sender = DevicePublicKey::from_base64(SENDER);
    let recipient = DevicePrivateKey::from_base64(RECIPIENT);
    let (Ok(sender), Ok(recipient)) = (sender, recipient) else { unreachable!("the vector's keys") };
    let (user_id, session_id) = (
        UserId::from("0198a7f2-6d1e-7c3a-9b54-2f6f0c1de0a1"),
        SessionId::from("0198a7f2-6d1e-7c3a-9b54-2f6f0c1de001"),
    );
    let (sender_device_id, recipient_device_id) = (
        DeviceId::from("0198a7f2-6d1e-7c3a-9b54-2f6f0c1de0d1"),
        DeviceId::from("0198a7f2-6d1e-7c3a-9b54-2f6f0c1de0d2"),
    );
    let route = Route {
        user_id: &user_id,
        session_id: &session_id,
        sender_device_id: &sender_device_id,
        recipient_device_id: &recipient_device_id,
    };
    let opened = envelope::open(&envelope, route, &recipient, &sender);
    assert_eq!(opened.is_ok(), (key, secret) == ENVELOPE, "a forged envelope opens, or a good one does not");
}
