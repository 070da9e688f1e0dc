//! Storing rows.

use std::collections::BTreeMap;

use super::{Lane, MemoryOutbox, Row};
use crate::model::{Enqueued, LaneId, LaneKey, NewRow, Overwrite, RowId, RowKey};

impl MemoryOutbox {
    /// Stores one row, unless the payload bytes would exceed `limit`.
    pub(super) fn store(&mut self, new: &NewRow, limit: u64) -> Enqueued {
        let lane = self.by_key.get(&new.lane).copied();
        let user = new.user.as_ref().or(self.user.as_ref());
        if let Some(other) = lane.and_then(|lane| self.lanes.get_mut(&lane))
            && other.user.as_ref() != user
        {
            if other.user.is_some() {
                return Enqueued::OtherUser { user_id: other.user.clone() };
            }
            // The sign-in that makes nobody's lanes the first user's may still be on its way.
            other.user = user.cloned();
        }
        let holder = lane.and_then(|lane| self.holder(lane, new.position()));
        if holder.is_none() && self.is_synced(new) {
            return Enqueued::AlreadySynced;
        }
        let old = holder.and_then(|id| self.row(id));
        if let Some(old) = old
            && old.message_id != new.message_id
        {
            return Enqueued::SequenceConflict { holder: old.message_id.clone() };
        }
        let before = old.map_or(0, |old| old.payload.len() as u64);
        let after = new.payload.len() as u64;
        let is_bounded = !new.kind().is_control();
        let growth = after.saturating_sub(before);
        if is_bounded && growth > 0 && self.counts.stored_bytes().saturating_add(growth) > limit {
            let held_bytes = self.held_bytes_of(|lane| lane.user != self.user);
            let pending_bytes = self.counts.stored_bytes().saturating_sub(held_bytes);
            let is_own = new.user.is_none() || new.user == self.user;
            // A row of somebody who is not signed in counts with those that are held.
            let others = if is_own { held_bytes } else { pending_bytes };
            if self.counts.would_exceed(limit, others, growth) {
                return Enqueued::Full { pending_bytes, held_bytes, limit };
            }
        }
        let lane = lane.unwrap_or_else(|| self.new_lane(new));
        let answer = match holder {
            None => self.append(lane, new),
            Some(id) => self.replace(id, lane, new),
        };
        if new.kind().is_control() {
            self.restart_control_lane(lane, new);
        }
        if let Some(session) = new.restored_session() {
            self.sessions_sent.remove(session);
            let user = new.user.as_ref().or(self.user.as_ref()).cloned();
            self.synced.remove(&(user, session.clone()));
        }
        answer
    }

    /// Whether the server has the text of the row.
    fn is_synced(&self, new: &NewRow) -> bool {
        let LaneKey::Messages(session) = &new.lane else { return false };
        let user = new.user.as_ref().or(self.user.as_ref()).cloned();
        let synced = self.synced.get(&(user, session.clone()));
        let digest = synced.and_then(|synced| synced.get(&new.sequence_number));
        new.overwrite == Overwrite::OwnOnly && digest.is_some_and(|digest| new.texts.contain(*digest))
    }

    pub(super) fn row(&self, id: RowId) -> Option<&Row> {
        self.pending.get(&id).or_else(|| self.parked.get(&id).map(|parked| &parked.row))
    }

    /// The row with this sequence number, pending or parked.
    pub(super) fn holder(&self, lane: LaneId, sequence_number: i64) -> Option<RowId> {
        let lane = self.lanes.get(&lane)?;
        lane.pending.get(&sequence_number).or_else(|| lane.parked.get(&sequence_number)).copied()
    }

    fn new_lane(&mut self, new: &NewRow) -> LaneId {
        self.last_lane += 1;
        let lane = LaneId(self.last_lane);
        self.by_key.insert(new.lane.clone(), lane);
        self.lanes.insert(
            lane,
            Lane {
                key: new.lane.clone(),
                user: new.user.clone().or_else(|| self.user.clone()),
                repository: None,
                attempts: 0,
                reason: None,
                due_at: None,
                pending: BTreeMap::new(),
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
            kind: new.kind(),
            sequence_number: new.position(),
            version: 1,
            message_id: new.message_id.clone(),
            payload: new.payload.as_slice().into(),
            encryption: new.encryption,
            enqueued_at: new.enqueued_at,
            overwrite: new.overwrite,
            overwrite_since: 1,
        };
        self.insert_pending(id, row, new);
        Enqueued::Stored { key: RowKey { id, version: 1 }, replaced: false }
    }

    /// Exchanges the payload of a row, pending or parked. The row keeps its id and `enqueued_at`.
    fn replace(&mut self, id: RowId, lane: LaneId, new: &NewRow) -> Enqueued {
        let old = self.take_pending(id).or_else(|| self.take_parked(id).map(|parked| parked.row));
        let version = old.as_ref().map_or(1, |old| old.version.saturating_add(1));
        // An edit keeps the permission to replace any text.
        let kept = old
            .as_ref()
            .filter(|old| (new.overwrite, old.overwrite) == (Overwrite::OwnOnly, Overwrite::Anything));
        let (overwrite, overwrite_since) =
            kept.map_or((new.overwrite, version), |old| (old.overwrite, old.overwrite_since));
        let enqueued_at = old.as_ref().map_or(new.enqueued_at, |old| old.enqueued_at);
        let row = Row {
            lane,
            kind: new.kind(),
            sequence_number: new.position(),
            version,
            message_id: new.message_id.clone(),
            payload: new.payload.as_slice().into(),
            encryption: new.encryption,
            enqueued_at,
            overwrite,
            overwrite_since,
        };
        self.insert_pending(id, row, new);
        Enqueued::Stored { key: RowKey { id, version }, replaced: true }
    }

    /// A lane without pending rows is due when its first row was enqueued; the due time of another
    /// stays as it is.
    fn insert_pending(&mut self, id: RowId, row: Row, new: &NewRow) {
        let lane = row.lane;
        self.put_pending(id, row);
        if self.lanes.get(&lane).is_some_and(|lane| lane.due_at.is_none()) {
            self.schedule(lane, Some(new.enqueued_at));
        }
    }

    /// A control row that is written again starts anew: its lane's attempts are those of the old
    /// one.
    fn restart_control_lane(&mut self, lane: LaneId, new: &NewRow) {
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.repository = new.repository().cloned();
            state.attempts = 0;
            state.reason = None;
        }
        self.schedule(lane, Some(new.enqueued_at));
    }
}
