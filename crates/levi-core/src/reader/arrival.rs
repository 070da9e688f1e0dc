//! What a change is to those that were delivered before it.

/// What a change is to the changes of the same session that were delivered before, by this cursor
/// and those it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its number is above all that could be read before. In the order of delivery the numbers of a
    /// session's new messages rise.
    New,
    /// Its number is not: it is another text in a place that was delivered, or a message that was
    /// written late or put back.
    Edited,
    /// It was delivered before as one that cannot be read. Its key has come since.
    Unlocked,
}
