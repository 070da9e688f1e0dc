//! Poison rows: is one row bad, or the whole project? A row that is refused by itself is parked. Where row
//! after row is refused for the same code and none is accepted in between, the project is to blame: those
//! rows are unparked, and the project is paused.

use std::collections::HashSet;

use levi_outbox::{RowId, RowKind};
use levi_transport::ApiError;

/// Fewer refused rows than this never blame the project, so that a lone bad row does not stop the others.
const MIN_ROWS_TO_BLAME: usize = 3;

/// A project that was blamed before is blamed again after at least so many rows, if there are as many.
const MIN_ROWS_TO_BLAME_AGAIN: usize = 8;

/// After so many times in a row that the project was blamed, a search may be larger by a batch.
const BLAMES_PER_STEP: usize = 8;

/// The greatest size of a search, in batches.
const MAX_BATCHES: usize = 16;

/// What a refusal proves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// As far as is known, only this row is bad.
    Row,
    /// Every row is refused: unpark these.
    Project(Vec<RowId>),
}

/// Parked rows for which the project is to blame.
#[derive(Debug)]
pub(super) struct Blamed {
    pub(super) kind: RowKind,
    pub(super) rows: Vec<RowId>,
    pub(super) error: ApiError,
}

/// The rows refused for one code since a row of their kind was last accepted.
#[derive(Debug)]
struct Search {
    kind: RowKind,
    code: String,
    parked: Vec<RowId>,
    /// So many refused rows blame the project.
    needed: usize,
    last_error: Option<ApiError>,
}

/// The rows for which the project was blamed last, until a row of their kind is accepted.
#[derive(Debug)]
struct Blame {
    kind: RowKind,
    code: String,
    rows: Vec<RowId>,
}

/// The size of the search that a refusal begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct SearchSize {
    /// The rows of the refused request.
    pub(super) refused: usize,
    /// The rows at hand that are not in flight.
    pub(super) waiting: usize,
    /// How often in a row the project was blamed.
    pub(super) blames: usize,
    /// The configured batch size.
    pub(super) batch_size: usize,
}

impl SearchSize {
    /// The greatest number of rows that a repeated search may need. It grows slowly, because the rows are
    /// parked on disk meanwhile and a crash forgets why; but in the end it exceeds the number of bad rows in
    /// front of a good one.
    pub(super) fn most_when_repeated(&self) -> usize {
        let steps = (1 + self.blames / BLAMES_PER_STEP).min(MAX_BATCHES);
        self.batch_size.max(MIN_ROWS_TO_BLAME_AGAIN).saturating_mul(steps)
    }
}

#[derive(Debug, Default)]
pub(super) struct Poison {
    searches: Vec<Search>,
    blame: Option<Blame>,
    /// Rows that were parked and unparked again: refused once more, they stay parked.
    retried_once: HashSet<RowId>,
}

impl Poison {
    /// A request with rows of `kind` was refused with `code`. The first such refusal begins a search.
    pub(super) fn begin_search(&mut self, kind: RowKind, code: &str, size: SearchSize) {
        if self.search(kind, code).is_some() {
            return;
        }
        let (rows, most) = match &self.blame {
            Some(blame) if blame.kind == kind && blame.code == code => {
                let most = size.most_when_repeated();
                (2 * blame.rows.len(), most.min(size.refused.saturating_add(size.waiting)))
            }
            _ => (size.refused, size.batch_size),
        };
        let needed = rows.min(most).max(MIN_ROWS_TO_BLAME);
        self.searches.push(Search {
            kind,
            code: code.to_owned(),
            parked: Vec::new(),
            needed,
            last_error: None,
        });
    }

    fn search(&mut self, kind: RowKind, code: &str) -> Option<&mut Search> {
        self.searches.iter_mut().find(|search| search.kind == kind && search.code == code)
    }

    /// Whether so many rows were refused in a row that halving batches to find the bad one is a waste.
    pub(super) fn goes_one_by_one(&mut self, kind: RowKind, code: &str) -> bool {
        self.search(kind, code).is_some_and(|search| search.parked.len() >= 2)
    }

    /// A row was refused by itself, and is parked.
    pub(super) fn parked(&mut self, kind: RowKind, row: RowId, error: &ApiError) -> Finding {
        let again = self.retried_once.remove(&row);
        let Some(search) = self.search(kind, &error.code).filter(|_| !again) else { return Finding::Row };
        search.parked.push(row);
        search.last_error = Some(error.clone());
        if search.parked.len() < search.needed {
            return Finding::Row;
        }
        let rows = std::mem::take(&mut search.parked);
        self.blame(kind, &error.code, rows.clone());
        Finding::Project(rows)
    }

    fn blame(&mut self, kind: RowKind, code: &str, rows: Vec<RowId>) {
        self.searches.retain(|search| search.kind != kind || search.code != code);
        self.blame = Some(Blame { kind, code: code.to_owned(), rows });
    }

    pub(super) const fn blames_project(&self) -> bool {
        self.blame.is_some()
    }

    /// No row is left to try. A project that was blamed before is blamed again for the rows of the same kind
    /// that were refused since.
    pub(super) fn blame_again(&mut self) -> Option<Blamed> {
        let blamed = self.blame.as_ref()?.kind;
        let last = self.searches.iter().rposition(|search| search.kind == blamed)?;
        let Search { kind, code, parked: rows, last_error, .. } = self.searches.remove(last);
        let error = last_error?;
        self.blame(kind, &code, rows.clone());
        Some(Blamed { kind, rows, error })
    }

    /// A row of `kind` was accepted. Returns the rows to unpark: where many were parked before, the project
    /// may have been to blame until just now, so each is tried once more.
    ///
    /// A project that takes other rows is not paused for its control rows: those for which it was blamed stay
    /// parked if they are refused once more.
    pub(super) fn accepted(&mut self, kind: RowKind) -> Vec<RowId> {
        if let Some(blame) = self.blame.take_if(|blame| blame.kind == kind || blame.kind.is_control())
            && blame.kind != kind
        {
            self.retried_once.extend(blame.rows);
        }
        let searches = self.searches.extract_if(.., |search| search.kind == kind);
        let parked = searches.map(|search| search.parked).filter(|parked| parked.len() >= MIN_ROWS_TO_BLAME);
        let rows: Vec<RowId> = parked.flatten().collect();
        self.retried_once.extend(&rows);
        rows
    }

    /// The server has the row.
    pub(super) fn forget(&mut self, row: RowId) {
        if !self.retried_once.is_empty() {
            self.retried_once.remove(&row);
        }
    }
}
