//! Builds the additional data that a ciphertext is bound to: a label, then length-prefixed names.

use crate::epoch::Epoch;

/// Enough for a message with the longest id that Levi accepts (15 + 4 + 256 + 8 + 4 bytes).
const INLINE_BYTES: usize = 288;

/// Additional data under construction. Usually on the stack, because it is built once for each
/// message.
pub(crate) struct Context {
    inline: [u8; INLINE_BYTES],
    used: usize,
    /// Holds all bytes, those from `inline` included, once they no longer fit there.
    spilled: Vec<u8>,
}

/// A name is longer than a 32-bit length prefix allows.
#[derive(Debug)]
pub(crate) struct NameTooLong;

impl Context {
    /// Starts with the label, which names the kind of content and the version of its format.
    pub(crate) fn new(label: &str) -> Self {
        let mut context = Self { inline: [0; INLINE_BYTES], used: 0, spilled: Vec::new() };
        context.push(label.as_bytes());
        context
    }

    /// Appends `u32be(len(name)) || name`. The length keeps different lists of names from giving
    /// the same bytes.
    pub(crate) fn name(mut self, name: &str) -> Result<Self, NameTooLong> {
        let length = u32::try_from(name.len()).map_err(|_| NameTooLong)?;
        self.push(&length.to_be_bytes());
        self.push(name.as_bytes());
        Ok(self)
    }

    /// Appends `i64be(number)`.
    pub(crate) fn number(mut self, number: i64) -> Self {
        self.push(&number.to_be_bytes());
        self
    }

    /// Appends `u32be(epoch)`.
    pub(crate) fn epoch(mut self, epoch: Epoch) -> Self {
        self.push(&epoch.number().to_be_bytes());
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        if self.spilled.is_empty() { &self.inline[..self.used] } else { &self.spilled }
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if self.spilled.is_empty() && end <= INLINE_BYTES {
            self.inline[self.used..end].copy_from_slice(bytes);
            self.used = end;
            return;
        }
        if self.spilled.is_empty() {
            self.spilled.extend_from_slice(&self.inline[..self.used]);
        }
        self.spilled.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spilling_to_the_heap_changes_no_byte() {
        for length in 0..2 * INLINE_BYTES {
            let name = "n".repeat(length);
            let built = Context::new("label").name(&name).unwrap().number(-2).name("z").unwrap();
            let mut expected = b"label".to_vec();
            expected.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
            expected.extend_from_slice(name.as_bytes());
            expected.extend_from_slice(&(-2_i64).to_be_bytes());
            expected.extend_from_slice(b"\0\0\0\x01z");
            assert_eq!(built.as_bytes(), expected, "a name of {length} bytes");
        }
    }
}
