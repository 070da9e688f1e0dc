//! A member of the list: a device, or the recovery key.
//!
//! ```text
//! member       lp(id) || u8 type (1 device, 2 recovery) || lp(name) || ed25519(32) || x25519(32) || xwing(1216)
//! fingerprint  SHA-256("levi/fingerprint/v1" || ed25519 || x25519 || xwing), the first 80 bits
//! ```

use std::fmt;

use levi_types::{DeviceId, MAX_ID_BYTES, is_canonical_uuid};

use crate::bytes::{Reader, Writer};
use crate::crockford;
use crate::hash::sha256;
use crate::keys::{PublicKeyError, PublicKeys, XWING_PUBLIC_KEY_BYTES};

/// The longest name of a member, in characters (Unicode scalar values).
pub const MAX_NAME_CHARS: usize = 128;

const FINGERPRINT_LABEL: &[u8] = b"levi/fingerprint/v1";

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberType {
    /// A device. May add and remove devices.
    Device,
    /// The recovery key. May replace itself, and recover.
    Recovery,
}

impl MemberType {
    const fn code(self) -> u8 {
        match self {
            Self::Device => 1,
            Self::Recovery => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Device),
            2 => Some(Self::Recovery),
            _ => None,
        }
    }
}

/// A member of the list: its id, its name and its public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    id: DeviceId,
    member_type: MemberType,
    name: String,
    keys: PublicKeys,
}

impl Member {
    /// Checks and takes a member. `id` is that of the member's row in `devices`.
    ///
    /// # Errors
    /// [`InvalidMember`] for an id or a name that the list does not take.
    pub fn new(
        id: DeviceId,
        member_type: MemberType,
        name: impl Into<String>,
        keys: PublicKeys,
    ) -> Result<Self, InvalidMember> {
        let name = name.into();
        check_id(id.as_str())?;
        check_name(&name)?;
        Ok(Self { id, member_type, name, keys })
    }

    /// The id of the member's row in `devices`.
    pub const fn id(&self) -> &DeviceId {
        &self.id
    }

    /// A device or the recovery key.
    pub const fn member_type(&self) -> MemberType {
        self.member_type
    }

    /// The name that its owner gave it. For people; nothing depends on it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public keys.
    pub const fn keys(&self) -> &PublicKeys {
        &self.keys
    }

    /// A short text that differs for every other set of keys.
    pub fn fingerprint(&self) -> Fingerprint {
        let keys = &self.keys;
        let parts: [&[u8]; 4] =
            [FINGERPRINT_LABEL, keys.signing().as_bytes(), keys.envelope().as_bytes(), keys.keyring()];
        let mut start = [0; Fingerprint::BYTES];
        start.copy_from_slice(&sha256(&parts)[..Fingerprint::BYTES]);
        Fingerprint(start)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.text(self.id.as_str()).u8(self.member_type.code()).text(&self.name);
        writer.bytes(self.keys.signing().as_bytes()).bytes(self.keys.envelope().as_bytes());
        writer.bytes(self.keys.keyring());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Result<Self, InvalidMember>> {
        let id = DeviceId::from(reader.text()?);
        let member_type = MemberType::from_code(reader.u8()?)?;
        let name = reader.text()?.to_owned();
        let (signing, envelope) = (reader.array()?, reader.array()?);
        let keyring = reader.slice(XWING_PUBLIC_KEY_BYTES)?;
        let keys = PublicKeys::from_bytes(signing, envelope, keyring);
        Some(keys.map_err(InvalidMember::Keys).and_then(|keys| Self::new(id, member_type, name, keys)))
    }
}

/// Checks the id of a member or a user: 1 to 256 bytes without control characters, and not a uuid
/// in upper case. Signatures cover ids as text, and PostgreSQL returns uuids in lower case.
///
/// # Errors
/// [`InvalidId`], which says what is wrong.
pub fn check_id(id: &str) -> Result<(), InvalidId> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(InvalidId::Length { bytes: id.len() });
    }
    if id.chars().any(char::is_control) {
        return Err(InvalidId::Control);
    }
    let is_upper_case_uuid = !is_canonical_uuid(id) && is_canonical_uuid(&id.to_ascii_lowercase());
    if is_upper_case_uuid { Err(InvalidId::UpperCaseUuid) } else { Ok(()) }
}

