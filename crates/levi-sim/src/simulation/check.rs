//! What must hold after each turn, after each start, and at the end.

use std::time::Duration;

use levi_core::batcher::PauseReason;
use levi_core::engine::{Engine, Event};
use levi_core::{EnqueueError, Status, Step, SyncedError};
use levi_outbox::{LaneKey, RowState};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{FIRST_ATTEMPTS_WITHIN, MOST_TURNS, Occurrence, Simulation, USERS, WaitingForServer};
use crate::content::{MessageKind, session_id, subject_number};
use crate::plan::{ScheduledEvent, ServerFault, SessionState, SimEvent};
use crate::server::{POISON, REJECT_ALL};

/// The most turns in a row without work before Levi counts as busy when it should be idle.
const MOST_IDLE_TURNS: u32 = 4;

impl Simulation {
    /// Callers that wait for the disk or the server get the true result. After a crash, only
    /// successes are checked.
    pub(super) fn replies(&mut self, dead: bool) {
        for mut waiting in std::mem::take(&mut self.waiting_for_disk) {
            let (session, place, version) = (waiting.session, waiting.place, waiting.content.version);
            match waiting.reply.try_recv() {
                Err(TryRecvError::Empty) => self.waiting_for_disk.push(waiting),
                Ok(Ok(receipt)) => {
                    self.note(|| format!("daemon: s{session}/{place} v{version} is on disk"));
                    let stored = self.was_stored(session, place, version);
                    self.expect(stored, "durable", || {
                        format!("s{session}/{place} v{version} is acknowledged and not on disk")
                    });
                    if !dead && self.random.chance(40) {
                        let (reply, receiver) = oneshot::channel();
                        self.events.push(Event::Watch { receipt, reply });
                        self.schedule(Duration::ZERO, Occurrence::Nothing);
                        let waiting = WaitingForServer { session, place, version, reply: receiver };
                        self.waiting_for_server.push(waiting);
                    }
                }
                _ if dead => self.waiting_for_disk.push(waiting),
                Ok(Err(error)) => self.refused(waiting.event, session, place, version, &error),
                Err(TryRecvError::Closed) => {
                    self.fail("durable", format!("nobody answers for s{session}/{place} v{version}"));
                }
            }
        }
        self.synced(dead);
        self.steps(dead);
    }

    /// Callers of session sync get the true result, and in time.
    fn steps(&mut self, dead: bool) {
        if dead {
            return;
        }
        for mut waiting in std::mem::take(&mut self.waiting_for_steps) {
            let lane = waiting.lane.clone();
            match waiting.tried.try_recv() {
                Err(TryRecvError::Empty) => {
                    let late = self.now > waiting.since + FIRST_ATTEMPTS_WITHIN + Duration::from_secs(1);
                    self.expect(!late, "receipts", || format!("the caller that sent {lane} waits for ever"));
                    self.waiting_for_steps.push(waiting);
                }
                Ok(Ok(Step::Done)) => {
                    // Another device may have deleted it before the answer came.
                    let session = subject_number(lane.subject());
                    let deleted = self
                        .model(|model| model.sessions.get(session).is_some_and(|session| session.is_deleted));
                    let has = self.server.has(&lane) || deleted;
                    self.expect(has, "receipts", || format!("{lane} is done, but the server lacks it"));
                }
                Ok(_) => {}
                Err(TryRecvError::Closed) => self.fail("receipts", format!("nobody completes {lane}")),
            }
        }
    }

    fn was_stored(&self, session: usize, place: i64, version: u32) -> bool {
        self.model(|model| {
            model.sessions.get(session).is_some_and(|session| session.stored.contains(&(place, version)))
        })
    }

