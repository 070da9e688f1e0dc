//! The rows of one request, as the server reads them.

use crate::content::Content;

/// Each row's session and number, and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<(usize, i64, Content)>,
    pub(crate) bytes: usize,
}

impl Rows {
    pub(crate) fn has_duplicates(&self) -> bool {
        let mut places: Vec<_> = self.rows.iter().map(|(session, place, _)| (*session, *place)).collect();
        places.sort_unstable();
        places.windows(2).any(|pair| pair[0] == pair[1])
    }
}
