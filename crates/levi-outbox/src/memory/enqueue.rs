//! Storing rows.

use std::collections::BTreeMap;

use super::{Lane, MemoryOutbox, Row};
use crate::model::{Enqueued, LaneId, NewRow, RowId, RowKey};

impl MemoryOutbox {
    pub(super) fn store(&mut self, new: &NewRow) -> Enqueued {
        let lane = self.sessions.get(&new.session_id).copied();
        let holder = lane.and_then(|lane| self.holder(lane, new.sequence_number));
        let old = holder.and_then(|id| self.row(id));
        if let Some(old) = old
            && old.message_id != new.message_id
        {
            return Enqueued::PlaceTaken { holder: old.message_id.clone() };
        }
        let before = old.map_or(0, |old| old.payload.len() as u64);
        let after = new.payload.len() as u64;
        let held = self.pending_bytes + self.parked_bytes;
        if after > before && held + (after - before) > self.max_pending_bytes {
            return Enqueued::Full { pending_bytes: held, limit: self.max_pending_bytes };
        }
        let lane = lane.unwrap_or_else(|| self.new_lane(new));
        match holder {
            None => self.append(lane, new),
            Some(id) => self.replace(id, lane, new),
        }
    }

    fn holder(&self, lane: LaneId, sequence_number: i64) -> Option<RowId> {
        let lane = self.lanes.get(&lane)?;
        lane.places.get(&sequence_number).or_else(|| lane.parked.get(&sequence_number)).copied()
    }

    fn row(&self, id: RowId) -> Option<&Row> {
        self.rows.get(&id).or_else(|| self.parked.get(&id).map(|parked| &parked.row))
    }

    fn new_lane(&mut self, new: &NewRow) -> LaneId {
        self.last_lane += 1;
        let lane = LaneId(self.last_lane);
        self.sessions.insert(new.session_id.clone(), lane);
        self.lanes.insert(
            lane,
            Lane {
                session_id: new.session_id.clone(),
                attempts: 0,
                reason: None,
                due_at: None,
                places: BTreeMap::new(),
                parked: BTreeMap::new(),
            },
        );
        lane
    }

    fn append(&mut self, lane: LaneId, new: &NewRow) -> Enqueued {
        self.last_row += 1;
        let id = RowId(self.last_row);
        let row = Row {
            lane,
            sequence_number: new.sequence_number,
            version: 1,
            message_id: new.message_id.clone(),
            payload: new.payload.as_slice().into(),
            protection: new.protection,
            enqueued_at: new.enqueued_at,
        };
        self.insert_pending(id, row, new);
        Enqueued::Stored { key: RowKey { id, version: 1 }, replaced: false }
    }

    /// Puts the new payload in the old one's place, pending or parked. The row keeps its id and the time it was
    /// first handed in.
    fn replace(&mut self, id: RowId, lane: LaneId, new: &NewRow) -> Enqueued {
        let old = self.take_pending(id).or_else(|| self.take_parked(id).map(|parked| parked.row));
        let (version, enqueued_at) =
            old.map_or((1, new.enqueued_at), |old| (old.version.saturating_add(1), old.enqueued_at));
        let row = Row {
            lane,
            sequence_number: new.sequence_number,
            version,
            message_id: new.message_id.clone(),
            payload: new.payload.as_slice().into(),
            protection: new.protection,
            enqueued_at,
        };
        self.insert_pending(id, row, new);
        Enqueued::Stored { key: RowKey { id, version }, replaced: true }
    }

    /// An empty lane is due when its first row came; a waiting one waits on.
    fn insert_pending(&mut self, id: RowId, row: Row, new: &NewRow) {
        let lane = row.lane;
        self.put_pending(id, row);
        if self.lanes.get(&lane).is_some_and(|lane| lane.due_at.is_none()) {
            self.schedule(lane, Some(new.enqueued_at));
        }
    }
}
