//! Which row an overflow page belongs to. SQLite gives each to one row, but a leaf page of another time names the pages of
//! rows that are gone, and later rows have those pages by now.

use std::collections::{HashMap, HashSet};

use super::pages::Pages;
use super::scan::Candidate;

/// How often a page is read at most, for as many images of one row. It bounds what a crafted file costs.
const MOST_READS: u8 = 4;

/// The rows that have overflow pages.
#[derive(Default)]
pub(super) struct Overflow {
    owners: HashMap<u32, Owner>,
}

struct Owner {
    /// The row's id.
    id: i64,
    reads_left: u8,
}

impl Overflow {
    /// Gives the pages to the rows that name them: of two that name one page, to the row that is believed more, and of
    /// those to the newer.
    pub(super) fn of<'a>(pages: &Pages, candidates: impl Iterator<Item = &'a Candidate>) -> Self {
        let mut long: Vec<&Candidate> =
            candidates.filter(|candidate| candidate.cell.has_overflow()).collect();
        long.sort_unstable_by_key(|candidate| (candidate.trust, std::cmp::Reverse(candidate.id)));
        let mut overflow = Self::default();
        for candidate in long {
            // What matters is which pages it reads.
            let _ = candidate.record(pages, |page| {
                overflow.owners.entry(page).or_insert(Owner { id: candidate.id, reads_left: MOST_READS });
                overflow.may_read(candidate.id, page)
            });
        }
        for owner in overflow.owners.values_mut() {
            owner.reads_left = MOST_READS;
        }
        overflow
    }

    /// The whole record of a row. `None` if it cannot be read, or a page of it is another row's.
    pub(super) fn read(&mut self, pages: &Pages, candidate: &Candidate) -> Option<Vec<u8>> {
        candidate.record(pages, |page| self.may_read(candidate.id, page))
    }

    fn may_read(&mut self, id: i64, page: u32) -> bool {
        let Some(owner) = self.owners.get_mut(&page).filter(|owner| owner.id == id && owner.reads_left > 0)
        else {
            return false;
        };
        owner.reads_left -= 1;
        true
    }
}

impl Candidate {
    /// The whole record, as far as its overflow pages may be read. A page that is met again is damage, so that no chain
    /// is followed in a circle.
    fn record(&self, pages: &Pages, mut may_read: impl FnMut(u32) -> bool) -> Option<Vec<u8>> {
        let bytes = pages.image(self.image)?;
        let page = super::record::BtreePage::parse(self.image.page, &bytes)?;
        let mut read = HashSet::new();
        page.record(&self.cell, |next| {
            let is_sound = next <= pages.count() && read.insert(next) && may_read(next);
            if is_sound { pages.overflow(self.image, next) } else { None }
        })
    }
}
