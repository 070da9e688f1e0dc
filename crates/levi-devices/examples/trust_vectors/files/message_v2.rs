//! `message-v2.json`

use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng;
use levi_crypto::message_v2::{
    Epoch, EpochMessageKey, EpochSecret, Form, MessagePosition, NONCE_BYTES, Order, Padding, nonce_to_wire,
    seal,
};
use levi_crypto::{SessionSecret, aead};
use levi_types::SessionId;
use serde::{Deserialize, Serialize};

use super::common::rng;
use super::{Made, base64, flipped};

const SESSION: &str = "0198a7f2-6d1e-7c3a-9b54-2f6f0c1de001";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) session_secret: String,
    /// The secret of the epoch that `content_nonce` names.
    pub(crate) epoch_secret: String,
    pub(crate) session_id: String,
    /// A string, because JSON readers of some languages lose digits beyond 2^53.
    pub(crate) sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    /// `none` or `padme`, where it opens: how sealing the content again gives the same ciphertext.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) padding: Option<String>,
    /// `late` for a message that does not come after all that its writer sealed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<String>,
    pub(crate) content_encrypted: String,
    pub(crate) content_nonce: String,
}

/// What the cases start from.
struct Sealer {
    rng: ChaCha20Rng,
    secret: SessionSecret,
    epoch_secret: EpochSecret,
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut rng = rng(80);
    let (secret, epoch_secret) = (SessionSecret::generate(&mut rng), EpochSecret::generate(&mut rng));
    let mut sealer = Sealer { rng, secret, epoch_secret };
    let mut cases = Vec::new();
    let long = "0123456789".repeat(100);
    for (name, epoch, session, number, padding, content) in [
        ("no padding", 1, SESSION, 1, Padding::None, "Hello, world!"),
        ("a length that Padm\u{E9} leaves as it is", 1, SESSION, 2, Padding::Padme, "Hello, world"),
        ("padded from 17 to 18 bytes", 1, SESSION, 3, Padding::Padme, "Hello, world!"),
        ("empty content", 2, SESSION, 0, Padding::None, ""),
        ("empty content, padded", 2, SESSION, 4, Padding::Padme, ""),
        ("padded from 1004 to 1024 bytes", 3, SESSION, 5, Padding::Padme, long.as_str()),
        ("the last epoch that the format allows", u32::MAX, SESSION, 6, Padding::Padme, "e = 2^32 - 1"),
        ("the last position", 1, SESSION, i64::MAX, Padding::None, "2^63 - 1"),
        ("a negative position", 1, SESSION, -1, Padding::None, "-1"),
        ("zeros at the end of the content stay", 1, SESSION, 7, Padding::Padme, "a\0\0\0"),
        (
            "a session id whose length in bytes is not that in characters",
            1,
            "sitzung-\u{E4}\u{1F600}",
            1,
            Padding::Padme,
            "x",
        ),
    ] {
        cases.push(sealer.opens(name, epoch, session, number, padding, content)?);
    }
    sealer.altered(&mut cases)?;
    sealer.sealed_otherwise(&mut cases)?;
    sealer.malformed(&mut cases)?;
    sealer.late(&mut cases)?;
    Ok(cases)
}

impl Sealer {
    fn opens(
        &mut self,
        name: &str,
        epoch: u32,
        session: &str,
        number: i64,
        padding: Padding,
        content: &str,
    ) -> Made<Case> {
        let session_id = SessionId::from(session);
        let epoch = Epoch::new(epoch).ok_or("an epoch")?;
        let key = EpochMessageKey::derive(&self.secret, &session_id, epoch, &self.epoch_secret)?;
        let position = MessagePosition { session_id: &session_id, sequence_number: number };
        let form = Form { padding, ..Form::default() };
        let sealed = seal(&key, position, content, form, &mut self.rng)?;
        Ok(Case {
            expected: "opens".to_owned(),
            name: name.to_owned(),
            // Secrets made for this file, from a seed that is published with it.
            session_secret: self.secret.expose().to_owned(),
            epoch_secret: base64(self.epoch_secret.expose_bytes()),
            session_id: session.to_owned(),
            sequence_number: number.to_string(),
            content: Some(content.to_owned()),
            padding: Some(if padding == Padding::Padme { "padme" } else { "none" }.to_owned()),
            order: None,
            content_encrypted: base64(sealed.ciphertext),
            content_nonce: nonce_to_wire(epoch, &sealed.nonce),
        })
    }

