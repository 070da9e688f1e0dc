//! Carrying out what the batcher asks for.

use levi_outbox::{Change, DueQuery, LaneId, LaneKey, OutboxError, Overwrite, Reason, RowHead, RowKey};
use levi_transport::rows::{MessageBatch, MessagePlace, nonce_of};
use levi_types::{Delivery, MessageId, Now, RepositoryId, SessionId, StoreError};

use super::commit::reason_of;
use super::event::Effect;
use super::sent::Sent;
use super::{Engine, Perform};
use crate::batcher::{Action, Batch, BatchId, Input, LaneRows, Notice, Parent, PauseReason, SealResult};
use crate::control::Presence;
use crate::control_row::ControlRow;
use crate::sealer::{NoKey, ResealError, Resealed};
use crate::sealing_key::Sealing;
use crate::sync_error::SyncError;
use crate::write_messages::SentMessage;

/// Rows of one lane that are sealed in one go; the rest follows as the first ones are sent.
const SEALED_AT_ONCE: usize = 1024;

/// Rows sealed in one transaction.
const SEALED_PER_COMMIT: usize = 256;

impl Engine {
    /// Does what the batcher asks until it asks for nothing more and everything is committed.
    ///
    /// A request may be sent before the acknowledgements of the one before it are on disk. If those are lost,
    /// rows that the server has are sent to it again, and change nothing there.
    pub(super) fn run(&mut self, now: Now, perform: Perform<'_>) {
        loop {
            while let Some(action) = self.batcher.poll_action() {
                self.act(now, action, perform);
            }
            if let Some(error) = self.receipts.take_failure() {
                self.outbox_unreadable(now, error);
                continue;
            }
            if self.uncommitted.is_empty() || !self.batcher.trusts_outbox() || self.waits_for_answers(now) {
                return;
            }
            self.commit(now, perform);
        }
    }

    fn act(&mut self, now: Now, action: Action, perform: Perform<'_>) {
        match action {
            // A row may follow a parked one only once the parking is on disk. The batch is built again
            // afterwards, because the commit may also block its lanes.
            Action::Send(batch) if self.uncommitted.parks() => {
                self.commit(now, perform);
                self.batcher.handle(now, Input::Vanished { batch: batch.id });
            }
            Action::Send(batch) => self.send(now, batch, perform),
            Action::SendControl(batch) => self.send_control(now, &batch, perform),
            // What is on disk must not be read as if decisions that are not there were never made. The batcher
            // knows of the failed commit, and asks again when the outbox is trusted again.
            Action::Load { .. } | Action::LoadLane { .. } | Action::Seal { .. }
                if !self.may_load(&action, now, perform) => {}
            Action::Load { max_lanes, heads_per_lane, max_heads } => {
                let except = self.batcher.lanes_at_hand();
                let horizon = now.wall.after(self.config.longest_delay());
                let query = DueQuery {
                    now: now.wall,
                    horizon,
                    except: &except,
                    max_lanes,
                    heads_per_lane,
                    max_heads,
                    user: self.batcher.user(),
                };
                let loaded = self.store.due(query).map(Input::Loaded);
                self.feed(now, loaded);
            }
            Action::LoadLane { lane, after, limit } => {
                let rows = self.store.heads(lane, after, limit);
                let loaded = rows.map(|rows| LaneRows { lane, after, complete: rows.len() < limit, rows });
                self.feed(now, loaded.map(Input::LaneLoaded));
            }
            Action::Seal { lane, session_id } => self.seal_lane(now, lane, &session_id),
            Action::EnsureParent { key, row } => {
                let parent = self.ensure_parent(now, &key, row);
                self.batcher.handle(now, Input::ParentEnsured { key, parent });
            }
            Action::Refresh => perform(Effect::Refresh),
            Action::RetryCommit => {
                self.commit(now, perform);
                self.receipts.check_all(&*self.store);
            }
            Action::Notice(notice) => log(&notice),
            Action::Commit(change) => self.change(change),
        }
    }

    /// Whether the disk shows what `action` reads as it was decided.
    fn may_load(&mut self, action: &Action, now: Now, perform: Perform<'_>) -> bool {
        match action {
            // Rows after those that were acknowledged.
            Action::LoadLane { after: Some(_), .. }
                if self.uncommitted.is_of_answers() && self.batcher.trusts_outbox() =>
            {
                true
            }
            _ => self.is_committed(now, perform),
        }
    }

