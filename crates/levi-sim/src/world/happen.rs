//! What the plan does to the world.

use std::time::Duration;

use levi_core::QUEUE_OVERHEAD;
use levi_core::engine::{Event, Intake};
use levi_outbox::{Change, NewTask};
use levi_testkit::outbox::OutboxFailure;
use levi_types::{MessageSyncRequest, Monotonic};
use tokio::sync::oneshot;

use super::{Coming, Gate, WaitingForDisk, World};
use crate::content::{Content, session_id};
use crate::disk::Death;
use crate::plan::{DiskFault, Happening, Moment, RefreshEnd, ServerFault};

impl World {
    pub(super) fn planned(&mut self, index: usize) {
        let Some(planned) = self.plan.events.get(index) else { return };
        let what = planned.what;
        match what {
            Happening::Enqueue { .. } => self.enqueue(index, what),
            _ => {
                self.note(|| format!("world: {what:?}"));
                self.happen(what);
            }
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Enqueue { .. } => {}
            Happening::Server(fault, lasts) => self.server_fails(fault, lasts),
            Happening::TokenExpires => self.token_expires(),
            Happening::Refresh(end) => self.refresh_end = end,
            Happening::SignOut => self.sign_out(),
            Happening::SignIn => self.sign_in(),
            Happening::Disk(fault, lasts) => self.disk_fails(fault, lasts),
            Happening::Crash(moment) => self.dies(moment),
            Happening::Stop { within } => self.stop(within),
            Happening::JumpWall(millis) => self.jump_wall(millis),
            Happening::SessionAppears(session) => self.server.session_appears(session),
            Happening::SyncSession(session) => self.sync_session(session),
            Happening::KeyArrives { session, told } => self.key_arrives(session, told),
            Happening::NetworkChanged => {
                self.truth(|truth| truth.void_delays());
                self.silence = Duration::ZERO;
                if let Gate::Later(_) = self.gate {
                    self.gate = Gate::Later(Monotonic::default());
                }
                self.tell(Event::NetworkChanged);
            }
            Happening::WrittenElsewhere => self.tell(Event::WrittenElsewhere),
            Happening::DaemonStore(lasts) => self.daemon_store_fails(lasts),
            Happening::RetryParked { told } => self.retry_parked(told),
            Happening::Discard(session) => self.discard(session),
        }
    }

    /// An event for the engine, if there is one.
    pub(super) fn tell(&mut self, event: Event) {
        if self.engine.is_some() {
            self.events.push(event);
        }
    }

