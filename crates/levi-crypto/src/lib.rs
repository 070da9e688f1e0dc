#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod aead;
pub mod at_rest;
pub mod envelope;
pub mod message;
pub mod message_v2;

mod context;
mod derived;
mod device_key;
mod epoch;
mod error;
mod key;
mod nonce;
mod position;
mod secret;
mod xchacha;

pub use derived::DerivedRng;
pub use error::{OpenError, SealError};
pub use key::{KeyTextError, MessageKey};
pub use nonce::{Author, WRITER_BYTES, is_nonce_of, same_message, text_of, writer_of};
pub use secret::{SessionSecret, SessionSecretError};
