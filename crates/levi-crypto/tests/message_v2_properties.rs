//! Messages in version 2: they open in their session, position and epoch only, and padding hides
//! the length.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use levi_crypto::message_v2::{
    Epoch, EpochMessageKey, EpochSecret, Form, MessagePosition, NONCE_BYTES, Order, Padding, TAG_BYTES,
    nonce_from_wire, nonce_to_wire, open, seal, seal_as,
};
use levi_crypto::{Author, OpenError, SessionSecret, message, same_message};
use levi_types::SessionId;
use proptest::prelude::*;

fn form() -> impl Strategy<Value = Form> {
    let padding = prop_oneof![Just(Padding::None), Just(Padding::Padme)];
    let order = prop_oneof![Just(Order::Rising), Just(Order::Late)];
    (padding, order).prop_map(|(padding, order)| Form { padding, order })
}

const PADDED: Form = Form { padding: Padding::Padme, order: Order::Rising };

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
        form in form(),
        at: usize,
        bit in 0..8_u8,
    ) {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let secret = SessionSecret::generate(&mut rng);
        let session_id = SessionId::from(session);
        let key = key(&secret, &session_id, epoch, epoch_secret);
        let position = MessagePosition { session_id: &session_id, sequence_number };
        let sealed = seal(&key, position, &content, form, &mut rng).unwrap();
        let opened = open(&key, position, &sealed.ciphertext, &sealed.nonce).unwrap();
        prop_assert_eq!((opened.content, opened.order), (content, form.order));

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
        let sealed = seal(&right, at(&here, sequence_number), &content, PADDED, &mut rng).unwrap();
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
    fn one_message_is_known_by_its_nonce_in_every_epoch(content: String, edit: String, form in form()) {
        let secret = SessionSecret::generate(&mut ChaCha20Rng::from_seed([9; 32]));
        let (session_key, session_id) = (secret.message_key(), SessionId::from("s"));
        let position = MessagePosition { session_id: &session_id, sequence_number: 1 };
        let author = Author { writer: &[1; 16], message_id: "m" };
        let nonce = |epoch, content: &str, form| {
            let key = key(&secret, &session_id, epoch, [7; 32]);
            seal_as(&key, &session_key, position, content, form, author).unwrap().nonce
        };
        let first = nonce(1, &content, form);
        prop_assert_eq!(nonce(2, &content, form), first);
        let edited = nonce(2, &edit, form);
        prop_assert!(same_message(&first, &edited) && (edited == first) == (content == edit));
        // Another plaintext under the same key needs another nonce.
        let other = if form.order == Order::Late { Order::Rising } else { Order::Late };
        prop_assert_ne!(nonce(1, &content, Form { order: other, ..form }), first);
    }

    #[test]
    fn padded_lengths_are_few(length in 0..100_000_usize) {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let session_id = SessionId::from("s");
        let key = key(&SessionSecret::generate(&mut rng), &session_id, 1, [1; 32]);
        let position = MessagePosition { session_id: &session_id, sequence_number: 1 };
        let content = "x".repeat(length);
        let plain = seal(&key, position, &content, Form::default(), &mut rng).unwrap().ciphertext.len();
        prop_assert_eq!(plain, length + 4 + TAG_BYTES);
        let padded = seal(&key, position, &content, PADDED, &mut rng).unwrap().ciphertext.len();
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