    /// Commits, and says whether the disk now shows everything that was decided.
    fn is_committed(&mut self, now: Now, perform: Perform<'_>) -> bool {
        self.commit(now, perform);
        self.uncommitted.is_empty() && self.batcher.trusts_outbox()
    }

    /// Adds a decision of the batcher to the next commit.
    pub(super) fn change(&mut self, change: Change) {
        if let Change::Park { row, reason, .. } = &change {
            tracing::warn!(row = row.id.0, code = reason.code, detail = reason.detail, "row parked");
            match self.parkable.iter().find(|sent| sent.row == row.id) {
                Some(sent) => {
                    let report = sent.report(Delivery::Parked { code: reason.code.clone() });
                    self.uncommitted.reports.push(report);
                }
                None => self.uncommitted.parks_parent = true,
            }
        }
        self.uncommitted.change(change);
    }

    /// Builds the body from the stored payloads. If a row has changed meanwhile, none is sent, so that none is overtaken.
    fn send(&mut self, now: Now, batch: Batch, perform: Perform<'_>) {
        let mut held_back = match self.refused_secrets(&batch) {
            Ok(lanes) => lanes,
            Err(error) => return self.unread(now, batch.id, error),
        };
        if !held_back.is_empty() {
            return self.batcher.handle(now, Input::HeldBack { batch: batch.id, lanes: held_back });
        }
        let parts = if batch.is_probe { &[][..] } else { &batch.parts[..] };
        let wanted: Vec<_> = parts.iter().flat_map(|part| &part.rows).copied().collect();
        let keys: Vec<_> = wanted.iter().map(|row| row.key).collect();
        let bytes: usize = wanted.iter().map(|row| row.bytes as usize + 1).sum();
        let mut body = MessageBatch::with_capacity(bytes + 2);
        let mut message_ids = Vec::with_capacity(keys.len());
        let sessions = parts.iter().filter_map(|part| part.key.session_id());
        let resealing = self.sealer.resealing(batch.user.as_ref(), sessions);
        let epoch = resealing.epoch();
        let read = self.store.payloads(&keys, &mut |key, message_id, payload| {
            // If the server has a row that may replace nothing, it is this text.
            let is_fixed = |row: &RowHead| row.key == key && row.overwrite == Overwrite::Nothing;
            let resealed = match resealing.resealed(message_id, payload, &mut *self.random) {
                Resealed::AsStored => None,
                _ if wanted.iter().any(is_fixed) => None,
                Resealed::Again(payload) => Some(payload),
                Resealed::Wait(reason) => return hold_back(&mut held_back, &batch, key, reason),
            };
            let payload = resealed.as_deref().unwrap_or(payload);
            body.push(payload);
            message_ids.push((MessageId::from(message_id), nonce_of(payload).unwrap_or_default().into()));
        });
        if let Err(error) = read {
            return self.unread(now, batch.id, error);
        }
        if !held_back.is_empty() {
            return self.batcher.handle(now, Input::HeldBack { batch: batch.id, lanes: held_back });
        }
        if message_ids.len() != keys.len() {
            return self.batcher.handle(now, Input::Vanished { batch: batch.id });
        }
        let parts = parts.iter().filter_map(|part| Some((part, part.key.session_id()?)));
        let sessions = parts.flat_map(|(part, session_id)| part.rows.iter().map(|_| session_id.clone()));
        let (mut sent, mut messages) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for ((session_id, row), (message_id, nonce)) in sessions.zip(&wanted).zip(message_ids) {
            let (row, sequence_number, overwrite) = (row.key.id, row.sequence_number, row.overwrite);
            let place = MessagePlace { session_id: session_id.clone(), sequence_number };
            let message = SentMessage { place, message_id: message_id.clone(), nonce, overwrite };
            sent.push(Sent { row, session_id, sequence_number, message_id, digest: message.digest() });
            messages.push(message);
        }
        self.sent.insert(batch.id, sent);
        let insert = body.into_upsert();
        self.status.bytes_sent += insert.body.len() as u64;
        perform(Effect::Send { batch: batch.id, user: batch.user, insert, messages, epoch });
    }

    /// A request is not sent, because the outbox cannot be read.
    fn unread(&mut self, now: Now, batch: BatchId, error: OutboxError) {
        self.batcher.handle(now, Input::Vanished { batch });
        self.outbox_unreadable(now, error);
    }

