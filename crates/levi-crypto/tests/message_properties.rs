//! Properties of every message: it opens at its position, and no altered message opens.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use levi_crypto::message::{self, MessagePosition, NONCE_BYTES, SealedMessage, TAG_BYTES};
use levi_crypto::{MessageKey, OpenError};
use levi_types::SessionId;
use proptest::prelude::*;

/// One message with everything that it depends on.
#[derive(Debug)]
struct Case {
    key: [u8; 32],
    session: String,
    sequence_number: i64,
    content: String,
    seed: [u8; 32],
}

fn case(content: &'static str) -> impl Strategy<Value = Case> {
    (any::<[u8; 32]>(), "[ -~]{1,40}", any::<i64>(), content, any::<[u8; 32]>()).prop_map(
        |(key, session, sequence_number, content, seed)| Case {
            key,
            session,
            sequence_number,
            content,
            seed,
        },
    )
}

impl Case {
    fn sealed(&self) -> SealedMessage {
        let session_id = SessionId::from(self.session.as_str());
        let position = MessagePosition { session_id: &session_id, sequence_number: self.sequence_number };
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        message::seal(&MessageKey::from_bytes(self.key), position, &self.content, &mut rng).unwrap()
    }

    fn open(&self, ciphertext: &[u8], nonce: &[u8]) -> Result<String, OpenError> {
        let session_id = SessionId::from(self.session.as_str());
        let position = MessagePosition { session_id: &session_id, sequence_number: self.sequence_number };
        message::open(&MessageKey::from_bytes(self.key), position, ciphertext, nonce)
    }
}

/// Every copy of `bytes` with one of `bits` flipped in one byte.
fn flips(bytes: &[u8], bits: std::ops::Range<u8>) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).flat_map(move |at| {
        bits.clone().map(move |bit| {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            flipped
        })
    })
}

proptest! {
    #[test]
    fn a_message_opens_to_its_content_in_its_place(case in case("(?s).{0,200}")) {
        let sealed = case.sealed();
        prop_assert_eq!(sealed.ciphertext.len(), case.content.len() + TAG_BYTES);
        prop_assert_eq!(case.open(&sealed.ciphertext, &sealed.nonce).unwrap(), case.content);
    }

    #[test]
    fn sealing_in_place_is_sealing(case in case("(?s).{0,200}")) {
        let sealed = case.sealed();
        let session_id = SessionId::from(case.session.as_str());
        let position = MessagePosition { session_id: &session_id, sequence_number: case.sequence_number };
        let mut buffer = case.content.into_bytes();
        message::seal_in_place(&MessageKey::from_bytes(case.key), position, sealed.nonce, &mut buffer).unwrap();
        prop_assert_eq!(buffer, sealed.ciphertext);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_single_changed_bit_goes_unnoticed(case in case("(?s).{0,24}")) {
        let sealed = case.sealed();
        for ciphertext in flips(&sealed.ciphertext, 0..8) {
            prop_assert_eq!(case.open(&ciphertext, &sealed.nonce), Err(OpenError::Forged));
        }
        for nonce in flips(&sealed.nonce, 0..8) {
            prop_assert_eq!(case.open(&sealed.ciphertext, &nonce), Err(OpenError::Forged));
        }
        for key in flips(&case.key, 0..8) {
            let other = Case { key: key.try_into().unwrap(), ..copy(&case) };
            prop_assert_eq!(other.open(&sealed.ciphertext, &sealed.nonce), Err(OpenError::Forged));
        }
        // Seven bits, so that an ASCII id stays valid UTF-8.
        for session in flips(case.session.as_bytes(), 0..7) {
            let other = Case { session: String::from_utf8(session).unwrap(), ..copy(&case) };
            prop_assert_eq!(other.open(&sealed.ciphertext, &sealed.nonce), Err(OpenError::Forged));
        }
        for bit in 0..64 {
            let other = Case { sequence_number: case.sequence_number ^ (1 << bit), ..copy(&case) };
            prop_assert_eq!(other.open(&sealed.ciphertext, &sealed.nonce), Err(OpenError::Forged));
        }
    }

    #[test]
    fn no_truncation_goes_unnoticed(case in case("(?s).{0,40}")) {
        let sealed = case.sealed();
        for bytes in 0..sealed.ciphertext.len() {
            let expected = if bytes < TAG_BYTES { OpenError::Truncated { bytes } } else { OpenError::Forged };
            prop_assert_eq!(case.open(&sealed.ciphertext[..bytes], &sealed.nonce), Err(expected));
        }
        for bytes in (0..NONCE_BYTES).chain([NONCE_BYTES + 1]) {
            let nonce = sealed.nonce.iter().copied().cycle().take(bytes).collect::<Vec<_>>();
            prop_assert_eq!(case.open(&sealed.ciphertext, &nonce), Err(OpenError::WrongNonceLength { bytes }));
        }
        let shortened = Case { session: case.session[1..].to_owned(), ..copy(&case) };
        prop_assert_eq!(shortened.open(&sealed.ciphertext, &sealed.nonce), Err(OpenError::Forged));
    }
}

fn copy(case: &Case) -> Case {
    Case { session: case.session.clone(), content: String::new(), ..*case }
}

#[test]
fn authentic_bytes_that_are_not_text_have_another_error_than_forged_ones() {
    let (key, session_id) = (MessageKey::from_bytes([7; 32]), SessionId::from("s"));
    let position = MessagePosition { session_id: &session_id, sequence_number: 1 };
    let mut buffer = vec![b'a', 0xff];
    message::seal_in_place(&key, position, [9; NONCE_BYTES], &mut buffer).unwrap();
    assert_eq!(message::open(&key, position, &buffer, &[9; NONCE_BYTES]), Err(OpenError::NotUtf8));
}

#[test]
fn a_mebibyte_with_every_kind_of_character_survives() {
    let content = "\0\u{1F600}e\u{301}\n".repeat(1 << 17);
    let (key, session_id) = (MessageKey::from_bytes([7; 32]), SessionId::from("s"));
    let position = MessagePosition { session_id: &session_id, sequence_number: i64::MAX };
    let sealed = message::seal(&key, position, &content, &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
    assert!(message::open(&key, position, &sealed.ciphertext, &sealed.nonce).unwrap() == content);
}
