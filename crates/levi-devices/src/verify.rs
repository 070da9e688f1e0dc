//! Digits that two devices show to compare their histories.

use std::fmt;

use crate::hash::{EntryHash, sha256};

const LABEL: &[u8] = b"levi/verify/v1";

/// 32 digits that are equal on two devices exactly if both have the same genesis and the same head.
///
/// `SHA-256("levi/verify/v1" || genesis || head)` as eight big-endian 32-bit numbers, each modulo
/// 10,000 and written with four digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyCode([u16; 8]);

impl VerifyCode {
    pub(crate) fn new(genesis: EntryHash, head: EntryHash) -> Self {
        let hash = sha256(&[LABEL, genesis.as_bytes(), head.as_bytes()]);
        let mut groups = [0; 8];
        for (group, four) in groups.iter_mut().zip(hash.chunks_exact(4)) {
            let number = four.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            // Below 10,000, so it fits.
            *group = (number % 10_000) as u16;
        }
        Self(groups)
    }
}

impl fmt::Display for VerifyCode {
    /// Eight groups of four digits with spaces between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{group:04}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for VerifyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyCode({self})")
    }
}