    /// Passes the control row to its sender. One that was replaced since is loaded again.
    fn send_control(&mut self, now: Now, batch: &Batch, perform: Perform<'_>) {
        let Some((key, row)) = batch.control_row() else { return };
        let mut heads = batch.parts.iter().flat_map(|part| &part.rows);
        let may_be_older = heads.any(|head| head.overwrite == Overwrite::Nothing);
        match self.payload(row).and_then(|payload| Ok((payload, self.presence(key)?))) {
            Ok((Some(mut payload), mut presence)) => {
                match (key, presence) {
                    // An older row may only ask whether the session is still there.
                    (LaneKey::Session(session), Presence::WasThere | Presence::WasThereUncompared)
                        if may_be_older =>
                    {
                        payload = ControlRow::LookUp { session_id: session.clone() }.to_row(now.wall).payload;
                    }
                    _ if may_be_older => presence = Presence::MayBeNewer,
                    _ => {}
                }
                perform(Effect::SendControl {
                    batch: batch.id,
                    user: batch.user.clone(),
                    key: key.clone(),
                    payload,
                    presence,
                });
            }
            Ok((None, _)) => self.batcher.handle(now, Input::Vanished { batch: batch.id }),
            Err(error) => self.unread(now, batch.id, error),
        }
    }

    /// Whether the server had the session of a session's row once.
    fn presence(&self, lane: &LaneKey) -> Result<Presence, OutboxError> {
        match lane {
            LaneKey::Session(session) if self.store.session_was_sent(session)? => {
                let is_compared = self.secret_to_compare(session)?.is_none();
                Ok(if is_compared { Presence::WasThere } else { Presence::WasThereUncompared })
            }
            _ => Ok(Presence::NotSentYet),
        }
    }

    fn payload(&self, row: RowKey) -> Result<Option<Vec<u8>>, OutboxError> {
        let mut found = None;
        self.store.payloads(&[row], &mut |_, _, payload| found = Some(payload.to_vec()))?;
        Ok(found)
    }

    fn feed(&mut self, now: Now, loaded: Result<Input, OutboxError>) {
        match loaded {
            Ok(input) => {
                self.outbox_error = None;
                self.batcher.handle(now, input);
            }
            Err(error) => self.outbox_unreadable(now, error),
        }
    }

    pub(super) fn outbox_unreadable(&mut self, now: Now, error: OutboxError) {
        let reason = reason_of(&error);
        tracing::error!(code = reason.code, "the outbox cannot be read: {error}");
        self.outbox_error = Some(std::sync::Arc::new(error));
        self.batcher.handle(now, Input::StoreFailed(reason));
    }

    /// Seals a lane's rows that are under the database key, if its session's key is known now.
    fn seal_lane(&mut self, now: Now, lane: LaneId, session_id: &SessionId) {
        let result = match self.sealer.sealing_of_waiting(self.batcher.user(), session_id) {
            Err(NoKey::Wait(reason)) => Ok(SealResult::Waiting(reason)),
            Err(other_user) => self.unsealable(lane, other_user.into_reason()),
            Ok(sealing) => self.seal_rows(lane, &sealing),
        };
        match result {
            Ok(result) => self.batcher.handle(now, Input::Sealed { lane, result }),
            Err(error) => self.outbox_unreadable(now, error),
        }
    }

    /// The lane's first row can never be sealed.
    fn unsealable(&mut self, lane: LaneId, reason: Reason) -> Result<SealResult, OutboxError> {
        let first = self.store.rows_under_database_key(lane, 1)?.pop();
        let Some((row, stored)) = first else { return Ok(SealResult::Sealed) };
        self.parkable.extend(Sent::unsealed(row.id, &stored));
        Ok(SealResult::Unsealable(row, reason))
    }

    fn seal_rows(&mut self, lane: LaneId, sealing: &Sealing) -> Result<SealResult, OutboxError> {
        for _ in 0..SEALED_AT_ONCE / SEALED_PER_COMMIT {
            let rows = self.store.rows_under_database_key(lane, SEALED_PER_COMMIT)?;
            let mut changes = Vec::with_capacity(rows.len());
            for (row, stored) in &rows {
                match self.sealer.reseal(sealing, stored, &mut *self.random) {
                    Ok(payload) => changes.push(Change::Reseal { row: *row, payload }),
                    // Those before it are sealed first, so that the bad one is the lane's first in its turn.
                    Err(_) if !changes.is_empty() => break,
                    Err(ResealError::Never(reason)) => {
                        self.parkable.extend(Sent::unsealed(row.id, stored));
                        return Ok(SealResult::Unsealable(*row, reason));
                    }
                    // A missing or wrong database key may be put right: no row is parked for it.
                    Err(ResealError::Wait(reason)) => return Ok(SealResult::Waiting(reason)),
                }
            }
            let all = changes.len();
            self.store.commit(&changes, &[])?;
            if all < SEALED_PER_COMMIT {
                break;
            }
        }
        Ok(SealResult::Sealed)
    }

