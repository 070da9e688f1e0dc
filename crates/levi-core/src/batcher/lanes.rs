//! The lanes the batcher works on now: a bounded window on what the outbox holds, served round robin.

use std::collections::{HashMap, VecDeque};

use levi_outbox::{DueLane, LaneId, Protection, RowHead};
use levi_types::{Monotonic, SessionId};

use super::io::Part;

/// Lanes that travel in one batch together. Ordinary lanes share `COMMON`; suspects are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(u64);

impl Group {
    pub(super) const COMMON: Self = Self(0);
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) session_id: SessionId,
    /// Failed attempts at the first row.
    pub(super) attempts: u32,
    /// Rows loaded and not under way, in order.
    window: VecDeque<RowHead>,
    /// Whether the outbox holds rows beyond the window.
    pub(super) more: bool,
    /// The last row known, under way or in the window: where loading goes on.
    last_known: Option<i64>,
    /// Whether a batch carries rows of this lane now.
    pub(super) in_flight: bool,
    /// Whether a row was written that the window should have held: start over once nothing is under way.
    rewind: bool,
    /// Whether an answer about this lane is awaited from the shell.
    pub(super) asked: bool,
    pub(super) group: Group,
    /// Rows at the front of which one is bad. Zero: no suspicion.
    pub(super) suspects: usize,
    /// When the first row has waited long enough for company.
    flush_at: Monotonic,
}

impl Lane {
    fn front(&self) -> Option<&RowHead> {
        self.window.front()
    }

    /// Rows at the front that are ready to send.
    fn sealed(&self) -> impl Iterator<Item = &RowHead> {
        self.window.iter().take_while(|row| row.protection == Protection::Sealed)
    }

    fn is_ready(&self) -> bool {
        !self.in_flight && !self.asked && self.front().is_some_and(|row| row.protection == Protection::Sealed)
    }

    /// How many rows a batch may take: half of the suspects, so that the bad one is found by bisection.
    fn limit(&self) -> usize {
        match self.suspects {
            0 => usize::MAX,
            suspects => (suspects / 2).max(1),
        }
    }

    fn start_over(&mut self) {
        self.window.clear();
        self.last_known = None;
        self.more = true;
        self.rewind = false;
    }
}

/// How large a batch may get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<LaneId, Lane>,
    by_session: HashMap<SessionId, LaneId>,
    order: VecDeque<LaneId>,
    /// Lanes let go of since the outbox was last asked for more. What was decided about them may not be on disk
    /// yet when it answers.
    gone: Vec<LaneId>,
    next_group: u64,
}

impl Lanes {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn lane(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(&id)
    }

    pub(super) fn new_group(&mut self) -> Group {
        self.next_group += 1;
        Group(self.next_group)
    }

    pub(super) fn insert(&mut self, due: DueLane, flush_at: Monotonic) {
        let window: VecDeque<RowHead> = due.heads.into();
        let lane = Lane {
            session_id: due.session_id.clone(),
            attempts: due.attempts,
            more: due.more,
            last_known: window.back().map(|row| row.sequence_number),
            window,
            in_flight: false,
            rewind: false,
            asked: false,
            group: Group::COMMON,
            suspects: 0,
            flush_at,
        };
        if self.lanes.insert(due.lane, lane).is_none() {
            self.by_session.insert(due.session_id, due.lane);
            self.order.push_back(due.lane);
        }
    }

    pub(super) fn remove(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.remove(&id) {
            self.by_session.remove(&lane.session_id);
            self.order.retain(|other| *other != id);
            self.gone.push(id);
        }
    }

    /// Lanes that a question asked before must not bring in: those at hand, and those let go of since.
    pub(super) fn known(&self) -> Vec<LaneId> {
        self.order.iter().chain(&self.gone).copied().collect()
    }

    pub(super) fn some_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The outbox is asked for more lanes.
    pub(super) fn asking(&mut self) {
        self.gone.clear();
    }

