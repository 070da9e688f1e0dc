//! Where the epochs of a session begin. A row of an older epoch that follows the start of a newer one is refused, because a
//! device that was removed knows the older epochs' secrets and could go on writing unseen.
//!
//! An edit, and any other message that does not come after all that its writer sealed before, begins no epoch: rows with
//! higher numbers may rightly be older.

use levi_crypto::message_v2::Order;
use levi_types::EpochStart;

/// Stands for version 1 among the epochs.
pub(super) const VERSION_1: u32 = 0;

/// The starts of one session's epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs(Vec<EpochStart>);

impl Epochs {
    pub(super) const fn new(starts: Vec<EpochStart>) -> Self {
        Self(starts)
    }

    /// The newest epoch that begins before message `sequence_number` and is newer than `epoch`.
    pub(super) fn newer(&self, epoch: u32, sequence_number: i64) -> Option<EpochStart> {
        let newer = |start: &&EpochStart| start.epoch > epoch && start.sequence_number < sequence_number;
        self.0.iter().filter(newer).max_by_key(|start| start.epoch).copied()
    }

    /// Notes a message that opened. Returns the start to be kept, if it is new.
    pub(super) fn opened(&mut self, epoch: u32, sequence_number: i64, order: Order) -> Option<EpochStart> {
        if epoch == VERSION_1 || order == Order::Late {
            return None;
        }
        let start = EpochStart { epoch, sequence_number };
        match self.0.iter_mut().find(|known| known.epoch == epoch) {
            Some(known) if known.sequence_number <= sequence_number => return None,
            Some(known) => *known = start,
            None => self.0.push(start),
        }
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use levi_crypto::message_v2::Order;
    use levi_types::EpochStart;

    use super::{Epochs, VERSION_1};

    #[test]
    fn a_row_is_stale_only_behind_the_start_of_a_newer_epoch() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.opened(VERSION_1, 1, Order::Rising), None);
        assert_eq!(epochs.opened(1, 3, Order::Rising), Some(EpochStart { epoch: 1, sequence_number: 3 }));
        assert_eq!(epochs.opened(1, 4, Order::Rising), None);
        assert_eq!(epochs.opened(2, 2, Order::Late), None, "an edit begins no epoch");
        assert_eq!(epochs.opened(2, 6, Order::Rising).map(|start| start.sequence_number), Some(6));
        for (epoch, number, newer) in [
            (VERSION_1, 2, None),
            (VERSION_1, 3, None),
            (VERSION_1, 4, Some(1)),
            (VERSION_1, 7, Some(2)),
            (1, 5, None),
            (1, 6, None),
            (1, 7, Some(2)),
            (2, 7, None),
            (3, 7, None),
        ] {
            assert_eq!(epochs.newer(epoch, number).map(|start| start.epoch), newer, "{epoch} at {number}");
        }
    }
}