/// Checks the name of a member: 1 to 128 characters, none of which is a control character or
/// changes how the text around it is shown. Such characters are U+0000 to U+001F, U+007F to U+009F,
/// U+00AD, U+061C, U+180E, U+200B, U+200E, U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF,
/// U+FFF9 to U+FFFB and U+E0000 to U+E007F. The joiners U+200C and U+200D are allowed, because
/// emoji and several scripts need them.
///
/// # Errors
/// [`InvalidName`], which says what is wrong.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let characters = name.chars().count();
    if characters == 0 || characters > MAX_NAME_CHARS {
        return Err(InvalidName::Length { characters });
    }
    if name.chars().any(is_unprintable) { Err(InvalidName::Unprintable) } else { Ok(()) }
}

/// Whether a character moves a terminal's cursor, changes the direction of text or is not seen.
pub fn is_unprintable(character: char) -> bool {
    let formats = matches!(character,
        '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}');
    character.is_control() || formats
}

/// The fingerprint of a member's keys: 16 characters of Crockford's base32, in groups of four.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; Self::BYTES]);

impl Fingerprint {
    const BYTES: usize = 10;

    /// Whether the fingerprint starts with what a person typed. Hyphens, spaces and upper or lower
    /// case do not matter, and the letters O, I and L stand for the digits that they look like.
    /// Empty text matches nothing.
    pub fn starts_with(&self, typed: &str) -> bool {
        let typed = typed.chars().filter(|character| !crockford::is_separator(*character));
        let typed: Option<Vec<u8>> = typed.map(crockford::value).collect();
        typed.is_some_and(|typed| !typed.is_empty() && crockford::symbols(&self.0).starts_with(&typed))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crockford::grouped(&crockford::symbols(&self.0)))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Why an id is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// Empty, or longer than 256 bytes.
    #[error("an id has 1 to 256 bytes, not {bytes}; use the id of the row in `devices`")]
    Length {
        /// The actual length.
        bytes: usize,
    },
    /// It holds a control character.
    #[error("an id holds a control character; use the id of the row in `devices`")]
    Control,
    /// A uuid in upper case, which the server returns in lower case.
    #[error("an id is a uuid in upper case; write it in lower case, as the server does")]
    UpperCaseUuid,
}

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// Empty, or longer than 128 characters.
    #[error("a device's name has 1 to 128 characters, not {characters}; choose another name")]
    Length {
        /// The actual length.
        characters: usize,
    },
    /// It holds a character that is not shown, or that changes how others are shown.
    #[error("a device's name holds a character that cannot be shown; choose another name")]
    Unprintable,
}

/// Why a member is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMember {
    /// The id.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// One of the keys.
    #[error(transparent)]
    Keys(#[from] PublicKeyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_deceive_a_reader_are_refused() {
        for good in ["a", "Jo's laptop", "\u{1F468}\u{200D}\u{1F4BB}", "x\u{301}", &"n".repeat(128)] {
            assert_eq!(check_name(good), Ok(()), "{good:?}");
        }
        for bad in ["a\n", "\u{202E}gnp", "a\u{200B}", "\u{FEFF}a", "\u{1b}[2J", "\u{E0041}", "\u{85}"] {
            assert_eq!(check_name(bad), Err(InvalidName::Unprintable), "{bad:?}");
        }
        assert_eq!(check_name(""), Err(InvalidName::Length { characters: 0 }));
        assert_eq!(check_name(&"n".repeat(129)), Err(InvalidName::Length { characters: 129 }));
    }

    #[test]
    fn a_fingerprint_is_found_by_what_a_person_types() {
        let fingerprint = Fingerprint([0x08, 0x42, 0x10, 0x84, 0x21, 0x08, 0x42, 0x10, 0x84, 0x21]);
        assert_eq!(fingerprint.to_string(), "1111-1111-1111-1111");
        for typed in ["1", "i1-L", "1111 1111", "1111-1111-1111-1111"] {
            assert!(fingerprint.starts_with(typed), "{typed}");
        }
        for typed in ["", "-", "2", "u", "1111-1111-1111-1111-1"] {
            assert!(!fingerprint.starts_with(typed), "{typed}");
        }
    }
}
