//! Control rows, and who waits for whom.

use std::collections::{BTreeSet, HashSet};

use levi_outbox::{Change, Due, DueLane, LaneId, LaneKey, ListedRow, NewRow, Reason, RowId, RowKey};
use levi_transport::{ApiError, Verdict};
use levi_types::{Monotonic, SessionId, Wall};

use super::Model;
use super::early::RowVersion;
use crate::content::session_number;

/// The row of a control lane on the disk.
#[derive(Clone, Debug)]
pub(crate) struct ControlRow {
    /// Known once the outbox returned it.
    pub(crate) key: Option<RowKey>,
    pub(crate) parked: bool,
    parked_for: String,
    pub(crate) bytes: u64,
    parent: Option<LaneKey>,
    attempts: u32,
    not_before: Option<Monotonic>,
    /// Whether the server accepted the row as it is on the disk.
    accepted: bool,
    /// Failures that have not been counted as an attempt yet.
    causes: u32,
    /// The code with which the server refused the row, if waiting cannot help.
    hopeless: Option<String>,
    /// How often row level security refused it.
    refusals: u32,
    /// Another process changed the lane: what Levi has in memory may differ for a while.
    modified_externally: bool,
}

impl ControlRow {
    fn new(row: &NewRow) -> Self {
        Self {
            key: None,
            parked: false,
            parked_for: String::new(),
            bytes: row.payload.len() as u64,
            parent: row.parent.clone(),
            attempts: 0,
            not_before: None,
            accepted: false,
            causes: 0,
            hopeless: None,
            refusals: 0,
            modified_externally: false,
        }
    }
}

impl Model {
    /// The parent for which the lane has to wait, if the parent's lane is not empty.
    pub(crate) fn waits_for(&self, lane: &LaneKey) -> Option<LaneKey> {
        let named = || self.control.get(lane).and_then(|row| row.parent.clone());
        lane.parent().or_else(named).filter(|parent| self.control.contains_key(parent))
    }

    /// Whether the lane has an ancestor that is parked.
    pub(crate) fn is_held(&self, lane: &LaneKey) -> bool {
        let Some(parent) = self.waits_for(lane) else { return false };
        self.control.get(&parent).is_some_and(|row| row.parked) || self.is_held(&parent)
    }

    /// Control rows that should be sent eventually: neither they nor their ancestors are parked,
    /// and their user is signed in.
    pub(crate) fn live_control_rows(&self) -> Vec<String> {
        let is_live = |lane: &LaneKey, row: &ControlRow| !row.parked && !self.is_held(lane);
        let own = self.control.iter().filter(|(lane, _)| !self.is_of_another(lane));
        let live = own.filter(|(lane, row)| is_live(lane, row));
        live.map(|(lane, _)| lane.to_string()).collect()
    }

    /// A child is never sent while its parent waits or is parked.
    pub(crate) fn check_parent(&mut self, lane: &LaneKey) {
        if let Some(parent) = self.waits_for(lane) {
            self.fail("parent", format!("{lane} is sent while {parent} is not empty"));
        }
    }

    /// A control row is sent.
    pub(crate) fn control_row_sent(&mut self, lane: &LaneKey) {
        self.check_parent(lane);
        let now = self.now.monotonic;
        let not_before = self.control.get(lane).and_then(|row| row.not_before);
        if let Some(early) = not_before.map(|at| at.since(now)).filter(|early| early.as_millis() > 1) {
            self.fail("backoff", format!("{lane} is sent {early:?} before its wait is over"));
        }
        self.check_attempt(lane, RowVersion::CONTROL);
    }

    /// Lanes that wait for a parent are never due.
    pub(super) fn check_not_blocked(&mut self, due: &Due) {
        for lane in &due.lanes {
            if let Some(parent) = self.waits_for(&lane.key) {
                self.fail("parent", format!("{} is due while {parent} is not empty", lane.key));
            }
        }
    }

    /// The ids of control rows are known once they are due.
    pub(super) fn note_control_lane(&mut self, due: &DueLane) {
        if let (Some(row), Some(head)) = (self.control.get_mut(&due.key), due.heads.first()) {
            row.key = Some(head.key);
        }
    }

    /// The server's response to the row in `lane`.
    pub(crate) fn control_row_ended(&mut self, lane: &LaneKey, key: RowKey, result: Result<(), &ApiError>) {
        let most = self.config.max_attempts_rejected;
        let Some(row) = self.control.get_mut(lane).filter(|row| row.key == Some(key)) else { return };
        let error = match result {
            Ok(()) => return row.accepted = true,
            Err(error) => error,
        };
        match error.verdict {
            Verdict::SignedOut | Verdict::ProjectUnavailable => {}
            Verdict::Rejected | Verdict::TooLarge | Verdict::DuplicateInBatch => {
                row.hopeless = Some(error.code.clone());
            }
            Verdict::Forbidden => row.refused(error, most),
            Verdict::MissingParent if matches!(lane, LaneKey::Secret(_)) => row.refused(error, most),
            // Includes a missing column: unless the whole project is at fault, the column is this
            // table's.
            _ => row.causes += 1,
        }
        if matches!(lane, LaneKey::Secret(_))
            && matches!(error.verdict, Verdict::Forbidden | Verdict::MissingParent)
        {
            self.refused_alone(lane.clone(), RowVersion::CONTROL);
        }
    }