    fn enqueue(&mut self, index: usize, what: Happening) {
        let Happening::Enqueue { session, sequence_number, nature, size, durable } = what else { return };
        // Without a Levi that takes messages, the daemon waits for one.
        if self.engine.is_none() || self.stop_at.is_some() {
            return self.schedule_at(self.now + Duration::from_secs(1), 0, Coming::Again(index));
        }
        let version = self.versions.entry((session, sequence_number)).or_default();
        *version += 1;
        let content = Content { version: *version, nature };
        let request = MessageSyncRequest {
            message_id: format!("m{session}-{sequence_number}").into(),
            session_id: session_id(session),
            sequence_number,
            content: content.text(size),
        };
        let cost = u32::try_from(request.content.len() + QUEUE_OVERHEAD).unwrap_or(u32::MAX);
        let Ok(permit) = std::sync::Arc::clone(&self.queue_room).try_acquire_many_owned(cost) else {
            self.note(|| format!("daemon: s{session}/{sequence_number} finds the queue full"));
            return self.schedule_at(self.now + Duration::from_secs(2), 0, Coming::Again(index));
        };
        self.note(|| {
            format!(
                "daemon: s{session}/{sequence_number} v{} {nature:?}, durable: {durable}",
                content.version
            )
        });
        let message = match self.sealer.hand_in(request, self.clocks().wall, &mut self.nonces) {
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
        self.events.push(Event::Enqueue(Intake { message, permit: Some(permit), reply }));
    }

    fn server_fails(&mut self, fault: ServerFault, lasts: Duration) {
        if !self.healed {
            self.server.misbehave(fault, self.now + lasts);
        }
    }

    fn disk_fails(&mut self, fault: DiskFault, lasts: Duration) {
        let nth = self.disk_fault.map_or(1, |(_, nth)| nth + 1);
        self.disk_fault = Some((fault, nth));
        self.apply_disk_fault();
        self.schedule_at(self.now + lasts, 0, Coming::DiskMends(nth));
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
        // A commit that was held up carries waits that were chosen when it was made.
        if self.disk_fault.is_some() {
            self.truth(|truth| truth.delays_void = true);
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

    fn jump_wall(&mut self, millis: i64) {
        self.jumped = true;
        self.wall_offset = self.wall_offset.saturating_add(millis);
        self.truth(|truth| {
            truth.void_delays();
            truth.delays_void = true;
        });
        self.publish_time();
    }

    fn sync_session(&mut self, session: usize) {
        let Some(setup) = self.plan.setup.sessions.get(session) else { return };
        let at = self.clocks().wall;
        let repository = format!("repository/r{}", setup.repository);
        let row = format!("session/s{session}");
        let task = |name: &str, parent: Option<&str>, holds| NewTask {
            name: name.to_owned(),
            parent: parent.map(str::to_owned),
            holds,
            payload: name.as_bytes().to_vec(),
            at,
        };
        let tasks = vec![
            task(&repository, None, None),
            task(&row, Some(&repository), Some(session_id(session))),
            task(&format!("secret/s{session}"), Some(&row), None),
        ];
        // Nobody waits for the answer: the truth sees the commit.
        let (reply, _) = oneshot::channel();
        self.tell(Event::PutTasks { tasks, reply });
    }

    fn key_arrives(&mut self, session: usize, told: bool) {
        self.daemon.key_arrives(session);
        if told {
            self.tell(Event::KeyArrived(session_id(session)));
        }
    }

    fn daemon_store_fails(&mut self, lasts: Duration) {
        if self.healed {
            return;
        }
        self.daemon_silence += 1;
        self.daemon.set_silent(true);
        let nth = self.daemon_silence;
        self.schedule_at(self.now + lasts, 0, Coming::DaemonStoreMends(nth));
    }

    fn retry_parked(&mut self, told: bool) {
        let at = self.clocks().wall;
        let parked = self.truth(|truth| {
            let sessions = truth.sessions.iter();
            sessions.flat_map(|session| session.parked.values().map(|parked| parked.row)).collect::<Vec<_>>()
        });
        let changes: Vec<_> = parked.into_iter().map(|row| Change::Unpark { row, at }).collect();
        self.write_elsewhere(&changes, told);
    }

    fn discard(&mut self, session: usize) {
        let first = self.truth(|truth| {
            let session = truth.sessions.get(session)?;
            session.pending.first_key_value().map(|(_, row)| *row)
        });
        if let Some(row) = first {
            self.write_elsewhere(&[Change::Discard { row }], true);
        }
    }

    fn write_elsewhere(&mut self, changes: &[Change], told: bool) {
        if changes.is_empty() {
            return;
        }
        self.truth(|truth| {
            for session in &mut truth.sessions {
                session.meddled = true;
            }
        });
        self.disk.write_elsewhere(changes);
        self.untold |= !told;
        if told {
            self.tell(Event::WrittenElsewhere);
        }
    }

    /// Everything is mended. What a person must do is done, what Levi can do by itself is left to Levi.
    pub(super) fn heal(&mut self) {
        self.note(|| "world: everything is mended".to_owned());
        self.healed = true;
        self.mended_at = self.now;
        self.server.heal(&self.plan.setup.sessions);
        self.disk_fault = None;
        self.faults.heal();
        self.daemon.set_silent(false);
        for session in 0..self.plan.setup.sessions.len() {
            // Half of the keys come without a word: Levi must look again by itself.
            let told = self.random.chance(50);
            self.key_arrives(session, told);
        }
        if self.refresh_end == RefreshEnd::Refused {
            self.needs_person |= self.token != Some(self.server.token);
        }
        if self.untold {
            self.tell(Event::WrittenElsewhere);
        }
        self.refresh_end = RefreshEnd::Fresh;
        if self.needs_person {
            self.sign_in();
        }
    }
}
