//! `envelope.json`

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal_with_rng};
use levi_crypto::SessionSecret;
use levi_crypto::envelope::{self, DevicePrivateKey, Envelope, Route};
use levi_types::{DeviceId, SessionId, UserId};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{Made, base64, flipped, rng};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) user_id: String,
    pub(crate) session_id: String,
    pub(crate) sender_device_id: String,
    pub(crate) recipient_device_id: String,
    pub(crate) sender_public_key: String,
    pub(crate) recipient_private_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_secret: Option<String>,
    pub(crate) ephemeral_public_key: String,
    pub(crate) encrypted_secret: String,
}

/// What every case starts from: one sealed envelope, and who takes part.
struct Scene {
    sender: DevicePrivateKey,
    recipient: DevicePrivateKey,
    secret: SessionSecret,
    envelope: Envelope,
    opens: Case,
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut rng = rng(4);
    let uuid = |last| format!("0198a7f2-6d1e-7c3a-9b54-2f6f0c1de{last}");
    let scene = Scene::new("UUIDs", [uuid("0a1"), uuid("001"), uuid("0d1"), uuid("0d2")], &mut rng)?;
    let short = ["u", "s", "a", "b"].map(str::to_owned);
    let letters = ["user-\u{E4}", "\u{1F600}", "Ger\u{E4}t", "\u{301}"].map(str::to_owned);
    let mut cases = vec![
        scene.opens.clone(),
        Scene::new("ids that are no UUIDs", short, &mut rng)?.opens,
        Scene::new("ids whose length in bytes is not that in characters", letters, &mut rng)?.opens,
        to_itself(&mut rng)?,
    ];
    scene.altered(&mut cases);
    scene.on_another_route(&mut cases, &mut rng);
    scene.sealed_otherwise(&mut cases, &mut rng)?;
    scene.malformed(&mut cases);
    Ok(cases)
}

impl Scene {
    fn new(name: &str, ids: [String; 4], rng: &mut impl CryptoRng) -> Made<Self> {
        let (sender, recipient) = (DevicePrivateKey::generate(rng), DevicePrivateKey::generate(rng));
        Self::between(name, ids, sender, recipient, rng)
    }

    fn between(
        name: &str,
        ids: [String; 4],
        sender: DevicePrivateKey,
        recipient: DevicePrivateKey,
        rng: &mut impl CryptoRng,
    ) -> Made<Self> {
        let secret = SessionSecret::generate(rng);
        let [user_id, session_id, sender_device_id, recipient_device_id] = ids;
        let route = Route {
            user_id: &UserId::from(user_id.as_str()),
            session_id: &SessionId::from(session_id.as_str()),
            sender_device_id: &DeviceId::from(sender_device_id.as_str()),
            recipient_device_id: &DeviceId::from(recipient_device_id.as_str()),
        };
        let envelope = envelope::seal(&secret, route, &sender, &recipient.public_key(), rng)?;
        let (ephemeral_public_key, encrypted_secret) = envelope.to_wire();
        let opens = Case {
            expected: "opens".to_owned(),
            name: name.to_owned(),
            user_id,
            session_id,
            sender_device_id,
            recipient_device_id,
            sender_public_key: sender.public_key().to_base64(),
            // Keys and secrets made for this file, from a seed that is published with it.
            recipient_private_key: base64(recipient.expose_bytes()),
            session_secret: Some(secret.expose().to_owned()),
            ephemeral_public_key,
            encrypted_secret,
        };
        Ok(Self { sender, recipient, secret, envelope, opens })
    }

    /// The scene's case with something wrong in it.
    fn failing(&self, expected: &str, name: &str) -> Case {
        Case {
            expected: expected.to_owned(),
            name: name.to_owned(),
            session_secret: None,
            ..self.opens.clone()
        }
    }

    fn altered(&self, cases: &mut Vec<Case>) {
        let (enc, secret) = (&self.envelope.ephemeral_public_key, &self.envelope.encrypted_secret);
        let mut top_bit = *enc;
        top_bit[31] ^= 0x80;
        let mut change_key = |expected, name, enc: &[u8]| {
            cases.push(Case { ephemeral_public_key: base64(enc), ..self.failing(expected, name) });
        };
        change_key("forged", "a changed bit in the ephemeral key", &flipped(enc, 0));
        change_key("forged", "a changed top bit in the ephemeral key, which X25519 itself ignores", &top_bit);
        change_key("low-order", "an ephemeral key of low order", &[0; 32]);
        let last = secret.len() - 1;
        let mut change_secret = |expected, name, secret: &[u8]| {
            cases.push(Case { encrypted_secret: base64(secret), ..self.failing(expected, name) });
        };
        change_secret("forged", "a changed bit in the secret", &flipped(secret, 0));
        change_secret("forged", "a changed bit in the tag", &flipped(secret, last));
        change_secret("forged", "one byte cut off", &secret[..last]);
        change_secret("truncated", "less than a tag", &secret[..15]);
        change_secret("truncated", "no secret", &[]);
    }

