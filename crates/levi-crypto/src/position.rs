//! Where a message belongs.

use levi_types::SessionId;

/// Where a message belongs. It opens only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePosition<'a> {
    /// The session whose key seals the message.
    pub session_id: &'a SessionId,
    /// The position in the session.
    pub sequence_number: i64,
}
