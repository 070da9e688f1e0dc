//! Is it the row or the project? A row refused by itself is parked, but where row after row is refused for
//! one and the same code and nothing is accepted in between, it is the project that is wrong: those rows are
//! put back and the project is paused.

use levi_outbox::RowId;
use levi_transport::ApiError;

/// Fewer refusals than this never convict the project: a lone bad row must not stop the others.
const FEWEST_TO_CONVICT: usize = 3;

#[derive(Debug)]
pub(super) struct Trial {
    pub(super) code: String,
    /// Rows parked for `code` since anything was last accepted.
    parked: Vec<RowId>,
    /// The last refusal of a single row, with its random number.
    last: Option<(ApiError, f64)>,
    needed: usize,
}

/// What a refusal proves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// As far as is known, only these rows are bad.
    Rows,
    /// Everything is refused: put these back.
    Project(Vec<RowId>),
}

impl Trial {
    /// Opens when a batch of `rows` is first refused with `code`; every one of them (up to `most`) must be
    /// refused before the project is blamed.
    pub(super) fn open(code: &str, rows: usize, most: usize) -> Self {
        let needed = rows.min(most).max(FEWEST_TO_CONVICT);
        Self { code: code.to_owned(), parked: Vec::new(), last: None, needed }
    }

    /// One more row was refused by itself.
    pub(super) fn refused(&mut self, row: RowId, error: &ApiError, draw: f64) -> Finding {
        self.parked.push(row);
        self.last = Some((error.clone(), draw));
        if self.parked.len() < self.needed {
            return Finding::Rows;
        }
        Finding::Project(std::mem::take(&mut self.parked))
    }

    /// The rows refused so far and the last error, if there was one.
    pub(super) fn into_refused(self) -> Option<(Vec<RowId>, ApiError, f64)> {
        self.last.map(|(error, draw)| (self.parked, error, draw))
    }

    /// The rows refused, if they are so many that it may have been the project.
    pub(super) fn into_suspects(self) -> Vec<RowId> {
        if self.parked.len() < FEWEST_TO_CONVICT { Vec::new() } else { self.parked }
    }

    /// Whether so many rows fell in a row that looking for the bad one by halves is a waste.
    pub(super) fn looks_like_the_project(&self) -> bool {
        self.parked.len() >= 2
    }
}
