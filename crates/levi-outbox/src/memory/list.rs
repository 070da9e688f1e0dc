//! Listing rows with the reason why each one waits.

use super::{Lane, MemoryOutbox, Row};
use crate::model::{LaneId, ListedRow, Reason, RowId, WaitingLane};

impl MemoryOutbox {
    pub(super) fn list_rows(&self, after: Option<RowId>, limit: usize) -> Vec<ListedRow> {
        let behind = |id: &RowId| after.is_none_or(|after| *id > after);
        let from = after.unwrap_or(RowId(i64::MIN));
        let pending = self.pending.range(from..).filter(|(id, _)| behind(id)).take(limit);
        let parked = self.parked.range(from..).filter(|(id, _)| behind(id)).take(limit);
        let pending = pending.filter_map(|(id, row)| self.listed(*id, row, None));
        let parked = parked.filter_map(|(id, parked)| self.listed(*id, &parked.row, Some(&parked.reason)));
        let mut listed: Vec<_> = pending.chain(parked).collect();
        listed.sort_unstable_by_key(|row| row.id);
        listed.truncate(limit);
        listed
    }

    /// `parked` is the reason of a parked row.
    fn listed(&self, id: RowId, row: &Row, parked: Option<&Reason>) -> Option<ListedRow> {
        let lane = self.lanes.get(&row.lane)?;
        let blocker = self.blocked_by(lane);
        let is_parked = parked.is_some();
        let held = lane.user != self.user;
        Some(ListedRow {
            id,
            version: row.version,
            kind: row.kind,
            lane: lane.key.clone(),
            user_id: lane.user.clone(),
            held,
            sequence_number: row.sequence_number,
            message_id: row.message_id.clone(),
            bytes: row.bytes(),
            encryption: row.encryption,
            enqueued_at: row.enqueued_at,
            parked: is_parked,
            attempts: if is_parked { 0 } else { lane.attempts },
            due_at: if is_parked || held || blocker.is_some() { None } else { lane.due_at },
            blocked_by: blocker.and_then(|blocker| Some(self.lanes.get(&blocker)?.key.clone())),
            parent_is_parked: !is_parked && self.parked_ancestor(lane).is_some(),
            reason: parked.cloned().or_else(|| self.waiting_reason(lane, blocker)),
        })
    }

    pub(super) fn waiting_lane(&self, lane: &Lane) -> WaitingLane {
        let blocker = self.blocked_by(lane);
        WaitingLane {
            key: lane.key.clone(),
            user_id: lane.user.clone(),
            held: lane.user != self.user,
            attempts: lane.attempts,
            due_at: lane.due_at.filter(|_| blocker.is_none()),
            blocked_by: blocker.and_then(|blocker| Some(self.lanes.get(&blocker)?.key.clone())),
            reason: self.waiting_reason(lane, blocker),
        }
    }

    /// The reason of the lane's nearest parked ancestor, if one is parked.
    pub(super) fn parked_ancestor(&self, lane: &Lane) -> Option<Reason> {
        let parent = self.lanes.get(&self.blocked_by(lane)?)?;
        let parked = parent.parked.values().next().and_then(|id| self.parked.get(id));
        parked.map(|parked| parked.reason.clone()).or_else(|| self.parked_ancestor(parent))
    }

    /// A blocked lane's own reason explains nothing: its parent's does.
    fn waiting_reason(&self, lane: &Lane, blocker: Option<LaneId>) -> Option<Reason> {
        match blocker.and_then(|blocker| self.lanes.get(&blocker)) {
            None => lane.reason.clone(),
            Some(parent) => {
                let parked = parent.parked.values().next().and_then(|id| self.parked.get(id));
                let parked = parked.map(|parked| parked.reason.clone());
                parked.or_else(|| self.waiting_reason(parent, self.blocked_by(parent)))
            }
        }
    }
}
