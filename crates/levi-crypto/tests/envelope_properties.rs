//! Properties of every envelope: it opens for its route, and no altered envelope opens.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use levi_crypto::SessionSecret;
use levi_crypto::envelope::{self, DevicePrivateKey, DevicePublicKey, Envelope, EnvelopeError, Route};
use levi_types::{DeviceId, SessionId, UserId};
use proptest::prelude::*;

/// One envelope with everything that it depends on; `ids` are user, session, sender, recipient.
struct Case {
    ids: [String; 4],
    sender: DevicePrivateKey,
    recipient: DevicePrivateKey,
    secret: SessionSecret,
    envelope: Envelope,
}

impl Case {
    fn new(ids: [String; 4], seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let (sender, recipient) =
            (DevicePrivateKey::generate(&mut rng), DevicePrivateKey::generate(&mut rng));
        let secret = SessionSecret::generate(&mut rng);
        let envelope = with_route(&ids, |route| {
            envelope::seal(&secret, route, &sender, &recipient.public_key(), &mut rng).unwrap()
        });
        Self { ids, sender, recipient, secret, envelope }
    }

    fn open(&self, envelope: &Envelope) -> Result<SessionSecret, EnvelopeError> {
        self.open_as(envelope, &self.ids, &self.recipient, &self.sender.public_key())
    }

    fn open_as(
        &self,
        envelope: &Envelope,
        ids: &[String; 4],
        recipient: &DevicePrivateKey,
        sender: &DevicePublicKey,
    ) -> Result<SessionSecret, EnvelopeError> {
        with_route(ids, |route| envelope::open(envelope, route, recipient, sender))
    }
}

