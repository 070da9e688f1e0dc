//! The rows of the wire format, and request bodies made of them.
//!
//! Message rows are encoded once ([`encode_message_row`]), stored as JSON fragments, and
//! concatenated without being parsed again ([`MessageBatch`]). All other rows are few and are
//! serialized with serde ([`upsert_of`]).

mod base64_column;
mod change;
mod decode;
mod device_list;
mod message;
mod record;
mod timestamp;

pub use base64_column::Base64Column;
pub(crate) use change::ChangeNumber;
pub use change::{ChangePlace, ChangeRow, NamedRepository};
pub use decode::decode_rows;
pub use device_list::{DeviceListRow, KeyringRow, PairingRow};
pub use message::{
    MessageBatch, MessagePlace, MessageRow, NotBase64, encode_message_row, encode_message_row_as, nonce_of,
};
pub use record::{
    DeviceRow, FoundRepository, REPOSITORY_ACTIVE, Record, RepositoryRow, SecretRow, SessionOwner,
    SessionRow, upsert_of,
};
pub use timestamp::rfc3339;