    fn on_another_route(&self, cases: &mut Vec<Case>, rng: &mut impl CryptoRng) {
        let other = DevicePrivateKey::generate(rng);
        let forged = |name| self.failing("forged", name);
        let changed = |id: &str| format!("{}f", &id[..id.len() - 1]);
        cases.extend([
            Case { user_id: changed(&self.opens.user_id), ..forged("another user") },
            Case { session_id: changed(&self.opens.session_id), ..forged("another session") },
            Case { sender_device_id: changed(&self.opens.sender_device_id), ..forged("another sender's id") },
            Case {
                recipient_device_id: changed(&self.opens.recipient_device_id),
                ..forged("another recipient's id")
            },
            Case {
                sender_device_id: self.opens.recipient_device_id.clone(),
                recipient_device_id: self.opens.sender_device_id.clone(),
                ..forged("sender's and recipient's ids exchanged")
            },
            Case { sender_public_key: other.public_key().to_base64(), ..forged("another sender's key") },
            Case { recipient_private_key: base64(other.expose_bytes()), ..forged("another recipient's key") },
        ]);
    }

    /// Envelopes that Levi would not make, made with the HPKE crate alone.
    fn sealed_otherwise(&self, cases: &mut Vec<Case>, rng: &mut impl CryptoRng) -> Made<()> {
        let secret = self.secret.expose().as_bytes();
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(self.sender.expose_bytes())?;
        let public = X25519HkdfSha256::sk_to_pk(&private);
        let auth = OpModeS::Auth((private, public));
        let name = "sealed in Base mode, as anybody can who knows the recipient's public key";
        cases.push(self.sealed_by_hpke("forged", name, &OpModeS::Base, &self.info(), secret, rng)?);
        cases.push(self.sealed_by_hpke("forged", "sealed with empty info", &auth, b"", secret, rng)?);
        for (name, plain) in [
            ("authentic, but inside is some other text", &b"hello"[..]),
            ("authentic, but nothing is inside", b""),
            ("authentic, but inside is no text", &[0xFF; 48]),
        ] {
            cases.push(self.sealed_by_hpke("not-a-secret", name, &auth, &self.info(), plain, rng)?);
        }
        Ok(())
    }

    fn sealed_by_hpke(
        &self,
        expected: &str,
        name: &str,
        mode: &OpModeS<'_, X25519HkdfSha256>,
        info: &[u8],
        plain: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Made<Case> {
        let recipient =
            <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(self.recipient.public_key().as_bytes())?;
        let (enc, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            mode, &recipient, info, plain, b"", rng,
        )?;
        Ok(Case {
            ephemeral_public_key: base64(enc.to_bytes()),
            encrypted_secret: base64(sealed),
            ..self.failing(expected, name)
        })
    }

    /// As `docs/protocol.md` writes it, without the crate's own code.
    fn info(&self) -> Vec<u8> {
        let mut info = b"levi/envelope/v1".to_vec();
        let case = &self.opens;
        for id in [&case.user_id, &case.session_id, &case.sender_device_id, &case.recipient_device_id] {
            info.extend_from_slice(&(id.len() as u32).to_be_bytes());
            info.extend_from_slice(id.as_bytes());
        }
        info
    }

    fn malformed(&self, cases: &mut Vec<Case>) {
        let (key, secret) = (&self.opens.ephemeral_public_key, &self.opens.encrypted_secret);
        let mut change_key = |expected, name, key: String| {
            cases.push(Case { ephemeral_public_key: key, ..self.failing(expected, name) });
        };
        change_key("wrong-key-length", "an ephemeral key of 31 bytes", base64([9; 31]));
        change_key("wrong-key-length", "an ephemeral key of 33 bytes", base64([9; 33]));
        change_key("wrong-key-length", "no ephemeral key", String::new());
        change_key("not-base64", "an ephemeral key without padding", key.trim_end_matches('=').to_owned());
        cases.push(Case {
            encrypted_secret: secret.trim_end_matches('=').to_owned(),
            ..self.failing("not-base64", "a secret without padding")
        });
        cases.push(Case {
            encrypted_secret: format!("-_{}", &secret[2..]),
            ..self.failing("not-base64", "a secret in the URL-safe alphabet")
        });
    }
}

/// A device may keep a secret for itself in the same way.
fn to_itself(rng: &mut impl CryptoRng) -> Made<Case> {
    let key = DevicePrivateKey::generate(rng);
    let ids = ["user", "session", "device", "device"].map(str::to_owned);
    Ok(Scene::between("from a device to itself", ids, key.clone(), key, rng)?.opens)
}