fn with_route<T>(ids: &[String; 4], run: impl FnOnce(Route<'_>) -> T) -> T {
    let [user, session, sender, recipient] = ids.each_ref().map(String::as_str);
    run(Route {
        user_id: &UserId::from(user),
        session_id: &SessionId::from(session),
        sender_device_id: &DeviceId::from(sender),
        recipient_device_id: &DeviceId::from(recipient),
    })
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

fn ids() -> impl Strategy<Value = [String; 4]> {
    ["[ -~]{1,8}", "[ -~]{1,8}", "[ -~]{1,8}", "[ -~]{1,8}"]
}

proptest! {
    // Every case opens about a thousand altered envelopes at a tenth of a millisecond each.
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn no_single_changed_bit_goes_unnoticed(ids in ids(), seed in any::<[u8; 32]>()) {
        let case = Case::new(ids, seed);
        prop_assert_eq!(&case.open(&case.envelope).unwrap(), &case.secret);

        // All 256 bits of enc, the top one included, which X25519 itself ignores.
        for bit in 0..256 {
            let enc = flip(&case.envelope.ephemeral_public_key, bit).try_into().unwrap();
            let altered = Envelope { ephemeral_public_key: enc, ..case.envelope.clone() };
            prop_assert_eq!(case.open(&altered), Err(EnvelopeError::Forged), "enc, bit {}", bit);
        }
        for bit in 0..case.envelope.encrypted_secret.len() * 8 {
            let encrypted_secret = flip(&case.envelope.encrypted_secret, bit);
            let altered = Envelope { encrypted_secret, ..case.envelope.clone() };
            prop_assert_eq!(case.open(&altered), Err(EnvelopeError::Forged), "secret, bit {}", bit);
        }
        for which in 0..4 {
            // Seven bits, so that an ASCII id stays valid UTF-8.
            for bit in (0..case.ids[which].len() * 8).filter(|bit| bit % 8 != 7) {
                let mut ids = case.ids.clone();
                ids[which] = String::from_utf8(flip(ids[which].as_bytes(), bit)).unwrap();
                let opened = case.open_as(&case.envelope, &ids, &case.recipient, &case.sender.public_key());
                prop_assert_eq!(opened, Err(EnvelopeError::Forged), "id {}, bit {}", which, bit);
            }
        }
        for bit in 0..256 {
            let public = flip(case.sender.public_key().as_bytes(), bit);
            let other = DevicePublicKey::from_bytes(&public).unwrap();
            let opened = case.open_as(&case.envelope, &case.ids, &case.recipient, &other);
            prop_assert_eq!(opened, Err(EnvelopeError::Forged), "sender's key, bit {}", bit);
        }
    }

    #[test]
    fn no_truncation_goes_unnoticed(ids in ids(), seed in any::<[u8; 32]>()) {
        let case = Case::new(ids, seed);
        for bytes in 0..case.envelope.encrypted_secret.len() {
            let encrypted_secret = case.envelope.encrypted_secret[..bytes].to_vec();
            let altered = Envelope { encrypted_secret, ..case.envelope.clone() };
            let expected =
                if bytes < 16 { EnvelopeError::Truncated { bytes } } else { EnvelopeError::Forged };
            prop_assert_eq!(case.open(&altered), Err(expected));
        }
        let (key, secret) = case.envelope.to_wire();
        for length in 0..key.len() {
            prop_assert!(Envelope::from_wire(&key[..length], &secret).is_err(), "{} characters of the key", length);
        }
        for length in 0..secret.len() {
            let opened = Envelope::from_wire(&key, &secret[..length]).and_then(|cut| case.open(&cut));
            prop_assert!(opened.is_err(), "{} characters of the secret", length);
        }
    }
}

proptest! {
    #[test]
    fn an_envelope_opens_after_the_wire_and_only_for_its_recipient(ids in ids(), seed in any::<[u8; 32]>()) {
        let case = Case::new(ids, seed);
        let (key, secret) = case.envelope.to_wire();
        let received = Envelope::from_wire(&key, &secret).unwrap();
        prop_assert_eq!(case.open(&received).unwrap(), case.secret.clone());

        // The sender cannot open its own envelope, and it does not open as one from the recipient.
        let swapped = case.open_as(&received, &case.ids, &case.sender, &case.recipient.public_key());
        prop_assert_eq!(swapped, Err(EnvelopeError::Forged));
    }
}

fn fixed_case() -> Case {
    Case::new(["user", "session", "laptop", "phone"].map(str::to_owned), [4; 32])
}

#[test]
fn every_envelope_has_its_own_ephemeral_key() {
    let case = fixed_case();
    let mut rng = ChaCha20Rng::from_seed([6; 32]);
    let mut seal = || {
        with_route(&case.ids, |route| {
            envelope::seal(&case.secret, route, &case.sender, &case.recipient.public_key(), &mut rng).unwrap()
        })
    };
    let (first, second) = (seal(), seal());
    assert_ne!(first.ephemeral_public_key, second.ephemeral_public_key);
    assert_ne!(first.encrypted_secret, second.encrypted_secret);
}

/// Nobody but the sender, and only with the secret, makes the envelope that the sender makes.
#[test]
fn the_sender_makes_the_same_envelope_again_and_nobody_else_does() {
    let case = fixed_case();
    let seal =
        |ids: &[String; 4], secret: &SessionSecret, sender: &DevicePrivateKey, to: &DevicePublicKey| {
            with_route(ids, |route| envelope::seal_reproducibly(secret, route, sender, to).unwrap())
        };
    let to = case.recipient.public_key();
    let first = seal(&case.ids, &case.secret, &case.sender, &to);
    assert_eq!(first, seal(&case.ids, &case.secret, &case.sender, &to));
    assert_eq!(case.open(&first).unwrap(), case.secret);
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let (other, secret) = (DevicePrivateKey::generate(&mut rng), SessionSecret::generate(&mut rng));
    let mut others = vec![
        seal(&case.ids, &secret, &case.sender, &to),
        seal(&case.ids, &case.secret, &other, &to),
        seal(&case.ids, &case.secret, &case.sender, &other.public_key()),
    ];
    for which in 0..4 {
        let mut ids = case.ids.clone();
        ids[which].push('2');
        others.push(seal(&ids, &case.secret, &case.sender, &to));
    }
    for other in others {
        assert_ne!(other.ephemeral_public_key, first.ephemeral_public_key);
    }
}

#[test]
fn a_low_order_ephemeral_key_is_refused_as_such() {
    let case = fixed_case();
    let altered = Envelope { ephemeral_public_key: [0; 32], ..case.envelope.clone() };
    assert_eq!(case.open(&altered), Err(EnvelopeError::LowOrder));
}

/// The HPKE crate documents a panic for such lengths.
#[test]
fn ids_of_extreme_length_are_an_error_and_not_a_panic() {
    let case = fixed_case();
    let mut ids = case.ids.clone();
    ids[1] = "s".repeat(70_000);
    let sealed = with_route(&ids, |route| {
        let mut rng = ChaCha20Rng::from_seed([6; 32]);
        envelope::seal(&case.secret, route, &case.sender, &case.recipient.public_key(), &mut rng)
    });
    assert_eq!(sealed, Err(EnvelopeError::TooLong));
    let opened = case.open_as(&case.envelope, &ids, &case.recipient, &case.sender.public_key());
    assert_eq!(opened, Err(EnvelopeError::Forged));
}
