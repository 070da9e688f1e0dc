//! Device keys from a server that is not trusted.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_crypto::envelope::{DeviceKeyError, DevicePrivateKey, DevicePublicKey};

/// All points of low order in all their encodings: the seven canonical and non-canonical
/// u-coordinates below 2^255 (<https://cr.yp.to/ecdh.html#validate>), each with the top bit, which
/// X25519 ignores, clear and set.
fn low_order_points() -> impl Iterator<Item = [u8; 32]> {
    let order_eight = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ]
    .map(|hex| std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()));
    let small = [0, 1].map(|u| std::array::from_fn(|i| if i == 0 { u } else { 0 }));
    // p - 1, p and p + 1 for p = 2^255 - 19.
    let around_p = [0xec, 0xed, 0xee].map(|low| {
        std::array::from_fn(|i| match i {
            0 => low,
            31 => 0x7f,
            _ => 0xff,
        })
    });
    let points: Vec<[u8; 32]> = [&order_eight[..], &small[..], &around_p[..]].concat();
    points.into_iter().flat_map(|point| {
        let mut with_top_bit = point;
        with_top_bit[31] |= 0x80;
        [point, with_top_bit]
    })
}

#[test]
fn every_low_order_point_is_refused_in_every_encoding() {
    assert_eq!(low_order_points().count(), 14);
    for point in low_order_points() {
        assert_eq!(DevicePublicKey::from_bytes(&point), Err(DeviceKeyError::LowOrder), "{point:02x?}");
        assert_eq!(DevicePublicKey::from_base64(&STANDARD.encode(point)), Err(DeviceKeyError::LowOrder));
    }
}

#[test]
fn malformed_public_keys_are_refused_with_their_own_error() {
    let good = DevicePrivateKey::from_bytes([9; 32]).public_key();
    assert_eq!(DevicePublicKey::from_base64(&good.to_base64()), Ok(good));
    for bytes in [0, 1, 31, 33, 64] {
        let expected = Err(DeviceKeyError::WrongLength { bytes });
        assert_eq!(DevicePublicKey::from_bytes(&vec![9; bytes]), expected);
        assert_eq!(DevicePublicKey::from_base64(&STANDARD.encode(vec![9; bytes])), expected);
    }
    let text = good.to_base64();
    for text in [&text[..43], &format!("{text}\n"), &format!(" {text}"), &text.replace('=', "A=="), "-_"] {
        assert_eq!(DevicePublicKey::from_base64(text), Err(DeviceKeyError::NotBase64), "{text:?}");
    }
}

#[test]
fn private_keys_show_nothing_and_keep_their_bytes() {
    let key = DevicePrivateKey::from_bytes([0xff; 32]);
    assert_eq!(format!("{key:?}"), "DevicePrivateKey(..)");
    assert_eq!(key.expose_bytes(), &[0xff; 32]);
    assert_eq!(DevicePrivateKey::from_base64(key.expose_base64().expose()), Ok(key));
}