    /// Levi's own side says that the row can never be sent.
    pub(crate) fn control_row_never(&mut self, lane: &LaneKey, key: RowKey, code: &str) {
        if let Some(row) = self.control.get_mut(lane).filter(|row| row.key == Some(key)) {
            row.hopeless = Some(code.to_owned());
        }
    }

    /// The parked control rows, and why they are.
    pub(crate) fn parked_control_rows(&self) -> Vec<(LaneKey, String)> {
        let parked = self.control.iter().filter(|(_, row)| row.parked);
        parked.map(|(lane, row)| (lane.clone(), row.parked_for.clone())).collect()
    }

    /// A failure on Levi's own side, which may pass.
    pub(crate) fn control_row_waits(&mut self, lane: &LaneKey) {
        self.control.get_mut(lane).into_iter().for_each(|row| row.causes += 1);
    }

    pub(super) fn stored_control(&mut self, new: &NewRow, key: Option<RowKey>) {
        self.note(|| format!("disk: {} {key:?}", new.lane));
        self.forget_attempts(&new.lane);
        self.control.insert(new.lane.clone(), ControlRow { key, ..ControlRow::new(new) });
    }

    /// [`Change::Ensure`]: the row is written unless there is one that names the same parent.
    pub(super) fn ensured(&mut self, new: &NewRow) {
        match self.control.get_mut(&new.lane) {
            Some(row) if new.parent.is_some() && row.parent != new.parent => self.stored_control(new, None),
            None => self.stored_control(new, None),
            Some(row) if row.parked => {
                row.parked = false;
                row.restart();
                self.note(|| format!("disk: {} is unparked, because it is needed", new.lane));
            }
            Some(_) => {}
        }
    }

    /// Applies a change to a control lane. Returns `false` if the change is about something else.
    pub(super) fn apply_to_control(&mut self, change: &Change, blocked: &HashSet<LaneKey>) -> bool {
        match change {
            Change::Ensure(row) => self.ensured(row),
            Change::Acknowledge { lane, rows, .. } => {
                let Some(key) = self.control_lane(*lane) else { return false };
                rows.first().into_iter().for_each(|row| self.control_acknowledged(&key, *row));
            }
            Change::Defer { lane, due_at, attempts, reason } => {
                let Some(key) = self.control_lane(*lane) else { return false };
                self.check_not_counted(&key, blocked, reason);
                self.control_deferred(&key, *due_at, *attempts, reason);
            }
            Change::Park { lane, row, reason, .. } => {
                let Some(key) = self.control_lane(*lane) else { return false };
                self.check_not_counted(&key, blocked, reason);
                self.control_parked(&key, *row, reason);
            }
            Change::Unpark { row, .. } => {
                let Some(key) = self.control_lane_of_row(*row) else { return false };
                let Some(known) = self.control.get_mut(&key) else { return false };
                known.parked = false;
                known.restart();
                self.forget_attempts(&key);
                self.note(|| format!("disk: {key} is unparked"));
            }
            _ => return false,
        }
        true
    }

    /// A child is neither counted nor parked while its parent waits.
    pub(super) fn check_not_counted(&mut self, lane: &LaneKey, blocked: &HashSet<LaneKey>, reason: &Reason) {
        if blocked.contains(lane) {
            self.fail("parent", format!("{lane} is charged for {} while its parent waits", reason.code));
        }
    }

    /// The lanes that have to wait for a parent now.
    pub(super) fn blocked_lanes(&self) -> HashSet<LaneKey> {
        if self.control.is_empty() {
            return HashSet::new();
        }
        let messages = (0..self.sessions.len()).map(|number| LaneKey::Messages(name_of(number)));
        let lanes = messages.chain(self.control.keys().cloned());
        lanes.filter(|lane| self.waits_for(lane).is_some()).collect()
    }

    fn control_lane(&self, lane: LaneId) -> Option<LaneKey> {
        self.lanes.get(&lane).filter(|key| key.kind().is_control()).cloned()
    }

    fn control_lane_of_row(&self, id: RowId) -> Option<LaneKey> {
        let is_meant = |row: &ControlRow| row.key.is_some_and(|key| key.id == id);
        self.control.iter().find(|(_, row)| is_meant(row)).map(|(lane, _)| lane.clone())
    }

