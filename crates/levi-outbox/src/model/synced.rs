//! What the server has taken, so that the same text again is not sent again.

/// Tells one text of a message from every other, and nothing about the text to those who do not have the key under which
/// the caller derives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextDigest(pub [u8; 8]);

/// The digests under which the server may have the text of a new row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextDigests {
    /// That of the row as it is. `None`: the caller cannot tell, and the row is always stored.
    pub own: Option<TextDigest>,
    /// That of the same text in another form, if there is one.
    pub other_form: Option<TextDigest>,
}

impl TextDigests {
    /// Whether `digest` is one of them.
    pub(crate) fn contain(self, digest: TextDigest) -> bool {
        [self.own, self.other_form].contains(&Some(digest))
    }
}

/// A message whose text the server has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncedText {
    /// Its position in its session.
    pub sequence_number: i64,
    /// Its text.
    pub digest: TextDigest,
}
