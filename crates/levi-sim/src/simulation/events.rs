//! What the plan does to the simulation.

use std::time::Duration;

use levi_core::QUEUE_OVERHEAD;
use levi_core::batcher::Input;
use levi_core::engine::{ControlIntake, Event, Intake, Message};
use levi_core::rows_to_restore;
use levi_outbox::{Change, NewRow, Overwrite};
use levi_testkit::outbox::OutboxFailure;
use levi_types::{CodingSession, MessageSyncRequest, Monotonic};
use tokio::sync::oneshot;

use super::{
    FIRST_ATTEMPTS_WITHIN, Occurrence, Simulation, Text, TokenEvent, WaitingForDisk, WaitingForStep,
};
use crate::content::{Content, MessageKind, session_id};
use crate::disk::Death;
use crate::plan::{DiskFault, Moment, ServerFault, SessionSetup, SessionState, SignInFault, SimEvent};

/// What the daemon asks session sync for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Expects the session's row on the server, unless the session was deleted there.
    There,
    /// Expects it to be written anew if the session was deleted there.
    Back,
}

impl Simulation {
    pub(super) fn planned(&mut self, index: usize) {
        let Some(planned) = self.plan.events.get(index) else { return };
        let what = planned.what;
        match what {
            SimEvent::Enqueue { .. } => self.enqueue(index, what),
            _ => {
                self.note(|| format!("event: {what:?}"));
                self.apply(what);
            }
        }
    }

    fn apply(&mut self, what: SimEvent) {
        match what {
            SimEvent::Enqueue { .. } => {}
            SimEvent::Server(fault, lasts) => self.server_fails(fault, lasts),
            SimEvent::TokenExpires => self.token_expires(),
            SimEvent::Refresh(end) => self.sign_in.end = end,
            SimEvent::SignInServer(fault, lasts) => self.sign_in_server_fails(fault, lasts),
            SimEvent::Skew(seconds, lasts) => self.clocks_differ(seconds, lasts),
            SimEvent::Sleep(seconds) => self.sleep(seconds),
            SimEvent::SignOut => self.sign_out(),
            SimEvent::SignIn => self.sign_in(),
            SimEvent::OtherUserSignsIn => self.other_user_signs_in(),
            SimEvent::Disk(fault, lasts) => self.disk_fails(fault, lasts),
            SimEvent::Crash(moment) => self.dies(moment),
            SimEvent::Stop { within } => self.stop(within),
            SimEvent::JumpWall(millis) => self.jump_wall(millis),
            SimEvent::SessionAppears(session) => self.session_appears(session),
            SimEvent::SessionDeleted(session) => self.session_deleted(session),
            SimEvent::SessionRestored(session) => self.restore_session(session),
            SimEvent::WrittenByAnother(session) => self.written_by_another(session),
            SimEvent::SyncSession(session) => self.sync_session(session, Wanted::There),
            SimEvent::KeyArrives { session, notified } => self.key_arrives(session, notified),
            SimEvent::NetworkChanged => {
                self.model(|model| model.void_delays());
                self.tell_of_token(Input::NetworkChanged, TokenEvent::NetworkChanged);
            }
            SimEvent::WrittenElsewhere => {
                self.model(|model| model.all_may_be_early());
                self.tell(Event::WrittenElsewhere);
            }
            SimEvent::DaemonStore(lasts) => self.daemon_store_fails(lasts),
            SimEvent::RetryParked { notified } => self.retry_parked(notified),
            SimEvent::Discard(session) => self.discard(session),
            SimEvent::EditElsewhere(session) => self.edit_elsewhere(session),
        }
    }

    /// An event for the engine, if there is one.
    pub(super) fn tell(&mut self, event: Event) {
        if self.engine.is_some() {
            self.events.push(event);
        }
    }

    /// An edit of the message or, for every third event, the text that it has already.
    fn next_text(&mut self, index: usize, message: (usize, i64), new: Text) -> Text {
        let again = (self.plan.seed.wrapping_add(index as u64)).is_multiple_of(3);
        if let Some(same) = self.texts.get(&message).filter(|_| again) {
            self.repeated.insert(message);
            return *same;
        }
        let version = self.versions.entry(message).or_default();
        *version += 1;
        let content = Content { version: *version, ..new.content };
        let text = Text { content, ..new };
        self.texts.insert(message, text);
        text
    }

