//! Rows that wait for somebody else.

use levi_types::UserId;
use serde::Serialize;

/// Rows of a user who is not signed in. Nothing happens to them until this user signs in again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The user. `None` only in a damaged file.
    pub user_id: Option<UserId>,
    /// Rows of every kind that wait to be sent.
    pub pending: u64,
    /// The messages among those that wait to be sent.
    pub messages: u64,
    /// Rows of every kind that are parked.
    pub parked: u64,
}
