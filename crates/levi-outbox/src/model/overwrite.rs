//! What a message may replace on the server.

/// Which text a message may replace, if the server already has one under its sequence number.
///
/// It is kept with the row: across restarts, while the row is parked, and while an older version of
/// it is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overwrite {
    /// An earlier text of the same message by the same outbox.
    #[default]
    OwnOnly,
    /// Any text, because the caller asked for it. If the message is edited before it is sent, the
    /// edit keeps the permission.
    Anything,
    /// No text. The row comes from a damaged file, and the server may have a newer text of the same
    /// message. A later edit of the message may again replace an earlier text of its own.
    Nothing,
}
