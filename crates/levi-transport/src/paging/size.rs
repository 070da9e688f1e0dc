//! How many rows a read asks for: fewer after a failure, more after successes.

use std::sync::{Arc, Mutex, PoisonError};

/// The most successes between two attempts at a larger page.
const LONGEST_WAIT: u32 = 32;

/// The number of rows to ask for. Pure: the caller reports what happened.
///
/// A failure makes it smaller. A success doubles it again, up to its maximum. If the larger page
/// fails, twice as many successes are needed before the next attempt, so a server that can answer
/// 300 rows is rarely asked for 500.
///
/// ```
/// use levi_transport::PageSize;
///
/// let mut size = PageSize::new(1000);
/// assert!(size.failed(2));
/// assert_eq!(size.rows(), 500);
/// size.succeeded();
/// assert_eq!(size.rows(), 1000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSize {
    most: u32,
    rows: u32,
    /// Successes at this size.
    successes: u32,
    /// Successes before the next attempt at a larger page.
    needed: u32,
    /// Whether the present size is larger than the last one that succeeded.
    probing: bool,
}

impl PageSize {
    /// At most `most` rows, and that many to begin with. Zero counts as one.
    pub const fn new(most: u32) -> Self {
        let most = if most == 0 { 1 } else { most };
        Self { most, rows: most, successes: 0, needed: 1, probing: false }
    }

    /// How many rows to ask for: at least one.
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// A page of this size was answered.
    pub const fn succeeded(&mut self) {
        self.probing = false;
        self.successes = self.successes.saturating_add(1);
        if self.rows < self.most && self.successes >= self.needed {
            let doubled = self.rows.saturating_mul(2);
            self.rows = if doubled > self.most { self.most } else { doubled };
            self.successes = 0;
            self.probing = true;
        }
    }

    /// A page of this size was not answered. Divides the size by `divisor` and returns whether it
    /// is smaller now.
    pub const fn failed(&mut self, divisor: u32) -> bool {
        let doubled = self.needed.saturating_mul(2);
        self.needed = match self.probing {
            true if doubled > LONGEST_WAIT => LONGEST_WAIT,
            true => doubled,
            false => 1,
        };
        self.probing = false;
        self.successes = 0;
        let before = self.rows;
        let divided = self.rows / if divisor < 2 { 2 } else { divisor };
        self.rows = if divided == 0 { 1 } else { divided };
        self.rows < before
    }

    /// The size for a page of at most `most` rows that fits into this one.
    fn within(&self, most: u32) -> Self {
        let most = most.clamp(1, self.most);
        Self { most, rows: self.rows.min(most), ..self.clone() }
    }
}

/// A [`PageSize`] that the reads of one table share, so that each begins with the size that worked
/// last. Clones share it too.
#[derive(Clone, Debug)]
pub struct SharedPageSize(Arc<Mutex<PageSize>>);

impl SharedPageSize {
    /// At most `most` rows.
    pub fn new(most: u32) -> Self {
        Self(Arc::new(Mutex::new(PageSize::new(most))))
    }

    /// The present size.
    pub fn rows(&self) -> u32 {
        self.lock().rows
    }

    /// The size to begin a read of at most `limit` rows with.
    pub(super) fn begin(&self, limit: u32) -> PageSize {
        self.lock().within(limit)
    }

    /// Keeps the size that a page succeeded or failed with. A read that wanted fewer rows than this
    /// size says nothing about larger ones.
    pub(super) fn keep(&self, asked: &PageSize) {
        let mut kept = self.lock();
        if asked.rows < asked.most || asked.most >= kept.rows {
            *kept = PageSize { most: kept.most, rows: asked.rows.min(kept.most), ..asked.clone() };
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PageSize> {
        // A panic cannot leave it half changed, because every change is one assignment or one
        // method.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_stays_within_its_bounds_and_comes_back(
            most in 1_u32..5000,
            events in prop::collection::vec(prop::option::of(0_u32..6), 0..200),
        ) {
            let mut size = PageSize::new(most);
            for event in events {
                let before = size.rows();
                match event {
                    Some(divisor) => {
                        let narrowed = size.failed(divisor);
                        prop_assert_eq!(narrowed, size.rows() < before);
                        prop_assert!(narrowed || before == 1);
                    }
                    None => {
                        size.succeeded();
                        prop_assert!(size.rows() >= before);
                    }
                }
                prop_assert!((1..=most).contains(&size.rows()));
            }
            for _ in 0..(LONGEST_WAIT * 14) {
                size.succeeded();
            }
            prop_assert_eq!(size.rows(), most);
        }

        /// However large the pages that a server cannot answer, most requests get an answer in the
        /// end.
        #[test]
        fn a_size_that_never_works_is_tried_ever_more_seldom(works in 1_u32..1000) {
            let mut size = PageSize::new(1000);
            let mut failures = 0;
            for _ in 0..400 {
                if size.rows() <= works {
                    size.succeeded();
                } else {
                    size.failed(2);
                    failures += 1;
                }
            }
            prop_assert!(failures <= 32, "{failures}");
        }
    }

    #[test]
    fn a_short_read_says_nothing_about_long_ones() {
        let shared = SharedPageSize::new(1000);
        let mut short = shared.begin(10);
        short.succeeded();
        shared.keep(&short);
        assert_eq!(shared.rows(), 1000);
        let mut narrowed = shared.begin(1000);
        narrowed.failed(4);
        shared.keep(&narrowed);
        assert_eq!((shared.rows(), shared.begin(10).rows(), shared.begin(900).rows()), (250, 10, 250));
        let mut short = shared.begin(10);
        short.failed(2);
        shared.keep(&short);
        assert_eq!(shared.rows(), 5, "ten rows did not work, so more do not");
    }
}
