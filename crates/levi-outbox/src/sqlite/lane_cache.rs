//! The lanes that rows are added to, kept from one transaction to the next.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Result};

use super::blocking::blocking_parent;
use super::columns::kind_code;
use super::counters::Counters;
use super::synced::HighestSynced;
use crate::model::{LaneKey, NewRow};

/// A lane, whether it has no pending row, its user, and its last sequence number.
pub(super) const FIND_LANE: &str = "SELECT lane, due_at IS NULL, user, (SELECT max(sequence_number) FROM levi_outbox AS o \
     WHERE o.lane = l.lane) FROM levi_lanes AS l WHERE kind = ?1 AND subject = ?2";
pub(super) const NEW_LANE: &str = concat!(
    "INSERT INTO levi_lanes (kind, subject, repository_id, user, attempts, blocked_by) VALUES (?1, ?2, ?3, ?4, 0, ",
    blocking_parent!("?1", "?2", "?3"),
    ")"
);
pub(super) const FILL_LANE: &str = "UPDATE levi_lanes SET due_at = ?2 WHERE lane = ?1";
pub(super) const LAST_PARKED: &str = "SELECT max(sequence_number) FROM levi_parked WHERE lane = ?1";

/// How many lanes are kept from one transaction to the next: more than are usually written to at a
/// time. If there are more, the cache is cleared.
const MAX_CACHED: usize = 256;

/// Lanes as they are inside the present transaction, by their names.
#[derive(Debug, Default)]
pub(super) struct LaneCache {
    lanes: Vec<CachedLane>,
    /// Each lane's index in `lanes`.
    by_key: HashMap<LaneKey, usize>,
    data_version: i64,
    /// What the server has of their sessions.
    pub(super) synced: HighestSynced,
}

#[derive(Debug)]
pub(super) struct CachedLane {
    pub(super) lane: i64,
    /// For whom it waits.
    pub(super) user: i64,
    /// Whether the lane has no pending row, as the table says.
    pub(super) is_drained: bool,
    /// The highest sequence number, pending or parked. A row beyond it conflicts with none, which
    /// saves the look-up.
    pub(super) last: Option<i64>,
    /// When the first row since the last [`LaneCache::flush`] was enqueued.
    pub(super) filled_at: Option<i64>,
}

impl CachedLane {
    /// Notes that `row` joins the lane.
    pub(super) fn add(&mut self, row: &NewRow) {
        self.filled_at.get_or_insert(row.enqueued_at.as_millis());
        self.last = self.last.max(Some(row.position()));
    }
}

impl LaneCache {
    /// The cache at the start of a transaction: empty if another connection has written since.
    pub(super) fn validate(self, data_version: i64) -> Self {
        if self.data_version == data_version && self.lanes.len() <= MAX_CACHED {
            self
        } else {
            Self { data_version, synced: self.synced, ..Self::default() }
        }
    }

    /// Forgets everything, because a change may have touched any lane.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
        self.by_key.clear();
    }

    pub(super) fn get(&self, index: usize) -> Option<&CachedLane> {
        self.lanes.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut CachedLane> {
        self.lanes.get_mut(index)
    }

    /// The index of the lane of this name, if there is one.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        counters: &Counters,
        key: &LaneKey,
    ) -> Result<Option<usize>> {
        if let Some(index) = self.by_key.get(key) {
            return Ok(Some(*index));
        }
        let found = conn
            .prepare_cached(FIND_LANE)?
            .query_row((kind_code(key.kind()), key.subject()), |row| {
                Ok(CachedLane {
                    lane: row.get(0)?,
                    is_drained: row.get(1)?,
                    user: row.get(2)?,
                    last: row.get(3)?,
                    filled_at: None,
                })
            })
            .optional()?;
        let Some(mut found) = found else { return Ok(None) };
        if counters.has_parked() {
            let parked = conn.prepare_cached(LAST_PARKED)?.query_row([found.lane], |row| row.get(0))?;
            found.last = found.last.max(parked);
        }
        Ok(Some(self.keep(key, found)))
    }

    /// Makes the lane of `row`, which has none, for `user`.
    pub(super) fn make(&mut self, conn: &Connection, row: &NewRow, user: i64) -> Result<usize> {
        let repository = row.repository().map(levi_types::RepositoryId::as_str);
        let key = (kind_code(row.kind()), row.lane.subject(), repository, user);
        let lane = conn.prepare_cached(NEW_LANE)?.insert(key)?;
        Ok(self.keep(&row.lane, CachedLane { lane, user, is_drained: true, last: None, filled_at: None }))
    }

    fn keep(&mut self, key: &LaneKey, lane: CachedLane) -> usize {
        let index = self.lanes.len();
        self.lanes.push(lane);
        self.by_key.insert(key.clone(), index);
        index
    }

    /// Writes the due time of the lanes that had no pending row. The others stay as they are, so
    /// that a message which joins a queue costs no write to its lane.
    pub(super) fn flush(&mut self, conn: &Connection, counters: &mut Counters) -> Result<()> {
        for lane in &mut self.lanes {
            let Some(due_at) = lane.filled_at.take() else { continue };
            if std::mem::take(&mut lane.is_drained) {
                conn.prepare_cached(FILL_LANE)?.execute([lane.lane, due_at])?;
                counters.add_lane();
            }
        }
        Ok(())
    }
}
