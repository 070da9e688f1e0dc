//! Short words for what the cases do.

use levi_types::Wall;

use crate::model::{
    Change, Due, DueLane, Enqueued, LaneId, NewRow, NewTask, Protection, Reason, RowId, RowKey,
};
use crate::store::{DueQuery, OutboxStore};

/// `seconds` after the moment at which the cases begin.
pub(super) fn at(seconds: i64) -> Wall {
    Wall::from_millis(1_700_000_000_000 + seconds * 1_000)
}

/// Message `m<place>` of `session`, handed in when the case begins.
pub(super) fn row(session: &str, place: i64) -> NewRow {
    NewRow {
        session_id: session.into(),
        sequence_number: place,
        message_id: format!("m{place}").into(),
        payload: format!("{session}/{place}").into_bytes(),
        protection: Protection::Sealed,
        enqueued_at: at(0),
    }
}

pub(super) fn reason(code: &str) -> Reason {
    Reason { code: code.to_owned(), detail: format!("what {code} means") }
}

pub(super) fn task(name: &str) -> NewTask {
    NewTask {
        name: name.to_owned(),
        parent: None,
        holds: None,
        payload: format!("payload of {name}").into_bytes(),
        at: at(0),
    }
}

/// The words.
pub(super) trait Words {
    fn change(&mut self, change: Change);
    fn answer(&mut self, row: NewRow) -> Enqueued;
    fn store(&mut self, row: NewRow) -> RowKey;
    fn due_at(&self, seconds: i64) -> Due;
    fn lane_due_at(&self, session: &str, seconds: i64) -> Option<DueLane>;
    fn lane(&self, session: &str) -> LaneId;
    fn defer(&mut self, lane: LaneId, until: i64, attempts: u32);
    fn acknowledge(&mut self, lane: LaneId, rows: &[RowKey], seconds: i64);
    fn park(&mut self, lane: LaneId, row: RowKey, seconds: i64);
    fn payload(&self, row: RowKey) -> Option<String>;
    fn parked(&self, row: RowId) -> bool;
}

impl Words for dyn OutboxStore + '_ {
    fn change(&mut self, change: Change) {
        self.commit(&[change], &[]).expect("a change is applied");
    }

    fn answer(&mut self, row: NewRow) -> Enqueued {
        let answers = self.commit(&[], &[row]).expect("a commit succeeds");
        answers.into_iter().next().expect("each row has its answer")
    }

    fn store(&mut self, row: NewRow) -> RowKey {
        match self.answer(row) {
            Enqueued::Stored { key, .. } => key,
            refused => panic!("the row should be stored: {refused:?}"),
        }
    }

    fn due_at(&self, seconds: i64) -> Due {
        self.due(everything(seconds)).expect("what is due can be read")
    }

    fn lane_due_at(&self, session: &str, seconds: i64) -> Option<DueLane> {
        self.due_at(seconds).lanes.into_iter().find(|lane| lane.session_id.as_str() == session)
    }

    fn lane(&self, session: &str) -> LaneId {
        self.lane_due_at(session, 0).expect("the session's lane is due").lane
    }

    fn defer(&mut self, lane: LaneId, until: i64, attempts: u32) {
        self.change(Change::Defer { lane, due_at: at(until), attempts, reason: reason("503") });
    }

    fn acknowledge(&mut self, lane: LaneId, rows: &[RowKey], seconds: i64) {
        self.change(Change::Acknowledge { lane, rows: rows.to_vec(), at: at(seconds) });
    }

    fn park(&mut self, lane: LaneId, row: RowKey, seconds: i64) {
        self.change(Change::Park { lane, row, reason: reason("22P02"), at: at(seconds) });
    }

    fn payload(&self, row: RowKey) -> Option<String> {
        let mut found = None;
        let mut sink = |_: RowKey, _: &str, payload: &[u8]| {
            found = Some(String::from_utf8_lossy(payload).into_owned());
        };
        self.payloads(&[row], &mut sink).expect("payloads can be read");
        found
    }

    fn parked(&self, row: RowId) -> bool {
        matches!(self.row_state(row), Ok(crate::RowState::Parked(_)))
    }
}

/// A question without limits, with the horizon an hour ahead.
pub(super) fn everything(seconds: i64) -> DueQuery<'static> {
    DueQuery {
        now: at(seconds),
        horizon: at(seconds + 3_600),
        except: &[],
        max_lanes: usize::MAX,
        heads_per_lane: usize::MAX,
        max_heads: usize::MAX,
    }
}

/// The sessions of what is due, in order.
pub(super) fn sessions(due: &Due) -> Vec<&str> {
    due.lanes.iter().map(|lane| lane.session_id.as_str()).collect()
}
