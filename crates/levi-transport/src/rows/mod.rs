//! Rows as they go over the wire, and the bodies and queries made of them.
//!
//! Message rows have a way of their own, [`encode_message_row`] and [`MessageBatch`]: they are encoded once,
//! kept as JSON fragments, and strung together without being looked at again. All other rows are few and
//! go through serde ([`upsert_of`]).

mod message;
mod record;
mod select;
mod timestamp;

pub use message::{MessageBatch, MessageRow, NotBase64, encode_message_row};
pub use record::{
    DeviceRow, REPOSITORY_ACTIVE, Record, RepositoryRow, SecretRow, SessionOwner, SessionRow, upsert_of,
};
pub use select::decode_rows;
pub use timestamp::rfc3339;