    fn control_acknowledged(&mut self, lane: &LaneKey, key: RowKey) {
        let Some(row) = self.control.get(lane).filter(|row| row.key == Some(key)) else { return };
        let accepted = row.accepted;
        self.control.remove(lane);
        self.forget_attempts(lane);
        if let LaneKey::Session(session) = lane
            && let Some(session) = self.sessions.get_mut(session_number(session))
        {
            session.parent_sent = true;
            session.was_sent = true;
        }
        self.note(|| format!("disk: {lane} is acknowledged"));
        self.expect(accepted, "control rows", || {
            format!("{lane} leaves the outbox, but the server did not accept it")
        });
    }

    fn control_deferred(&mut self, lane: &LaneKey, due_at: Wall, attempts: u32, reason: &Reason) {
        let delay = self.delay_until(due_at);
        let sound = delay <= self.config.longest_delay() + std::time::Duration::from_millis(1);
        let not_before = sound.then_some(self.now.monotonic.after(delay));
        let Some(row) = self.control.get_mut(lane).filter(|row| !row.parked) else { return };
        let (before, caused) = (row.attempts, row.causes > 0);
        let modified = std::mem::take(&mut row.modified_externally);
        row.attempts = attempts;
        row.causes = row.causes.saturating_sub(1);
        row.not_before = not_before;
        self.note(|| format!("disk: {lane} waits {delay:?}, attempt {attempts}, {}", reason.code));
        self.expect(modified || (attempts == before + 1 && caused), "control rows", || {
            format!("{lane} had {before} attempts and now has {attempts} (failed: {caused})")
        });
        if !self.delays_void {
            self.check_delay(&lane.to_string(), attempts, due_at);
        }
    }

    fn control_parked(&mut self, lane: &LaneKey, key: RowKey, reason: &Reason) {
        let Some(row) = self.control.get_mut(lane).filter(|row| row.key == Some(key)) else { return };
        row.parked = true;
        row.parked_for = reason.code.clone();
        let hopeless = row.hopeless.clone();
        for number in 0..self.sessions.len() {
            let held = self.is_held(&LaneKey::Messages(name_of(number)));
            self.sessions.get_mut(number).into_iter().for_each(|session| session.ever_held |= held);
        }
        self.forget_attempts(lane);
        if let LaneKey::Session(session) = lane {
            // It is restored later, and its children with it.
            self.session_may_be_early(session_number(session));
        }
        self.note(|| format!("disk: {lane} is parked: {}", reason.code));
        self.expect(hopeless.as_ref() == Some(&reason.code), "control rows", || {
            format!("{lane} is parked for {}, which may pass", reason.code)
        });
    }

    /// The disk has the control rows that it should have, and no others.
    pub(crate) fn check_control_rows(&mut self, listed: &[ListedRow]) {
        let its: BTreeSet<_> =
            listed.iter().filter(|row| row.kind.is_control()).map(|row| (&row.lane, row.parked)).collect();
        let ours: BTreeSet<_> = self.control.iter().map(|(lane, row)| (lane, row.parked)).collect();
        let what =
            (its != ours).then(|| format!("the disk has the control rows {its:?}, it should have {ours:?}"));
        what.into_iter().for_each(|what| self.fail("disk", what));
    }

    /// Waits end early.
    pub(super) fn void_control_delays(&mut self) {
        self.control.values_mut().for_each(|row| row.not_before = None);
    }

    /// The row's own wait ends early.
    pub(super) fn void_control_delay(&mut self, lane: &LaneKey) {
        self.control.get_mut(lane).into_iter().for_each(|row| row.not_before = None);
    }

    /// The process ended, and its memory is lost.
    pub(crate) fn forget_control_memory(&mut self) {
        for row in self.control.values_mut() {
            (row.causes, row.refusals, row.accepted, row.hopeless) = (0, 0, false, None);
            row.modified_externally = false;
        }
    }

    /// Another process changed the outbox.
    pub(crate) fn control_modified_externally(&mut self) {
        self.control.values_mut().for_each(|row| row.modified_externally = true);
    }
}

impl ControlRow {
    /// The server refused it, and its parent may have been missing.
    fn refused(&mut self, error: &ApiError, most: u32) {
        self.refusals += 1;
        self.causes += 1;
        self.hopeless = (self.refusals >= most).then(|| error.code.clone());
    }

    fn restart(&mut self) {
        (self.attempts, self.causes, self.not_before, self.hopeless) = (0, 0, None, None);
        self.accepted = false;
        // Levi may go on counting where it was.
        self.modified_externally = true;
    }
}

pub(super) fn name_of(session: usize) -> SessionId {
    crate::content::session_id(session)
}

/// The session whose messages the lane has.
pub(super) fn messages_of(lane: &LaneKey) -> Option<usize> {
    match lane {
        LaneKey::Messages(session) => Some(session_number(session)),
        _ => None,
    }
}