    /// A refused message is not on disk, and the daemon tries again.
    pub(super) fn refused(
        &mut self,
        event: usize,
        session: usize,
        place: i64,
        version: u32,
        error: &EnqueueError,
    ) {
        self.note(|| format!("daemon: s{session}/{place} v{version} was refused: {error}"));
        // A text that is enqueued again may be on disk since the first time.
        let stored = !self.repeated.contains(&(session, place)) && self.was_stored(session, place, version);
        self.expect(!stored, "durable", || {
            format!("s{session}/{place} v{version} is refused ({error}) and yet on disk")
        });
        let pause = match error {
            EnqueueError::OutboxFull { .. } if self.healed => return,
            EnqueueError::NoKey { .. } => Duration::from_secs(100),
            EnqueueError::OtherUser { .. } => Duration::from_secs(60),
            _ => Duration::from_secs(3),
        };
        self.schedule_at(self.now + pause, 0, Occurrence::Again(event));
    }

    fn synced(&mut self, dead: bool) {
        if dead {
            return;
        }
        for mut waiting in std::mem::take(&mut self.waiting_for_server) {
            let (number, place, version) = (waiting.session, waiting.place, waiting.version);
            let lane = LaneKey::Messages(session_id(number));
            let held = self.model(|model| {
                model.is_held(&lane) || model.sessions.get(number).is_some_and(|session| session.ever_held)
            });
            let (shown, parked, discarded, deleted) = self.model(|model| {
                let Some(session) = model.sessions.get(number) else { return (0, false, false, false) };
                let shown = session.shown_once(place).map_or(0, |content| content.version);
                let discarded = session.ever_discarded.contains(&place);
                (shown, session.ever_parked.contains(&place), discarded, session.is_deleted)
            });
            let name = || format!("s{number}/{place} v{version}");
            match waiting.reply.try_recv() {
                Err(TryRecvError::Empty) => self.waiting_for_server.push(waiting),
                Ok(Ok(())) => self.expect(shown >= version, "receipts", || {
                    format!("{} is said to be synced, the server shows v{shown}", name())
                }),
                Ok(Err(SyncedError::Parked(reason))) => self.expect(parked, "receipts", || {
                    format!("{} is said to be parked ({}), it is not", name(), reason.code)
                }),
                Ok(Err(SyncedError::Discarded)) => self.expect(discarded, "receipts", || {
                    format!("{} is said to be discarded, it was not", name())
                }),
                Ok(Err(SyncedError::ParentParked(reason))) => self.expect(held, "receipts", || {
                    format!("{} is said to be held ({}), no parent of it is parked", name(), reason.code)
                }),
                Ok(Err(SyncedError::SessionGone(_))) => self.expect(held && deleted, "receipts", || {
                    format!("the session of {} is said to be deleted, it was not", name())
                }),
                Ok(Err(error)) => self.fail("receipts", format!("{}: {error}", name())),
                Err(TryRecvError::Closed) => self.fail("receipts", format!("nobody answers for {}", name())),
            }
        }
    }

    /// After a turn.
    pub(super) fn check_turn(&mut self, status: Option<Status>, had_events: bool) {
        let Some(engine) = &self.engine else { return };
        let timeout = engine.timeout();
        if let Some(status) = status {
            self.paused = status.paused;
            self.blamed |= matches!(&self.paused, Some(PauseReason::Project { code, .. }) if code == POISON);
        }
        let stopping = self.stop_at.is_some();
        let signed_out = self.paused == Some(PauseReason::SignedOut) && !stopping;
        self.expect(!(signed_out && timeout.is_some()), "idle", || {
            format!("signed out, and yet a timer is set to {timeout:?}")
        });
        // Somebody may have signed in during the turn: Levi learns of it in the next one.
        let told = self.token_events.is_empty();
        let may_send = told && self.token.is_some() && !self.sign_in.has_ended;
        self.expect(!(signed_out && may_send), "final words", || {
            "signed out with a token that nobody took away".to_owned()
        });
        let waits =
            matches!(self.paused, Some(PauseReason::SignInUnavailable | PauseReason::TokenNotAccepted));
        self.expect(!waits || timeout.is_some(), "final words", || {
            format!("{:?}, and no timer is set", self.paused)
        });
        if self.awake && !had_events {
            self.check_awake();
        }
        if self.healed && !had_events && self.has_nothing_to_do() {
            self.idle_turns += 1;
            let turns = self.idle_turns;
            self.expect(turns <= MOST_IDLE_TURNS, "idle", || format!("{turns} turns with nothing to do"));
        }
    }

