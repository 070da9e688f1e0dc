//! Short names for what the cases do.

use std::sync::LazyLock;

use levi_types::{UserId, Wall};

use crate::model::{
    Change, Due, DueLane, Encryption, Enqueued, LaneId, LaneKey, ListedRow, NewRow, Reason, RowId, RowKey,
    RowState,
};
use crate::store::{DueQuery, OutboxStore};

/// `seconds` after the time at which the cases begin.
pub(super) fn at(seconds: i64) -> Wall {
    Wall::from_millis(1_700_000_000_000 + seconds * 1_000)
}

/// Message `m<number>` of `session`, enqueued when the case begins.
pub(super) fn row(session: &str, number: i64) -> NewRow {
    NewRow::message(
        session.into(),
        number,
        format!("m{number}").into(),
        format!("{session}/{number}").into_bytes(),
        Encryption::SessionKey,
        at(0),
    )
}

/// Signs `user` in.
pub(super) fn sign_in(store: &mut dyn OutboxStore, user: &str) {
    store.change(Change::SignedIn { user: user.into() });
}

pub(super) fn messages(session: &str) -> LaneKey {
    LaneKey::Messages(session.into())
}

/// The row of a repository, enqueued when the case begins.
pub(super) fn repository(id: &str) -> NewRow {
    NewRow::control(LaneKey::Repository(id.into()), None, b"a repository".to_vec(), at(0))
}

/// The row of a session in repository `repository`.
pub(super) fn session(id: &str, repository: &str) -> NewRow {
    let parent = LaneKey::Repository(repository.into());
    NewRow::control(LaneKey::Session(id.into()), Some(parent), b"a session".to_vec(), at(0))
}

/// The secret of a session.
pub(super) fn secret(session: &str) -> NewRow {
    NewRow::control(LaneKey::Secret(session.into()), None, b"a secret".to_vec(), at(0))
}

pub(super) fn reason(code: &str) -> Reason {
    Reason { code: code.to_owned(), detail: format!("what {code} means") }
}

pub(super) trait Shorthand {
    fn change(&mut self, change: Change);
    fn answer(&mut self, row: NewRow) -> Enqueued;
    fn store(&mut self, row: NewRow) -> RowKey;
    fn due_at(&self, seconds: i64) -> Due;
    fn lane_due_at(&self, session: &str, seconds: i64) -> Option<DueLane>;
    fn lane(&self, session: &str) -> LaneId;
    fn lane_of(&self, key: &LaneKey) -> DueLane;
    fn listed(&self, row: RowId) -> ListedRow;
    fn defer(&mut self, lane: LaneId, until: i64, attempts: u32);
    fn acknowledge(&mut self, lane: LaneId, rows: &[RowKey], seconds: i64);
    fn acknowledge_all(&mut self, key: &LaneKey);
    fn park(&mut self, lane: LaneId, row: RowKey, seconds: i64);
    fn park_first(&mut self, key: &LaneKey, code: &str);
    fn payload(&self, row: RowKey) -> Option<String>;
    fn parked(&self, row: RowId) -> bool;
}

impl Shorthand for dyn OutboxStore + '_ {
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
        self.due_at(seconds).lanes.into_iter().find(|lane| lane.key == messages(session))
    }

    fn lane(&self, session: &str) -> LaneId {
        self.lane_due_at(session, 0).expect("the session's lane is due").lane
    }

    fn lane_of(&self, key: &LaneKey) -> DueLane {
        self.due_at(0).lanes.into_iter().find(|lane| lane.key == *key).expect("the lane is due")
    }

    fn listed(&self, row: RowId) -> ListedRow {
        let rows = self.list(Some(RowId(row.0 - 1)), 1).expect("rows can be listed");
        rows.into_iter().find(|listed| listed.id == row).expect("the row is listed")
    }

    fn defer(&mut self, lane: LaneId, until: i64, attempts: u32) {
        self.change(Change::Defer { lane, due_at: at(until), attempts, reason: reason("503") });
    }

    fn acknowledge(&mut self, lane: LaneId, rows: &[RowKey], seconds: i64) {
        self.change(Change::Acknowledge { lane, rows: rows.to_vec(), at: at(seconds) });
    }

    fn acknowledge_all(&mut self, key: &LaneKey) {
        let lane = self.lane_of(key);
        let rows: Vec<_> = lane.heads.iter().map(|head| head.key).collect();
        self.acknowledge(lane.lane, &rows, 0);
    }

    fn park(&mut self, lane: LaneId, row: RowKey, seconds: i64) {
        self.change(Change::Park { lane, row, reason: reason("22P02"), at: at(seconds) });
    }

    fn park_first(&mut self, key: &LaneKey, code: &str) {
        let lane = self.lane_of(key);
        let (lane, row) = (lane.lane, lane.heads[0].key);
        self.change(Change::Park { lane, row, reason: reason(code), at: at(0) });
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
        matches!(self.row_state(row), Ok(RowState::Parked(_)))
    }
}

/// A query without limits, with the horizon an hour ahead.
pub(super) fn everything(seconds: i64) -> DueQuery<'static> {
    static ADA: LazyLock<UserId> = LazyLock::new(|| "ada".into());
    DueQuery {
        user: Some(&ADA),
        now: at(seconds),
        horizon: at(seconds + 3_600),
        except: &[],
        max_lanes: usize::MAX,
        heads_per_lane: usize::MAX,
        max_heads: usize::MAX,
    }
}

/// The sessions (or repositories) of what is due, in order.
pub(super) fn subjects(due: &Due) -> Vec<&str> {
    due.lanes.iter().map(|lane| lane.key.subject()).collect()
}

/// The names of the lanes that are due, in order.
pub(super) fn names(due: &Due) -> Vec<String> {
    due.lanes.iter().map(|lane| lane.key.to_string()).collect()
}
