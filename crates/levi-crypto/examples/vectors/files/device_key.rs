//! `device-key.json`

use levi_crypto::envelope::DevicePrivateKey;
use serde::{Deserialize, Serialize};

use super::{Made, base64, rng};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_key: Option<String>,
    pub(crate) public_key: String,
}

/// The points of low order (<https://cr.yp.to/ecdh.html#validate>), in hexadecimal.
const LOW_ORDER: [(&str, &str); 7] = [
    ("zero", "0000000000000000000000000000000000000000000000000000000000000000"),
    ("one", "0100000000000000000000000000000000000000000000000000000000000000"),
    ("a point of order 8", "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    ("another point of order 8", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ("p - 1", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("p, which is zero again", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("p + 1, which is one again", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut cases = Vec::new();
    // The second key's fixed bits are not those that X25519 works with.
    for (name, key) in [
        ("random", DevicePrivateKey::generate(&mut rng(3))),
        ("unclamped", DevicePrivateKey::from_bytes([0xFF; 32])),
    ] {
        cases.push(Case {
            private_key: Some(base64(key.expose_bytes())),
            ..case("accepted", name, key.public_key().to_base64())
        });
    }
    let mut with_top_bit = *DevicePrivateKey::from_bytes([0xFF; 32]).public_key().as_bytes();
    with_top_bit[31] |= 0x80;
    cases.push(case("accepted", "the top bit set, which X25519 ignores", base64(with_top_bit)));
    for (name, point) in LOW_ORDER {
        let mut point = hexadecimal(point)?;
        cases.push(case("low-order", name, base64(&point)));
        point[31] |= 0x80;
        cases.push(case("low-order", &format!("{name}, with the top bit set"), base64(&point)));
    }
    for length in [0, 31, 33] {
        cases.push(case("wrong-length", &format!("{length} bytes"), base64(vec![9; length])));
    }
    let text = base64([0xFB; 32]);
    cases.push(case("not-base64", "no padding", text.trim_end_matches('=').to_owned()));
    cases.push(case("not-base64", "URL-safe alphabet", text.replace('+', "-").replace('/', "_")));
    cases.push(case("not-base64", "a line end", format!("{text}\n")));
    cases.push(case("not-base64", "stray bits at the end", format!("{}B=", "A".repeat(42))));
    Ok(cases)
}

fn case(expected: &str, name: &str, public_key: String) -> Case {
    Case { expected: expected.to_owned(), name: name.to_owned(), private_key: None, public_key }
}

fn hexadecimal(text: &str) -> Made<Vec<u8>> {
    (0..text.len()).step_by(2).map(|i| Ok(u8::from_str_radix(&text[i..i + 2], 16)?)).collect()
}