    fn has_nothing_to_do(&self) -> bool {
        let stored = self.engine.as_ref().is_none_or(|engine| engine.not_stored() == 0);
        stored && self.model(|model| model.own_pending_rows() == 0 && model.live_control_rows().is_empty())
    }

    /// After a start, the disk has the rows that it should have, and no others.
    pub(super) fn check_disk(&mut self) {
        let Some(listed) = self.disk.read(|store| store.list(None, usize::MAX >> 1)) else {
            return self.fail("disk", "the outbox cannot be read".to_owned());
        };
        self.model(|model| {
            model.check_control_rows(&listed);
            let messages = listed.iter().filter(|row| !row.kind.is_control());
            let its: std::collections::BTreeSet<_> =
                messages.map(|row| (row.id, row.version, row.parked)).collect();
            let version = |id: &levi_outbox::RowId| model.rows.get(id).map_or(0, |row| row.version);
            let mut ours = std::collections::BTreeSet::new();
            for session in &model.sessions {
                ours.extend(session.pending.values().map(|id| (*id, version(id), false)));
                ours.extend(session.parked.values().map(|parked| (parked.row, version(&parked.row), true)));
            }
            let gone: Vec<_> = ours.difference(&its).map(|(id, ..)| model.name(*id)).collect();
            let new: Vec<_> = its.difference(&ours).map(|(id, ..)| model.name(*id)).collect();
            model.expect(gone.is_empty() && new.is_empty(), "disk", || {
                format!("the disk misses {gone:?} and has {new:?} too many")
            });
        });
        let problems = self.disk.problems();
        self.expect(problems.is_empty(), "disk", || problems.join("; "));
    }

    /// At the end everything good is on the server, and Levi sleeps.
    pub(super) fn check_end(&mut self) {
        if self.violation().is_some() {
            return;
        }
        let turns = self.counts.turns;
        self.expect(turns < MOST_TURNS, "liveness", || format!("{turns} turns and no end"));
        self.check_arrived();
        self.check_parked();
        self.check_disk();
        let timeout = self.engine.as_ref().and_then(Engine::timeout);
        self.expect(self.engine.is_some(), "liveness", || "Levi does not run".to_owned());
        let waits = self.blamed || self.blamed_before;
        self.expect(timeout.is_none() || waits, "idle", || {
            format!("at the end a timer is set to {timeout:?}")
        });
        let left = self.engine.as_ref().map_or(0, Engine::not_stored);
        self.expect(left == 0, "liveness", || format!("{left} accepted messages never reached the disk"));
        let (room, all) = (self.queue_room.available_permits(), self.plan.setup.config.max_queued_bytes);
        self.expect(room == all, "bounds", || {
            format!("{} bytes of the queue are never given back", all - room)
        });
        let (for_disk, for_server) = (self.waiting_for_disk.len(), self.waiting_for_server.len());
        let waiting = for_disk + for_server + self.waiting_for_steps.len();
        self.expect(waiting == 0 || waits, "receipts", || format!("{waiting} callers wait for ever"));
    }

