//! Uuids: derived from what they name, so that a second run writes the same rows; derived under a
//! key, where they name what nobody may guess; random; and as the server writes them.

use levi::DatabaseKey;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};

/// Keeps these ids apart from those of other programs that derive uuids from the same parts.
const NAMESPACE: &[u8] = b"levi-cli/ids/v1";

/// A uuid derived from `kind` and `parts`: version 8 (RFC 9562) over SHA-256. A reader can try
/// out parts, so none of them may be a secret.
pub(crate) fn stable_uuid(kind: &str, parts: &[&str]) -> String {
    uuid_text(digest(&SHA256, &encoded(kind, parts)).as_ref())
}

/// Derives uuids that tell nothing about their parts, the same on one device in every run.
pub(crate) struct IdKey(Key);

impl IdKey {
    /// The key that belongs to a device's database key.
    pub(crate) fn of(database_key: &DatabaseKey) -> Self {
        // Exposed to derive a key of its own for this use.
        let key = Key::new(HMAC_SHA256, database_key.expose_bytes());
        Self(Key::new(HMAC_SHA256, sign(&key, b"levi-cli/id-key/v1").as_ref()))
    }

    /// A uuid derived from `kind` and `parts`: version 8 over HMAC-SHA256.
    pub(crate) fn stable_uuid(&self, kind: &str, parts: &[&str]) -> String {
        uuid_text(sign(&self.0, &encoded(kind, parts)).as_ref())
    }
}

fn encoded(kind: &str, parts: &[&str]) -> Vec<u8> {
    let mut name = Vec::with_capacity(128);
    for part in std::iter::once(&kind).chain(parts) {
        // Each part is preceded by its length, so that different lists never give the same bytes.
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    name.extend_from_slice(NAMESPACE);
    name
}

fn uuid_text(hash: &[u8]) -> String {
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(hash) {
        *byte = *from;
    }
    uuid_of(bytes, 8)
}

fn uuid_of(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digit = |four_bits: u8| char::from_digit(four_bits.into(), 16).unwrap_or('0');
    let mut text = String::with_capacity(36);
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Not `write!`, which takes ten times as long for each line of a file.
        text.extend([digit(byte >> 4), digit(byte & 0xf)]);
    }
    text
}

/// `text` in the server's spelling, if it is a uuid. The server returns uuids in lower case, and a
/// ciphertext must be bound to the spelling that a reader gets.
pub(crate) fn canonical_uuid(text: &str) -> Option<String> {
    let shape = |(position, byte): (usize, u8)| match position {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    (text.len() == 36 && text.bytes().enumerate().all(shape)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_its_parts_and_on_nothing_else() {
        let id = stable_uuid("session", &["user", "/a"]);
        assert_eq!(id, stable_uuid("session", &["user", "/a"]));
        assert_eq!(canonical_uuid(&id), Some(id.clone()));
        for (kind, parts) in
            [("repository", ["user", "/a"]), ("session", ["user/", "a"]), ("session", ["/a", "user"])]
        {
            assert_ne!(id, stable_uuid(kind, &parts));
        }
        // A fixed value, because with another one a second run of a file would send everything
        // under new ids.
        assert_eq!(stable_uuid("session", &["u", "/p"]), "90204780-d040-8443-9dcb-7aa988a08ec2");
    }

    #[test]
    fn only_what_the_server_accepts_is_a_uuid() {
        let good = "4BE0643F-1d98-473b-97cd-ca98a65347dd";
        assert_eq!(canonical_uuid(good).as_deref(), Some("4be0643f-1d98-473b-97cd-ca98a65347dd"));
        for bad in
            ["", "4be0643f1d98473b97cdca98a65347dd", "4be0643f-1d98-473b-97cd-ca98a65347dg", "é", &good[1..]]
        {
            assert_eq!(canonical_uuid(bad), None, "{bad}");
        }
    }
}