    /// Takes the answer to a question for more rows.
    pub(super) fn extend(
        &mut self,
        id: LaneId,
        after: Option<i64>,
        rows: Vec<RowHead>,
        complete: bool,
        flush_at: Monotonic,
    ) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.asked = false;
        if after != lane.last_known {
            // The lane started over since it was asked: these rows do not follow on what is known now.
            lane.more = true;
            return;
        }
        if lane.window.is_empty() {
            lane.flush_at = flush_at;
        }
        if let Some(last) = rows.last() {
            lane.last_known = Some(last.sequence_number);
        }
        lane.window.extend(rows);
        lane.more = !complete;
        if lane.window.is_empty() && !lane.more && !lane.in_flight {
            self.remove(id);
        }
    }

    /// A row at `sequence_number` was written to the session's lane.
    pub(super) fn touch(&mut self, session: &SessionId, sequence_number: i64) {
        let Some(lane) = self.by_session.get(session).and_then(|id| self.lanes.get_mut(id)) else { return };
        match lane.last_known {
            Some(last) if sequence_number <= last && lane.in_flight => lane.rewind = true,
            Some(last) if sequence_number <= last => lane.start_over(),
            _ => lane.more = true,
        }
    }

    /// Anything may have been written: trust no window.
    pub(super) fn distrust(&mut self) {
        for lane in self.lanes.values_mut() {
            if lane.in_flight { lane.rewind = true } else { lane.start_over() }
        }
    }

    /// The outbox failed: what is not under way is forgotten and will be loaded again.
    pub(super) fn forget_idle(&mut self) {
        let idle: Vec<LaneId> =
            self.lanes.iter().filter(|(_, lane)| !lane.in_flight).map(|(id, _)| *id).collect();
        for id in idle {
            self.remove(id);
        }
        self.distrust();
        for lane in self.lanes.values_mut() {
            lane.asked = false;
        }
    }

    /// Rows that could be sent this instant, counted no further than `enough`.
    pub(super) fn ready_rows(&self, enough: usize) -> usize {
        let ready = self.lanes.values().filter(|lane| lane.is_ready());
        ready.flat_map(Lane::sealed).take(enough).count()
    }

    /// Rows that are not under way, counted no further than `enough`. Those that are not loaded count as enough.
    pub(super) fn waiting_rows(&self, enough: usize) -> usize {
        let rows = |lane: &Lane| if lane.more { enough } else { lane.window.len() };
        self.lanes.values().fold(0, |sum: usize, lane| sum.saturating_add(rows(lane))).min(enough)
    }

    /// Whether any lane that could be sent has more rows on disk than in its window.
    pub(super) fn ready_lane_has_more(&self) -> bool {
        self.lanes.values().any(|lane| lane.is_ready() && lane.more)
    }

    /// When the first ready row has waited long enough; suspects do not wait for company.
    pub(super) fn flush_at(&self) -> Option<Monotonic> {
        let at = |lane: &Lane| if lane.group == Group::COMMON { lane.flush_at } else { Monotonic::default() };
        self.lanes.values().filter(|lane| lane.is_ready()).map(at).min()
    }

    /// Lanes whose next row waits for its session's key.
    pub(super) fn take_unsealed(&mut self) -> Vec<(LaneId, SessionId)> {
        let waits = |lane: &Lane| {
            !lane.in_flight
                && !lane.asked
                && lane.front().is_some_and(|row| row.protection == Protection::AtRest)
        };
        let mut found = Vec::new();
        for id in &self.order {
            if let Some(lane) = self.lanes.get_mut(id).filter(|lane| waits(lane)) {
                lane.asked = true;
                found.push((*id, lane.session_id.clone()));
            }
        }
        found
    }

    /// Lanes whose window runs low: `(lane, after, how many)`.
    pub(super) fn take_low(&mut self, low: usize, full: usize) -> Vec<(LaneId, Option<i64>, usize)> {
        let mut found = Vec::new();
        for id in &self.order {
            let Some(lane) = self.lanes.get_mut(id) else { continue };
            if lane.more && !lane.asked && !lane.rewind && lane.window.len() < low {
                lane.asked = true;
                found.push((*id, lane.last_known, full - lane.window.len()));
            }
        }
        found
    }

    /// Takes the next batch's rows: the first ready lane's, then those of the lanes that may travel with it.
    pub(super) fn draft(&mut self, limits: Limits, flush_at: impl Fn(&RowHead) -> Monotonic) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut group = None;
        // A body is one byte longer than its rows with a comma each: brackets for the last comma.
        let (mut rows_left, mut bytes) = (limits.rows, 1);
        for id in &self.order {
            let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.is_ready()) else { continue };
            if group.is_some_and(|group| group != lane.group) {
                continue;
            }
            let mut rows = Vec::new();
            let most = rows_left.min(lane.limit());
            while rows.len() < most {
                let Some(row) = lane.window.front().copied() else { break };
                let first = parts.is_empty() && rows.is_empty();
                let grown = bytes + row.bytes as usize + 1;
                if row.protection != Protection::Sealed || (grown > limits.bytes && !first) {
                    break;
                }
                bytes = grown;
                rows.push(row);
                lane.window.pop_front();
            }
            if rows.is_empty() {
                continue;
            }
            if let Some(front) = lane.window.front() {
                lane.flush_at = flush_at(front);
            }
            lane.in_flight = true;
            group = Some(lane.group);
            rows_left -= rows.len();
            parts.push(Part { lane: *id, session_id: lane.session_id.clone(), rows });
            if rows_left == 0 {
                break;
            }
        }
        parts
    }

    /// The server has the batch's rows of this lane. The lane goes behind the others.
    pub(super) fn landed(&mut self, id: LaneId, rows: usize) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.in_flight = false;
        lane.attempts = 0;
        lane.suspects = lane.suspects.saturating_sub(rows);
        if lane.suspects == 0 {
            lane.group = Group::COMMON;
        }
        self.settle(id);
        self.send_back(id);
    }

    /// The lane's first row is gone (parked). The others go on by themselves until something of theirs is
    /// accepted, so that a second bad row costs other lanes nothing.
    pub(super) fn without_first(&mut self, id: LaneId, suspects: usize) {
        let group = self.new_group();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.in_flight = false;
        lane.attempts = 0;
        lane.suspects = suspects;
        lane.group = group;
        self.settle(id);
    }

    /// The rows come back to the front, nothing lost, nothing counted.
    pub(super) fn put_back(&mut self, part: Part) {
        let Some(lane) = self.lanes.get_mut(&part.lane) else { return };
        lane.in_flight = false;
        for row in part.rows.into_iter().rev() {
            lane.window.push_front(row);
        }
        self.settle(part.lane);
    }

    /// The lane's rows changed on disk: load them anew.
    pub(super) fn reload(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.start_over();
        }
    }

    pub(super) fn send_back(&mut self, id: LaneId) {
        if self.lanes.contains_key(&id) {
            self.order.retain(|other| *other != id);
            self.order.push_back(id);
        }
    }

    fn settle(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.rewind {
            lane.start_over();
        }
        if lane.window.is_empty() && !lane.more && !lane.asked {
            self.remove(id);
        }
    }
}
