//! Ids that a daemon makes.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand_core::CryptoRng;

/// A random uuid (RFC 9562, version 4) in the server's spelling, for sessions, repositories and devices.
///
/// ```
/// assert!(levi_types::is_canonical_uuid(&levi_core::random_uuid()));
/// ```
pub fn random_uuid() -> String {
    uuid_from(&mut UnwrapErr(SysRng))
}

/// A uuid from `random`.
pub(crate) fn uuid_from(random: &mut impl CryptoRng) -> String {
    let mut bytes = [0_u8; 16];
    random.fill_bytes(&mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|part| hex.get(part).unwrap_or_default()).join("-")
}