    /// Everything good of the user who is signed in is on the server.
    pub(super) fn check_arrived(&mut self) {
        // If every remaining row is refused alike, Levi blames the project, and reports that.
        let blamed = self.blamed;
        self.model(|model| {
            // Rows that wait for a parked parent cannot show that the project accepts rows.
            let is_held = |number| model.is_held(&LaneKey::Messages(session_id(number)));
            let is_others = |number| model.is_of_another(&LaneKey::Messages(session_id(number)));
            let sendable = || {
                let all = model.sessions.iter().enumerate();
                all.filter(|(number, _)| !is_held(*number) && !is_others(*number))
            };
            let rows = || sendable().flat_map(|(_, session)| session.pending.values());
            let all_bad = || {
                rows().filter_map(|id| model.rows.get(id)).all(|row| row.content.kind != MessageKind::Good)
            };
            if blamed && all_bad() {
                return;
            }
            for number in 0..model.sessions.len() {
                let Some(session) = model.sessions.get(number) else { continue };
                // Rows that wait for a parked parent, or for another user, are right to wait.
                let lane = LaneKey::Messages(session_id(number));
                if model.is_held(&lane) || model.is_of_another(&lane) {
                    continue;
                }
                let stuck: Vec<_> = session.pending.keys().copied().collect();
                let wrong = session.latest.iter().find(|(place, version)| {
                    let aside = session.parked.contains_key(place) || session.discarded.contains(place);
                    !aside && session.shown.get(place).map(|content| content.version) != Some(**version)
                });
                let wrong =
                    wrong.map(|(place, version)| (*place, *version, session.shown.get(place).copied()));
                model.expect(stuck.is_empty(), "liveness", || format!("s{number}: {stuck:?} never arrive"));
                if let Some((place, version, shown)) = wrong {
                    model.fail(
                        "latest",
                        format!("s{number}/{place} v{version} was stored, the server shows {shown:?}"),
                    );
                }
            }
            let rows = model.live_control_rows();
            model.expect(rows.is_empty(), "liveness", || format!("{rows:?} are never sent"));
        });
    }

    /// Parked rows are at fault. If a whole project refused everything alike, the first few could
    /// not be notified from bad rows.
    fn check_parked(&mut self) {
        let waves = self
            .plan
            .events
            .iter()
            .filter(|planned| matches!(planned.what, SimEvent::Server(ServerFault::RejectAll, _)));
        let waves = waves.count();
        self.check_parked_control_rows(waves > 0);
        // Each user's rows are searched separately, and a search continues when its user signs in
        // again.
        let users = if self.has_two_users() { USERS } else { 1 };
        let chances = waves * users * (1 + self.counts.restarts as usize);
        let allowed = chances * (self.plan.setup.config.batch_size.max(8) - 1);
        self.model(|model| {
            let parked = model.sessions.iter().flat_map(|session| session.parked.values());
            let innocent: Vec<_> = parked.filter(|parked| !parked.deserved).collect();
            let codes = innocent.iter().all(|parked| parked.reason.code == REJECT_ALL);
            let names: Vec<_> = innocent.iter().map(|parked| model.name(parked.row)).collect();
            model.expect(codes && names.len() <= allowed, "parking", || {
                format!("{names:?} are parked, and nothing is wrong with them (allowed: {allowed})")
            });
        });
        let rows: Vec<_> = self.model(|model| {
            let parked = model.sessions.iter().flat_map(|session| session.parked.values());
            parked.map(|parked| parked.row).collect()
        });
        for row in rows {
            let listed = self.disk.read(|store| store.row_state(row));
            self.expect(matches!(listed, Some(RowState::Parked(_))), "parking", || {
                format!("a parked row is {listed:?} on disk")
            });
        }
    }

    fn has_own_rules(&self) -> bool {
        let is_rule =
            |planned: &ScheduledEvent| matches!(planned.what, SimEvent::Server(ServerFault::OwnRule(_), _));
        self.plan.events.iter().any(is_rule)
    }

    /// A control row is parked because of another device or user, or because the server refuses it
    /// permanently.
    fn check_parked_control_rows(&mut self, rejected_all: bool) {
        for (lane, code) in self.model(|model| model.parked_control_rows()) {
            let number = subject_number(lane.subject());
            let state = self.plan.setup.sessions.get(number).map(|setup| setup.state);
            let deleted = self.model(|model| model.sessions.get(number).is_some_and(|s| s.is_deleted));
            let deserved = match code.as_str() {
                REJECT_ALL => rejected_all,
                "session_gone" => deleted,
                "owned_by_another" => state == Some(SessionState::OwnedByAnother),
                "42501" | "23503" if matches!(lane, LaneKey::Secret(_)) && self.has_own_rules() => true,
                "42501" => {
                    state == Some(SessionState::Forbidden) || state == Some(SessionState::OwnedByAnother)
                }
                _ => false,
            };
            self.expect(deserved, "control rows", || format!("{lane} is parked for {code} at the end"));
        }
    }
}