    /// Sends the rows that this one depends on, as far as the daemon's store knows them.
    fn ensure_parent(&mut self, now: Now, key: &LaneKey, row: RowKey) -> Parent {
        match self.parents(key, row) {
            Ok(parents) if parents.is_empty() => {
                tracing::warn!(%key, "neither the server nor the daemon's store knows what this row refers to");
                Parent::Unknown
            }
            Ok(parents) => {
                for parent in parents {
                    self.uncommitted.change(Change::Ensure(
                        parent.to_row(now.wall).for_user(self.batcher.user().cloned()),
                    ));
                }
                Parent::Ensured
            }
            Err(CannotSay::Store(error)) => {
                tracing::warn!(%key, "the session store cannot say what this row refers to: {error}");
                Parent::CannotSay(SyncError::from(error).to_reason())
            }
            Err(CannotSay::Outbox(error)) => {
                let reason = reason_of(&error);
                self.outbox_unreadable(now, error);
                Parent::CannotSay(reason)
            }
        }
    }

    /// The rows on which this one depends, as the daemon's store knows them: grandparents first.
    fn parents(&self, key: &LaneKey, row: RowKey) -> Result<Vec<ControlRow>, CannotSay> {
        match key {
            LaneKey::Repository(_) => Ok(Vec::new()),
            LaneKey::Session(_) => {
                let payload = self.payload(row)?.unwrap_or_default();
                match ControlRow::parse(&payload) {
                    Some(ControlRow::Session { repository_id, .. }) => self.known_repository(repository_id),
                    _ => Ok(Vec::new()),
                }
            }
            // What was there once is not written again by itself: the server is asked whether it is still there.
            LaneKey::Secret(session) | LaneKey::Messages(session)
                if self.store.session_was_sent(session)? =>
            {
                Ok(vec![ControlRow::LookUp { session_id: session.clone() }])
            }
            LaneKey::Secret(session) | LaneKey::Messages(session) => {
                let Some(session) = self.session_store.session(session)? else { return Ok(Vec::new()) };
                let mut parents = self.known_repository(session.repository_id.clone())?;
                parents.push(ControlRow::of_session(&session));
                Ok(parents)
            }
        }
    }

    fn known_repository(&self, repository_id: RepositoryId) -> Result<Vec<ControlRow>, CannotSay> {
        let known = self.session_store.repository(&repository_id)?;
        Ok(known.map(|_| ControlRow::Repository { repository_id }).into_iter().collect())
    }
}

/// The lane of this row waits for `reason`.
fn hold_back(lanes: &mut Vec<(LaneId, Reason)>, batch: &Batch, row: RowKey, reason: Reason) {
    let part = batch.parts.iter().find(|part| part.rows.iter().any(|head| head.key == row));
    if let Some(part) = part.filter(|part| lanes.iter().all(|(lane, _)| *lane != part.lane)) {
        lanes.push((part.lane, reason));
    }
}

/// Why it is not known what a row refers to.
enum CannotSay {
    Store(StoreError),
    Outbox(OutboxError),
}

impl From<StoreError> for CannotSay {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OutboxError> for CannotSay {
    fn from(error: OutboxError) -> Self {
        Self::Outbox(error)
    }
}

fn log(notice: &Notice) {
    match notice {
        // Not worth a line for an operator: it happens every hour, and at every start.
        Notice::Paused(PauseReason::Refreshing) => tracing::debug!("sending waits for a fresh token"),
        Notice::Resumed(PauseReason::Refreshing) => tracing::debug!("sending resumed with a token"),
        Notice::Paused(reason) => tracing::warn!(?reason, "sending is paused"),
        Notice::Resumed(reason) => tracing::info!(?reason, "sending resumed"),
        Notice::Split { rows, code } => {
            tracing::info!(rows, code, "batch refused, looking for the row at fault")
        }
        Notice::DuplicateInBatch => tracing::error!("the server saw one key twice in a batch"),
        Notice::Delayed { delay, code } => tracing::info!(?delay, code, "will try again"),
    }
}
