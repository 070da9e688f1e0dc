#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod draft;
pub mod entry;
pub mod keyring;
pub mod list;
pub mod pairing;
pub mod pin;
pub mod recovery;

mod bytes;
mod crockford;
mod hash;
mod hkdf;
mod keys;
mod member;
mod signature;
mod verify;

pub use hash::{Commitment, EntryHash};
pub use keys::{KeySeed, MemberKeys, PublicKeyError, PublicKeys, XWING_PUBLIC_KEY_BYTES};
pub use levi_crypto::message_v2::{Epoch, EpochSecret};
pub use member::{
    Fingerprint, InvalidId, InvalidMember, InvalidName, MAX_NAME_CHARS, Member, MemberType, check_id,
    check_name, is_unprintable,
};
pub use signature::{Signature, SignatureError, VerifyingKey};
pub use verify::VerifyCode;
