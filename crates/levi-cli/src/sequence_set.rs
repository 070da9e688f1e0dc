//! The sequence numbers that a session uses, in memory that grows with the gaps and not with the
//! messages.

use std::collections::BTreeMap;

/// A set of sequence numbers, stored as runs of consecutive numbers.
#[derive(Debug, Default)]
pub(crate) struct SequenceSet {
    /// The first number of a run -> its last.
    runs: BTreeMap<i64, i64>,
}

impl SequenceSet {
    /// Adds a number. `false` if the set has it already.
    pub(crate) fn insert(&mut self, number: i64) -> bool {
        let before = self.runs.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let after = self.runs.range(number..).next().map(|(first, last)| (*first, *last));
        let joins_before = before.filter(|(_, last)| last.checked_add(1) == Some(number));
        let joins_after = after.filter(|(first, _)| number.checked_add(1) == Some(*first));
        if let Some((first, _)) = joins_after {
            self.runs.remove(&first);
        }
        let first = joins_before.map_or(number, |(first, _)| first);
        let last = joins_after.map_or(number, |(_, last)| last);
        self.runs.insert(first, last);
        true
    }

    /// The highest number in the set.
    #[cfg(any(feature = "demo", test))]
    pub(crate) fn highest(&self) -> Option<i64> {
        self.runs.last_key_value().map(|(_, last)| *last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use levi_testkit::fixtures::SeededRandom;

    use super::*;

    #[test]
    fn it_is_a_set_whatever_the_order() {
        for seed in 0..200 {
            let mut random = SeededRandom::new(seed);
            let (mut numbers, mut model) = (SequenceSet::default(), BTreeSet::new());
            for _ in 0..200 {
                let number = match random.below(50) {
                    0 => i64::MAX,
                    1 => 0,
                    _ => i64::try_from(random.below(120)).unwrap(),
                };
                assert_eq!(numbers.insert(number), model.insert(number), "seed {seed}, number {number}");
                assert_eq!(numbers.highest(), model.last().copied());
            }
        }
    }

    #[test]
    fn a_million_consecutive_numbers_are_one_run() {
        let mut numbers = SequenceSet::default();
        assert!((0..1_000_000).all(|number| numbers.insert(number)));
        assert_eq!(numbers.runs.len(), 1);
    }
}
