//! What a message may replace on the server.

/// What a message may replace, if the server has a text at its sequence number already.
///
/// It is kept with the row: across restarts, while the row is parked, and while an older version of
/// it is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overwrite {
    /// An earlier text of the same message by the same outbox.
    #[default]
    OwnOnly,
    /// Any text, because the caller said so. An edit of the message before it is sent takes the
    /// permission over.
    Anything,
    /// No text. The row comes from a damaged file, and the server may have a newer text of the same
    /// message. An edit of the message is a message like any other again.
    Nothing,
}