    fn enqueue(&mut self, index: usize, what: SimEvent) {
        let SimEvent::Enqueue { session, sequence_number, kind, size, durable } = what else { return };
        // Without a Levi that takes messages, the daemon waits for one.
        if self.engine.is_none() || self.stop_at.is_some() {
            return self.schedule_at(self.now + Duration::from_secs(1), 0, Occurrence::Again(index));
        }
        // Its agent pauses mostly while somebody else is signed in.
        let is_others = self.user_of(session) != self.user;
        let store_answers = self.model(|model| !model.daemon_silent);
        if is_others && (!store_answers || self.random.chance(80)) {
            return self.schedule_at(self.now + Duration::from_secs(60), 0, Occurrence::Again(index));
        }
        let Text { content, size } = self.next_text(
            index,
            (session, sequence_number),
            Text { content: Content { version: 0, kind }, size },
        );
        let request = MessageSyncRequest {
            message_id: format!("m{session}-{sequence_number}").into(),
            session_id: session_id(session),
            sequence_number,
            content: content.text(size),
        };
        let cost = u32::try_from(request.content.len() + QUEUE_OVERHEAD).unwrap_or(u32::MAX);
        let Ok(permit) = std::sync::Arc::clone(&self.queue_room).try_acquire_many_owned(cost) else {
            self.note(|| format!("daemon: s{session}/{sequence_number} finds the queue full"));
            return self.schedule_at(self.now + Duration::from_secs(2), 0, Occurrence::Again(index));
        };
        self.note(|| {
            format!("daemon: s{session}/{sequence_number} v{} {kind:?}, durable: {durable}", content.version)
        });
        let message =
            match self.sealer.prepare(request, Overwrite::OwnOnly, self.clocks().wall, &mut self.nonces) {
                Ok(message) => message,
                Err(error) => return self.refused(index, session, sequence_number, content.version, &error),
            };
        let (reply, receiver) = oneshot::channel();
        if durable {
            let waiting =
                WaitingForDisk { event: index, session, place: sequence_number, content, reply: receiver };
            self.waiting_for_disk.push(waiting);
        }
        let reply = durable.then_some(reply);
        self.events.push(Event::Enqueue(Intake {
            message,
            permit: Some(permit),
            reply,
            overwrite: self.plan.overwrite(sequence_number),
        }));
    }

    fn server_fails(&mut self, fault: ServerFault, lasts: Duration) {
        if !self.healed {
            self.server.misbehave(fault, self.now + lasts);
        }
    }

    fn sign_in_server_fails(&mut self, fault: SignInFault, lasts: Duration) {
        if !self.healed {
            self.sign_in.stumble(fault, self.now + lasts);
        }
    }

    fn clocks_differ(&mut self, seconds: u64, lasts: Duration) {
        if !self.healed {
            self.server.clock_is_behind(Duration::from_secs(seconds), self.now + lasts);
        }
    }

    fn disk_fails(&mut self, fault: DiskFault, lasts: Duration) {
        let nth = self.disk_fault.map_or(1, |(_, nth)| nth + 1);
        self.disk_fault = Some((fault, nth));
        self.apply_disk_fault();
        self.schedule_at(self.now + lasts, 0, Occurrence::DiskMends(nth));
    }

    pub(super) fn apply_disk_fault(&mut self) {
        self.faults.heal();
        match self.disk_fault {
            Some((DiskFault::Writes(failure), _)) => self.faults.refuse_commits(failure),
            Some((DiskFault::Everything(failure), _)) => self.faults.break_down(failure),
            Some((DiskFault::FewWrites(times), _)) => self.faults.fail_commits(times, OutboxFailure::Locked),
            Some((DiskFault::FewReads(times), _)) => self.faults.fail_reads(times, OutboxFailure::Locked),
            None => {}
        }
        // A commit that was held up contains due times that were chosen when it was made.
        if self.disk_fault.is_some() {
            self.model(|model| model.delays_void = true);
        }
    }

    pub(super) fn disk_mends(&mut self, nth: u64) {
        if self.disk_fault.is_some_and(|(_, current)| current == nth) {
            self.disk_fault = None;
            self.faults.heal();
        }
    }

    fn dies(&mut self, moment: Moment) {
        match moment {
            Moment::Now => self.crash("between turns"),
            Moment::BeforeCommit(after) => self.disk.die(Death { after, answered: true }),
            Moment::AfterCommit(after) => self.disk.die(Death { after, answered: false }),
            Moment::BeforeEffects => self.die_before_effects = true,
        }
    }

    fn stop(&mut self, within: Duration) {
        if self.engine.is_some() && self.stop_at.is_none() {
            self.stop_at = Some(Monotonic::from_start(self.now).after(within));
            self.tell(Event::Stop { within });
        }
    }

    fn session_appears(&mut self, session: usize) {
        self.server.session_appears(session);
        self.model(|model| {
            model.sessions.get_mut(session).into_iter().for_each(|session| session.is_missing = false);
        });
    }

    /// Another device continues the session: it writes the number that this one wants to write
    /// next.
    fn written_by_another(&mut self, session: usize) {
        let next = self.model(|model| {
            let session = model.sessions.get(session)?;
            let waiting = session.pending.keys().find(|place| session.shown_once(**place).is_none()).copied();
            let last = session.shown.keys().next_back().copied();
            waiting.or(last.map(|last| last + 1))
        });
        if let Some(number) = next
            && !self.healed
        {
            self.server.tables.written_by_another(session, number);
        }
    }

    /// The other device deleted the messages that the server had.
    fn session_deleted(&mut self, session: usize) {
        if !self.server.tables.session(session).known || self.healed {
            return;
        }
        self.server.session_deleted(session);
        self.model(|model| model.session_deleted(session));
    }

