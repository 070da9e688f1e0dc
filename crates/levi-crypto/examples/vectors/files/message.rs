//! `message.json`

use levi_crypto::SessionSecret;
use levi_crypto::message::{self, MessagePosition, NONCE_BYTES, SealedMessage};
use levi_types::SessionId;
use serde::{Deserialize, Serialize};

use super::{Made, base64, flipped, rng};

const SESSION: &str = "0198a7f2-6d1e-7c3a-9b54-2f6f0c1de001";
const OTHER_SESSION: &str = "0198a7f2-6d1e-7c3a-9b54-2f6f0c1de002";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) session_secret: String,
    pub(crate) session_id: String,
    /// A string, because JSON readers of some languages lose digits beyond 2^53.
    pub(crate) sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    pub(crate) content_encrypted: String,
    pub(crate) content_nonce: String,
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut rng = rng(1);
    let secret = SessionSecret::generate(&mut rng);
    let mut cases = Vec::new();
    for (name, session, number, content) in contents() {
        let sealed = seal(&secret, &session, number, &content, &mut rng)?;
        cases.push(Case {
            expected: "opens".to_owned(),
            content: Some(content),
            ..case(name, &secret, &session, number, &sealed.ciphertext, &sealed.nonce)
        });
    }
    let other_secret = SessionSecret::generate(&mut rng);
    failures(&secret, &other_secret, &mut rng, &mut cases)?;
    Ok(cases)
}

fn contents() -> Vec<(&'static str, String, i64, String)> {
    let mut contents = Vec::new();
    let mut add = |name, session: &str, number, content: &str| {
        contents.push((name, session.to_owned(), number, content.to_owned()));
    };
    add("plain text", SESSION, 1, "Hello, world!");
    add("empty content, position zero", SESSION, 0, "");
    add(
        "emoji, a joined family, a combining accent",
        SESSION,
        2,
        "\u{1F600} \u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467} e\u{301}",
    );
    add("NUL inside and at both ends", SESSION, 3, "\0a\0b\0");
    add(
        "quotes, backslash, line ends, byte order mark, direction mark",
        SESSION,
        4,
        "\u{FEFF}\"\\\r\n\t\u{202E}\u{2028}",
    );
    add(
        "first and last code points of each UTF-8 length",
        SESSION,
        5,
        "\u{1}\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}",
    );
    add("63 bytes, one less than a cipher block", SESSION, 6, &"x".repeat(63));
    add("64 bytes, one cipher block", SESSION, 7, &"x".repeat(64));
    add("65 bytes, one more than a cipher block", SESSION, 8, &"x".repeat(65));
    add("1000 bytes", SESSION, 9, &"0123456789".repeat(100));
    add("a position that a double cannot hold", SESSION, 9_007_199_254_740_993, "2^53 + 1");
    add("the last position", SESSION, i64::MAX, "2^63 - 1");
    add("a negative position, which the format allows though Levi sends none", SESSION, -1, "-1");
    add("a session id that is no UUID", "s", 1, "short id");
    add(
        "a session id whose length in bytes is not that in characters",
        "sitzung-\u{E4}\u{1F600}",
        1,
        "14 bytes of id, 10 characters",
    );
    add("the longest session id", &"i".repeat(256), 1, "256 bytes of id");
    contents
}

fn failures(
    secret: &SessionSecret,
    other_secret: &SessionSecret,
    rng: &mut impl rand_core::CryptoRng,
    cases: &mut Vec<Case>,
) -> Made<()> {
    let SealedMessage { ciphertext, nonce } = seal(secret, SESSION, 1, "Hello, world!", rng)?;
    let here = |name, ciphertext: &[u8], nonce: &[u8]| case(name, secret, SESSION, 1, ciphertext, nonce);
    let last = ciphertext.len() - 1;
    let mut other_nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut other_nonce);

    cases.extend([
        here("a changed bit in the text", &flipped(&ciphertext, 0), &nonce),
        here("a changed bit in the tag", &flipped(&ciphertext, last), &nonce),
        here("a changed bit in the first half of the nonce", &ciphertext, &flipped(&nonce, 0)),
        here("a changed bit in the second half of the nonce", &ciphertext, &flipped(&nonce, 23)),
        here("another message's nonce", &ciphertext, &other_nonce),
        here("one byte cut off", &ciphertext[..last], &nonce),
        here("the tag alone", &ciphertext[last - 15..], &nonce),
        here("a byte appended", &[&ciphertext[..], &[0]].concat(), &nonce),
        case("moved to another session", secret, OTHER_SESSION, 1, &ciphertext, &nonce),
        case("moved to another position", secret, SESSION, 2, &ciphertext, &nonce),
        case("another session's secret", other_secret, SESSION, 1, &ciphertext, &nonce),
    ]);
    cases.extend([
        Case { expected: "truncated".to_owned(), ..here("less than a tag", &ciphertext[..15], &nonce) },
        Case { expected: "truncated".to_owned(), ..here("no ciphertext", &[], &nonce) },
    ]);
    for (name, length) in [
        ("no nonce", 0),
        ("a nonce for ChaCha20-Poly1305", 12),
        ("a nonce cut short", 23),
        ("a nonce too long", 25),
    ] {
        let nonce: Vec<u8> = nonce.iter().copied().cycle().take(length).collect();
        cases.push(Case { expected: "wrong-nonce-length".to_owned(), ..here(name, &ciphertext, &nonce) });
    }
    let mut no_text = vec![b'a', 0xC3, 0x28];
    let session_id = SessionId::from(SESSION);
    let place = MessagePosition { session_id: &session_id, sequence_number: 1 };
    message::seal_in_place(&secret.message_key(), place, other_nonce, &mut no_text)?;
    cases.push(Case {
        expected: "not-utf8".to_owned(),
        ..here("authentic, but the content is no UTF-8", &no_text, &other_nonce)
    });
    Ok(())
}

fn seal(
    secret: &SessionSecret,
    session: &str,
    sequence_number: i64,
    content: &str,
    rng: &mut impl rand_core::CryptoRng,
) -> Made<SealedMessage> {
    let session_id = SessionId::from(session);
    let place = MessagePosition { session_id: &session_id, sequence_number };
    Ok(message::seal(&secret.message_key(), place, content, rng)?)
}

fn case(
    name: &str,
    secret: &SessionSecret,
    session: &str,
    sequence_number: i64,
    ciphertext: &[u8],
    nonce: &[u8],
) -> Case {
    Case {
        expected: "forged".to_owned(),
        name: name.to_owned(),
        // A secret made for this file, from a seed that is published with it.
        session_secret: secret.expose().to_owned(),
        session_id: session.to_owned(),
        sequence_number: sequence_number.to_string(),
        content: None,
        content_encrypted: base64(ciphertext),
        content_nonce: base64(nonce),
    }
}
