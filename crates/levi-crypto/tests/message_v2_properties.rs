//! Messages in version 2: they open in their session, position and epoch only, and padding hides the length.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use levi_crypto::message_v2::{
    Epoch, EpochMessageKey, EpochSecret, MessagePosition, NONCE_BYTES, Padding, TAG_BYTES, nonce_from_wire,
    nonce_to_wire, open, seal,
};
use levi_crypto::{OpenError, SessionSecret, message};
use levi_types::SessionId;
use proptest::prelude::*;

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![Just(Padding::None), Just(Padding::Padme)]
}

fn key(
    secret: &SessionSecret,
    session_id: &SessionId,
    epoch: u32,
    epoch_secret: [u8; 32],
) -> EpochMessageKey {
    let epoch = Epoch::new(epoch).unwrap();
    EpochMessageKey::derive(secret, session_id, epoch, &EpochSecret::from_bytes(epoch_secret)).unwrap()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_no_bit_of_it_can_be_changed(
        content: String,
        session: String,
        sequence_number: i64,
        epoch in 1..u32::MAX,
        epoch_secret: [u8; 32],
        padding in padding(),
        at: usize,
        bit in 0..8_u8,
    ) {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let secret = SessionSecret::generate(&mut rng);
        let session_id = SessionId::from(session);
        let key = key(&secret, &session_id, epoch, epoch_secret);
        let position = MessagePosition { session_id: &session_id, sequence_number };
        let sealed = seal(&key, position, &content, padding, &mut rng).unwrap();
        prop_assert_eq!(open(&key, position, &sealed.ciphertext, &sealed.nonce), Ok(content));

        let mut altered = sealed.ciphertext.clone();
        let at = at % altered.len();
        altered[at] ^= 1 << bit;
        prop_assert_eq!(open(&key, position, &altered, &sealed.nonce), Err(OpenError::Forged));
        let mut altered = sealed.nonce;
        altered[at % NONCE_BYTES] ^= 1 << bit;
        prop_assert_eq!(open(&key, position, &sealed.ciphertext, &altered), Err(OpenError::Forged));
    }

    #[test]
    fn a_message_opens_nowhere_else(content: String, sequence_number: i64, epoch in 1..u32::MAX, other: [u8; 32]) {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let secret = SessionSecret::generate(&mut rng);
        let (here, there) = (SessionId::from("here"), SessionId::from("there"));
        let at = |session_id, sequence_number| MessagePosition { session_id, sequence_number };
        let right = key(&secret, &here, epoch, [7; 32]);
        let sealed = seal(&right, at(&here, sequence_number), &content, Padding::Padme, &mut rng).unwrap();
        let wrong_places = [
            (&right, at(&here, sequence_number.wrapping_add(1))),
            (&right, at(&there, sequence_number)),
            (&key(&secret, &there, epoch, [7; 32]), at(&there, sequence_number)),
            (&key(&secret, &here, epoch + 1, [7; 32]), at(&here, sequence_number)),
            (&key(&secret, &here, epoch, other), at(&here, sequence_number)),
            (&key(&SessionSecret::generate(&mut rng), &here, epoch, [7; 32]), at(&here, sequence_number)),
        ];
        for (key, position) in wrong_places {
            prop_assert_eq!(open(key, position, &sealed.ciphertext, &sealed.nonce), Err(OpenError::Forged));
        }
        // Nor as version 1 under the session's key.
        let version_1 = message::open(
            &secret.message_key(), at(&here, sequence_number), &sealed.ciphertext, &sealed.nonce,
        );
        prop_assert_eq!(version_1, Err(OpenError::Forged));
    }

    #[test]
    fn padded_lengths_are_few(length in 0..100_000_usize) {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let session_id = SessionId::from("s");
        let key = key(&SessionSecret::generate(&mut rng), &session_id, 1, [1; 32]);
        let position = MessagePosition { session_id: &session_id, sequence_number: 1 };
        let content = "x".repeat(length);
        let plain = seal(&key, position, &content, Padding::None, &mut rng).unwrap().ciphertext.len();
        prop_assert_eq!(plain, length + 4 + TAG_BYTES);
        let padded = seal(&key, position, &content, Padding::Padme, &mut rng).unwrap().ciphertext.len();
        prop_assert!(padded >= plain && (padded - plain) * 100 <= plain * 12);
        // Only the highest bits of the padded length vary.
        let bits = (padded - TAG_BYTES).ilog2();
        prop_assert_eq!((padded - TAG_BYTES) % (1 << (bits - (bits.max(1).ilog2() + 1).min(bits))), 0);
    }

    #[test]
    fn a_nonce_has_one_text(epoch in 1..=u32::MAX, nonce: [u8; 24], text: String) {
        let epoch = Epoch::new(epoch).unwrap();
        let wire = nonce_to_wire(epoch, &nonce);
        let parsed = nonce_from_wire(&wire).unwrap();
        prop_assert_eq!((parsed.epoch, parsed.nonce), (epoch, nonce));
        if let Ok(parsed) = nonce_from_wire(&format!("v2:{text}")) {
            prop_assert_eq!(nonce_to_wire(parsed.epoch, &parsed.nonce), format!("v2:{text}"));
        }
    }
}
