//! The one spelling of a uuid that Levi takes.

use crate::{DeviceId, RepositoryId, SessionId, UserId};

/// The most characters of a refused id that the error shows.
const SHOWN: usize = 64;

/// Whether `id` is a uuid (RFC 9562) as PostgreSQL writes it: 32 hexadecimal digits in lower case,
/// and dashes.
///
/// ```
/// use levi_types::is_canonical_uuid;
///
/// assert!(is_canonical_uuid("8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03"));
/// assert!(!is_canonical_uuid("8F14E45F-CEEA-467F-A8D5-2F0C1C1D6A03"));
/// assert!(!is_canonical_uuid("{8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03}"));
/// assert!(!is_canonical_uuid("8f14e45fceea467fa8d52f0c1c1d6a03"));
/// ```
pub fn is_canonical_uuid(id: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    id.len() == 36 && id.bytes().enumerate().all(fits)
}

/// An id that is not a uuid in the spelling of PostgreSQL.
///
/// PostgreSQL takes a uuid in many spellings and returns it in one. Ciphertext and envelopes are
/// bound to ids as text, so a reader, which has its ids from the server, cannot open what was
/// sealed under another spelling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {what} {id:?} is not a uuid as the server writes it: 36 characters, lower case, such as \
     8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03"
)]
pub struct NotAUuid {
    /// What the id names, such as `session id`.
    pub what: &'static str,
    /// The id, cut after 64 characters.
    pub id: String,
}

macro_rules! checked {
    ($($name:ident $what:literal),*) => {
        $(impl $name {
            /// Checks that the id is a uuid in the server's spelling.
            ///
            /// # Errors
            /// [`NotAUuid`]
            pub fn check(&self) -> Result<(), NotAUuid> {
                if is_canonical_uuid(self.as_str()) {
                    return Ok(());
                }
                Err(NotAUuid { what: $what, id: self.as_str().chars().take(SHOWN).collect() })
            }
        })*
    };
}

checked!(UserId "user id", DeviceId "device id", SessionId "session id", RepositoryId "repository id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_spelling_that_postgresql_takes_is_refused() {
        let good = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        assert_eq!(DeviceId::from(good).check(), Ok(()));
        let others = [
            good.to_uppercase(),
            format!("{{{good}}}"),
            format!(" {good}"),
            format!("{good}\n"),
            good.replace('-', ""),
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11".into(),
            "a0eebc999c0b-4ef8-bb6d-6bb9bd380a11".into(),
            format!("urn:uuid:{good}"),
            good.replace('a', "\u{430}"),
            "chat-1".into(),
            String::new(),
        ];
        for other in others {
            let error = DeviceId::from(other.as_str()).check().unwrap_err();
            assert_eq!((error.what, error.id.as_str()), ("device id", other.as_str()));
        }
        let long = SessionId::from("x".repeat(1000)).check().unwrap_err();
        assert!(long.to_string().len() < 250, "{long}");
    }
}
