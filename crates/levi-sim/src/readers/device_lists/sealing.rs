//! Sealing what waits on a device's disk.

use levi_core::engine::{HighestKnown, Sealer};
use levi_outbox::{Encryption, Overwrite};
use levi_types::{MessageSyncRequest, UserId, Wall};

use super::disk::{Disk, Waiting};
use crate::random::Random;

/// Seals the message at `index` as it would be sent at `at`, if this device can.
pub(super) fn seal(
    disk: &Disk,
    sealer: &Sealer,
    (user, at, index): (&UserId, Wall, usize),
    random: &mut Random,
) {
    let (waiting, highest) = {
        let kept = disk.kept();
        let Some(waiting) = kept.outbox.get(index).filter(|waiting| waiting.row.is_none()).cloned() else {
            return;
        };
        let highest = kept.highest.get(&waiting.request.session_id).copied();
        (waiting, highest)
    };
    let Waiting { request, .. } = waiting;
    // The disk is not locked here, because sealing reads the list from it.
    let before = HighestKnown { sent: highest, stored: None };
    let row = match sealer.seal(&request, Some(user.clone()), Overwrite::OwnOnly, before, at, random) {
        Ok(row) if row.encryption == Encryption::SessionKey => row.payload,
        _ => return,
    };
    let MessageSyncRequest { session_id, sequence_number, .. } = request;
    let mut kept = disk.kept();
    let known = kept.highest.entry(session_id).or_insert(sequence_number);
    *known = (*known).max(sequence_number);
    if let Some(waiting) = kept.outbox.get_mut(index) {
        waiting.row = Some(row);
    }
}
