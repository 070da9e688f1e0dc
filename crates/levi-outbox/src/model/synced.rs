//! Digests of the texts that the server has, so that an outbox does not send the same text again.

/// Tells one text of a message from every other. It reveals nothing about the text to anybody
/// without the key from which the caller derives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextDigest(pub [u8; 8]);

/// The digests under which the server may have the text of a new row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextDigests {
    /// The digest of the row as it is. `None`: the caller does not know it, and the row is always
    /// stored.
    pub own: Option<TextDigest>,
    /// The digest of the same text in another form, if there is one.
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
