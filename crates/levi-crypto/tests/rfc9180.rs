//! RFC 9180's own vectors for our suite, Base and Auth mode, against the HPKE under the envelopes.
//!
//! Levi seals in Auth mode only. Base mode differs from it by one step, so its vectors help to
//! locate a fault.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure that names its line")]

mod replay;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use levi_crypto::envelope::DevicePrivateKey;
use replay::Replay;
use serde::Deserialize;

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

#[derive(Deserialize)]
struct VectorFile {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the RFC's names")]
struct Vector {
    mode: u8,
    info: Hex,
    ikmR: Hex,
    ikmS: Option<Hex>,
    ikmE: Hex,
    skRm: Hex,
    skSm: Option<Hex>,
    skEm: Hex,
    pkRm: Hex,
    pkSm: Option<Hex>,
    pkEm: Hex,
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

#[derive(Deserialize, Debug, PartialEq)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let byte = |i| u8::from_str_radix(&text[i..i + 2], 16);
        (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Hex)
    }
}

impl Vector {
    fn sender_keys(&self) -> Option<(PrivateKey, PublicKey)> {
        let private = PrivateKey::from_bytes(&self.skSm.as_ref()?.0).unwrap();
        Some((private, PublicKey::from_bytes(&self.pkSm.as_ref()?.0).unwrap()))
    }
}

fn vectors() -> Vec<Vector> {
    let file: VectorFile = serde_json::from_str(include_str!("vectors/rfc9180.json")).unwrap();
    assert_eq!(file.vectors.iter().map(|vector| vector.mode).collect::<Vec<_>>(), [0, 2]);
    assert!(file.vectors.iter().all(|vector| vector.encryptions.len() == 257 && vector.exports.len() == 3));
    file.vectors
}

#[test]
fn key_pairs_follow_from_their_key_material() {
    for vector in vectors() {
        let sender =
            vector.ikmS.iter().zip(&vector.skSm).zip(&vector.pkSm).map(|((ikm, sk), pk)| (ikm, sk, pk));
        let fixed = [(&vector.ikmR, &vector.skRm, &vector.pkRm), (&vector.ikmE, &vector.skEm, &vector.pkEm)];
        for (ikm, private, public) in fixed.into_iter().chain(sender) {
            let (derived_private, derived_public) = X25519HkdfSha256::derive_keypair(&ikm.0);
            // The RFC prints private keys unclamped, the crate serialises them clamped: both are
            // the same key.
            assert!(derived_private == PrivateKey::from_bytes(&private.0).unwrap());
            assert_eq!(derived_public.to_bytes().as_slice(), public.0);
            let ours = DevicePrivateKey::from_bytes(private.0.as_slice().try_into().unwrap());
            assert_eq!(ours.public_key().as_bytes().as_slice(), public.0);
        }
    }
}

#[test]
fn every_ciphertext_of_the_rfc_opens_and_every_export_agrees() {
    for vector in vectors() {
        let mode = vector.sender_keys().map_or(OpModeR::Base, |(_, public)| OpModeR::Auth(public));
        let mut context = setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &mode,
            &PrivateKey::from_bytes(&vector.skRm.0).unwrap(),
            &EncappedKey::from_bytes(&vector.enc.0).unwrap(),
            &vector.info.0,
        )
        .unwrap();
        for (i, encryption) in vector.encryptions.iter().enumerate() {
            let plain = context.open(&encryption.ct.0, &encryption.aad.0).unwrap();
            assert_eq!(plain, encryption.pt.0, "mode {} encryption {i}", vector.mode);
        }
        for export in &vector.exports {
            let mut value = vec![0; export.length];
            context.export(&export.exporter_context.0, &mut value).unwrap();
            assert_eq!(value, export.exported_value.0, "mode {}", vector.mode);
        }
    }
}

#[test]
fn sealing_with_the_rfcs_ephemeral_key_gives_the_rfcs_ciphertexts() {
    for vector in vectors() {
        let mode = vector.sender_keys().map_or(OpModeS::Base, OpModeS::Auth);
        let (enc, mut context) = setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &mode,
            &PublicKey::from_bytes(&vector.pkRm.0).unwrap(),
            &vector.info.0,
            &mut Replay(vector.ikmE.0.clone()),
        )
        .unwrap();
        assert_eq!(enc.to_bytes().as_slice(), vector.enc.0);
        for (i, encryption) in vector.encryptions.iter().enumerate() {
            let sealed = context.seal(&encryption.pt.0, &encryption.aad.0).unwrap();
            assert_eq!(sealed, encryption.ct.0, "mode {} encryption {i}", vector.mode);
        }
    }
}
