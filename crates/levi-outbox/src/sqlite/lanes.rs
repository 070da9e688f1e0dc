//! The lanes that rows are added to, remembered from one transaction to the next.

use std::collections::HashMap;

use levi_types::SessionId;
use rusqlite::{Connection, OptionalExtension, Result};

use super::ledger::Ledger;
use super::tasks::is_held;
use crate::model::NewRow;

/// A lane, whether it is empty, and its last place.
pub(super) const FIND_LANE: &str = "SELECT lane, due_at IS NULL, (SELECT max(sequence_number) FROM levi_outbox AS o \
     WHERE o.lane = l.lane) FROM levi_lanes AS l WHERE session_id = ?1";
pub(super) const NEW_LANE: &str =
    concat!("INSERT INTO levi_lanes (session_id, attempts, held) VALUES (?1, 0, ", is_held!("?1"), ")");
pub(super) const FILL_LANE: &str = "UPDATE levi_lanes SET due_at = ?2 WHERE lane = ?1";
pub(super) const PARKED_TAIL: &str = "SELECT max(sequence_number) FROM levi_parked WHERE lane = ?1";

/// Lanes remembered from one transaction to the next: more sessions than are busy at one time. Where there are more, all
/// are looked up again.
const REMEMBERED: usize = 256;

/// Lanes as they are inside the present transaction, by their sessions.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    open: Vec<OpenLane>,
    /// Where each session's lane is in `open`.
    by_session: HashMap<SessionId, usize>,
    data_version: i64,
}

/// What is known of a lane.
#[derive(Debug)]
pub(super) struct OpenLane {
    pub(super) lane: i64,
    is_empty: bool,
    /// The highest place taken, pending or parked. A row beyond it meets nobody, which spares it a look-up.
    pub(super) tail: Option<i64>,
    /// When the first added row was handed in: an empty lane is due then.
    filled_at: Option<i64>,
}

impl OpenLane {
    /// A row joins it.
    pub(super) fn take(&mut self, row: &NewRow) {
        self.filled_at.get_or_insert(row.enqueued_at.as_millis());
        self.tail = self.tail.max(Some(row.sequence_number));
    }
}

impl Lanes {
    /// What may be relied on at the start of a transaction: nothing, where somebody else wrote since.
    pub(super) fn still_valid(self, data_version: i64) -> Self {
        if self.data_version == data_version && self.open.len() <= REMEMBERED {
            self
        } else {
            Self { data_version, ..Self::default() }
        }
    }

    /// Something other than adding rows may have changed them.
    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.by_session.clear();
    }

    pub(super) fn get(&self, at: usize) -> Option<&OpenLane> {
        self.open.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut OpenLane> {
        self.open.get_mut(at)
    }

    /// Where the lane of a session is, if it has one.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        ledger: &Ledger,
        session_id: &SessionId,
    ) -> Result<Option<usize>> {
        if let Some(at) = self.by_session.get(session_id) {
            return Ok(Some(*at));
        }
        let found = conn
            .prepare_cached(FIND_LANE)?
            .query_row([session_id.as_str()], |row| {
                Ok(OpenLane { lane: row.get(0)?, is_empty: row.get(1)?, tail: row.get(2)?, filled_at: None })
            })
            .optional()?;
        let Some(mut open) = found else { return Ok(None) };
        if ledger.parked_rows > 0 {
            let parked = conn.prepare_cached(PARKED_TAIL)?.query_row([open.lane], |row| row.get(0))?;
            open.tail = open.tail.max(parked);
        }
        Ok(Some(self.keep(session_id, open)))
    }

    /// Makes the lane of a session that has none.
    pub(super) fn make(&mut self, conn: &Connection, session_id: &SessionId) -> Result<usize> {
        let lane = conn.prepare_cached(NEW_LANE)?.insert([session_id.as_str()])?;
        Ok(self.keep(session_id, OpenLane { lane, is_empty: true, tail: None, filled_at: None }))
    }

    fn keep(&mut self, session_id: &SessionId, open: OpenLane) -> usize {
        let at = self.open.len();
        self.open.push(open);
        self.by_session.insert(session_id.clone(), at);
        at
    }

    /// A lane that was empty is due when its first row came; one that waits waits on, and is not written.
    pub(super) fn settle(&mut self, conn: &Connection, ledger: &mut Ledger) -> Result<()> {
        for open in &mut self.open {
            let Some(due_at) = open.filled_at.take() else { continue };
            if std::mem::take(&mut open.is_empty) {
                conn.prepare_cached(FILL_LANE)?.execute([open.lane, due_at])?;
                ledger.add_lanes(1);
            }
        }
        Ok(())
    }
}