    /// A case that opens, turned into one that does not.
    fn failing(&mut self, expected: &str, name: &str) -> Made<(Case, Vec<u8>)> {
        use base64::Engine as _;
        let case = self.opens(name, 1, SESSION, 1, Padding::Padme, "Hello, world!")?;
        let ciphertext = base64::engine::general_purpose::STANDARD.decode(&case.content_encrypted)?;
        Ok((Case { expected: expected.to_owned(), content: None, padding: None, ..case }, ciphertext))
    }

    fn altered(&mut self, cases: &mut Vec<Case>) -> Made<()> {
        let (base, ciphertext) = self.failing("forged", "a changed bit in the text")?;
        let last = ciphertext.len() - 1;
        let named = |name: &str| Case { name: name.to_owned(), ..base.clone() };
        cases.push(Case { content_encrypted: base64(flipped(&ciphertext, 0)), ..base.clone() });
        cases.push(Case {
            content_encrypted: base64(flipped(&ciphertext, last)),
            ..named("a changed bit in the tag")
        });
        cases.push(Case { content_encrypted: base64(&ciphertext[..last]), ..named("one byte cut off") });
        cases.push(Case { sequence_number: "2".to_owned(), ..named("moved to another position") });
        cases.push(Case { session_id: "s".to_owned(), ..named("moved to another session") });
        let renamed = base.content_nonce.replacen("v2:1:", "v2:2:", 1);
        cases.push(Case { content_nonce: renamed, ..named("said to be of another epoch") });
        let other = EpochSecret::generate(&mut self.rng);
        cases.push(Case {
            epoch_secret: base64(other.expose_bytes()),
            ..named("another secret of the epoch, as a removed device would have")
        });
        let other = SessionSecret::generate(&mut self.rng);
        cases.push(Case { session_secret: other.expose().to_owned(), ..named("another session's secret") });
        let short = Case { expected: "truncated".to_owned(), ..named("less than a tag") };
        cases.push(Case { content_encrypted: base64(&ciphertext[..15]), ..short });
        Ok(())
    }

    /// Authentic rows that Levi would not make.
    fn sealed_otherwise(&mut self, cases: &mut Vec<Case>) -> Made<()> {
        for (expected, name, plain) in [
            (
                "opens",
                "more zeros than Padm\u{E9} asks for, which a reader accepts",
                &b"\0\0\0\x02hi\0\0\0\0\0\0\0\0\0"[..],
            ),
            ("bad-padding", "nothing inside, not even a length", b""),
            ("bad-padding", "less than a length inside", b"\0\0\0"),
            ("bad-padding", "a length of more than there is", b"\0\0\0\x03hi"),
            ("bad-padding", "a length of 2^32 - 1", b"\xff\xff\xff\xffhi"),
            ("bad-padding", "padding that is not zeros", b"\0\0\0\x02hi\0\0\x01"),
            ("not-utf8", "content that is no UTF-8", b"\0\0\0\x02\xc3\x28"),
        ] {
            let (base, _) = self.failing(expected, name)?;
            let (ciphertext, content_nonce) = self.raw(plain)?;
            let content = (expected == "opens").then(|| "hi".to_owned());
            cases.push(Case { content, content_encrypted: base64(ciphertext), content_nonce, ..base });
        }
        Ok(())
    }