    pub(super) fn restore_session(&mut self, session: usize) {
        // Like Levi's own call, this needs a daemon's store that knows the session.
        let known = |setup: &SessionSetup| setup.state != SessionState::Foreign;
        if self.plan.setup.sessions.get(session).is_some_and(known) {
            self.sync_session(session, Wanted::Back);
        }
    }

    fn sync_session(&mut self, session: usize, wanted: Wanted) {
        let Some(setup) = self.plan.setup.sessions.get(session) else { return };
        // Without a Levi that takes rows, the daemon gets an error; so it does for a session of
        // somebody else.
        if self.user_of(session) != self.user || self.engine.is_none() || self.stop_at.is_some() {
            return;
        }
        self.model(|model| model.session_may_be_early(session));
        let at = self.clocks().wall;
        let record = CodingSession::new(session_id(session), format!("r{}", setup.repository_number()));
        let rows = rows_to_restore(&record, at).into_iter().map(|row| {
            let (reply, tried) = oneshot::channel();
            self.waiting_for_steps.push(WaitingForStep { lane: row.lane.clone(), since: self.now, tried });
            let restores_session = wanted == Wanted::Back;
            ControlIntake { row: NewRow { restores_session, ..row.for_user(self.cache.user()) }, reply }
        });
        let rows = rows.collect();
        self.tell(Event::EnqueueControl { rows, within: FIRST_ATTEMPTS_WITHIN });
    }

    pub(super) fn key_arrives(&mut self, session: usize, notified: bool) {
        self.daemon.key_arrives(session);
        self.model(|model| model.session_may_be_early(session));
        if notified {
            self.tell(Event::KeyArrived(session_id(session)));
        }
    }

    fn daemon_store_fails(&mut self, lasts: Duration) {
        if self.healed {
            return;
        }
        self.daemon_silence += 1;
        self.model(|model| model.all_may_be_early());
        self.daemon.set_silent(true);
        let nth = self.daemon_silence;
        self.schedule_at(self.now + lasts, 0, Occurrence::DaemonStoreMends(nth));
    }

    fn retry_parked(&mut self, notified: bool) {
        let at = self.clocks().wall;
        let parked = self.model(|model| {
            let sessions = model.sessions.iter();
            let messages = sessions.flat_map(|session| session.parked.values().map(|parked| parked.row));
            let control = model.control.values().filter(|row| row.parked).filter_map(|row| Some(row.key?.id));
            messages.chain(control).collect::<Vec<_>>()
        });
        let changes: Vec<_> = parked.into_iter().map(|row| Change::Unpark { row, at }).collect();
        self.write_elsewhere(&changes, &[], notified);
    }

    fn discard(&mut self, session: usize) {
        let first = self.model(|model| {
            let session = model.sessions.get(session)?;
            session.pending.first_key_value().map(|(_, row)| *row)
        });
        if let Some(row) = first {
            self.write_elsewhere(&[Change::Discard { row }], &[], true);
        }
    }

    /// The row that a batch was planned with is then no longer what the outbox has.
    fn edit_elsewhere(&mut self, session: usize) {
        let first = self.model(|model| {
            let session = model.sessions.get(session)?;
            let number = *session.pending.first_key_value()?.0;
            Some((number, session.latest.get(&number).copied()))
        });
        let Some((sequence_number, stored)) = first else { return };
        let version = self.versions.entry((session, sequence_number)).or_default();
        // A text of the daemon's own that is not on disk yet would be stored later, over the newer
        // one.
        if stored != Some(*version) {
            return;
        }
        *version += 1;
        let content = Content { version: *version, kind: MessageKind::Good };
        self.texts.insert((session, sequence_number), Text { content, size: 0 });
        let request = MessageSyncRequest {
            message_id: format!("m{session}-{sequence_number}").into(),
            session_id: session_id(session),
            sequence_number,
            content: content.text(0),
        };
        // Without the session's key the other process has nothing to write.
        let sealed = self.sealer.prepare(request, Overwrite::OwnOnly, self.clocks().wall, &mut self.nonces);
        if let Ok(Message::Sealed(row)) = sealed {
            self.model(|model| {
                let edited = model.sessions.get_mut(session).map(|session| &mut session.edited_externally);
                edited.map(|edited| edited.insert(sequence_number))
            });
            self.write_elsewhere(&[], &[row], true);
        }
    }

    fn write_elsewhere(&mut self, changes: &[Change], rows: &[NewRow], notified: bool) {
        if changes.is_empty() && rows.is_empty() {
            return;
        }
        self.model(|model| {
            for session in &mut model.sessions {
                session.modified_externally = true;
            }
            model.control_modified_externally();
            model.all_may_be_early();
        });
        self.disk.write_elsewhere(changes, rows);
        self.unnotified |= !notified;
        if notified {
            // The notification takes a moment, in which Levi does not know of the change.
            let delay = self.random.pick(&[0, 0, 2, 40]);
            self.schedule(Duration::from_millis(delay), Occurrence::Notified);
        }
    }
}
