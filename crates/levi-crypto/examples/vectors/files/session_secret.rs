//! `session-secret.json`

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use levi_crypto::SessionSecret;
use rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::{Made, base64, rng};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut rng = rng(2);
    let mut random = [0; 32];
    rng.fill_bytes(&mut random);
    let mut cases = Vec::new();
    for (name, key) in [
        ("random bytes", random),
        ("all zero", [0; 32]),
        ("all ones", [0xFF; 32]),
        ("bytes that need - and _", [0xFB; 32]),
    ] {
        cases.push(Case {
            expected: "parses".to_owned(),
            name: name.to_owned(),
            // Written here without the crate's own encoder.
            text: format!("sess_{}", URL_SAFE_NO_PAD.encode(key)),
            key: Some(base64(key)),
        });
    }
    // Made for this file, from a seed that is published with it.
    let good = SessionSecret::generate(&mut rng).expose().to_owned();
    for (expected, name, text) in malformed(&good) {
        cases.push(Case { expected: expected.to_owned(), name: name.to_owned(), text, key: None });
    }
    Ok(cases)
}

fn malformed(good: &str) -> Vec<(&'static str, &'static str, String)> {
    let encoded = &good[5..];
    let all_but_last = &good[..47];
    vec![
        ("prefix", "nothing", String::new()),
        ("prefix", "no prefix", encoded.to_owned()),
        ("prefix", "prefix in capitals", format!("SESS_{encoded}")),
        ("prefix", "prefix with a hyphen", format!("sess-{encoded}")),
        ("prefix", "a space in front", format!(" {good}")),
        ("padding", "padded", format!("{good}=")),
        ("padding", "padding instead of the last character", format!("{all_but_last}=")),
        ("length", "prefix only", "sess_".to_owned()),
        ("length", "one character short", all_but_last.to_owned()),
        ("length", "one character more", format!("{good}A")),
        ("length", "a line end", format!("{good}\n")),
        ("alphabet", "+ of standard base64", format!("sess_+{}", &encoded[1..])),
        ("alphabet", "/ of standard base64", format!("sess_/{}", &encoded[1..])),
        ("alphabet", "a space inside", format!("sess_{} {}", &encoded[..20], &encoded[21..])),
        ("alphabet", "a NUL inside", format!("sess_{}\0{}", &encoded[..20], &encoded[21..])),
        (
            "alphabet",
            "a letter of two bytes inside",
            format!("sess_{}\u{E4}{}", &encoded[..20], &encoded[22..]),
        ),
        ("trailing-bits", "a last character no encoder writes, lowest bit", format!("{all_but_last}B")),
        ("trailing-bits", "a last character no encoder writes, second bit", format!("{all_but_last}C")),
        ("trailing-bits", "a last character no encoder writes, both bits", format!("{all_but_last}_")),
    ]
}