    /// Seals as the documentation writes it, without the crate's own padding.
    fn raw(&mut self, plain: &[u8]) -> Made<(Vec<u8>, String)> {
        let lp = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let one = 1_u32.to_be_bytes();
        let info = [&b"levi/message-key/v2"[..], &lp(SESSION), &one].concat();
        let aad = [&b"levi/message/v2"[..], &lp(SESSION), &1_i64.to_be_bytes(), &one].concat();
        let secret = base64_url(self.secret.expose())?;
        let prk = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, self.epoch_secret.expose_bytes());
        let mut key = [0; 32];
        prk.extract(&secret)
            .expand(&[&info], ring::hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .map_err(|_| "HKDF")?;
        let sealed = aead::seal(&key, &aad, plain, &mut self.rng)?;
        let (nonce, ciphertext) = sealed.split_at(NONCE_BYTES);
        Ok((ciphertext.to_vec(), format!("v2:1:{}", base64(nonce))))
    }

    fn malformed(&mut self, cases: &mut Vec<Case>) -> Made<()> {
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill_bytes(&mut nonce);
        let nonce = base64(nonce);
        for (expected, name, content_nonce) in [
            ("not-version-2", "a nonce of version 1", nonce.clone()),
            ("not-version-2", "no nonce", String::new()),
            ("not-version-2", "a version in upper case", format!("V2:1:{nonce}")),
            ("epoch", "epoch 0", format!("v2:0:{nonce}")),
            ("epoch", "an epoch with a leading zero", format!("v2:01:{nonce}")),
            ("epoch", "an epoch with a sign", format!("v2:+1:{nonce}")),
            ("epoch", "no epoch", format!("v2::{nonce}")),
            ("epoch", "an epoch above 2^32 - 1", format!("v2:4294967296:{nonce}")),
            ("epoch", "no second colon", "v2:1".to_owned()),
            ("not-base64", "a nonce in the URL-safe alphabet", format!("v2:1:-_{}", &nonce[2..])),
            ("not-base64", "a space", format!("v2:1: {nonce}")),
            ("wrong-nonce-length", "a nonce of 23 bytes", format!("v2:1:{}", base64([1; 23]))),
            ("wrong-nonce-length", "a nonce of no bytes", "v2:1:".to_owned()),
        ] {
            let (base, _) = self.failing(expected, name)?;
            cases.push(Case { content_nonce, ..base });
        }
        Ok(())
    }
}

impl Sealer {
    /// Messages whose writer sealed a higher number before.
    fn late(&mut self, cases: &mut Vec<Case>) -> Made<()> {
        for (name, padding, content) in [
            ("an edit, without padding", Padding::None, "Hello, world!"),
            ("an edit, padded", Padding::Padme, "Hello, world!"),
            ("an edit to nothing", Padding::None, ""),
        ] {
            let case = self.opens(name, 2, SESSION, 1, padding, content)?;
            let (session_id, epoch) = (SessionId::from(SESSION), Epoch::new(2).ok_or("an epoch")?);
            let key = EpochMessageKey::derive(&self.secret, &session_id, epoch, &self.epoch_secret)?;
            let position = MessagePosition { session_id: &session_id, sequence_number: 1 };
            let form = Form { padding, order: Order::Late };
            let sealed = seal(&key, position, content, form, &mut self.rng)?;
            cases.push(Case {
                order: Some("late".to_owned()),
                content_encrypted: base64(sealed.ciphertext),
                content_nonce: nonce_to_wire(epoch, &sealed.nonce),
                ..case
            });
        }
        for (name, plain) in [
            ("late, and a length of more than there is", &b"\x80\0\0\x03hi"[..]),
            ("late, and padding that is not zeros", b"\x80\0\0\x02hi\0\x01"),
        ] {
            let (base, _) = self.failing("bad-padding", name)?;
            let (ciphertext, content_nonce) = self.raw(plain)?;
            cases.push(Case { content_encrypted: base64(ciphertext), content_nonce, ..base });
        }
        Ok(())
    }
}

fn base64_url(secret: &str) -> Made<Vec<u8>> {
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&secret["sess_".len()..])?)
}
