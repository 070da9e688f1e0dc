//! How processes end, and how the simulation does.

use std::time::Duration;

use levi_core::engine::Engine;
use levi_outbox::{DueLane, DueQuery};

use super::{Occurrence, Outcome, Senders, Simulation};

impl Simulation {
    /// The process is gone, with everything that it had in memory. Requests in flight arrive, or
    /// are lost, before a new process sends anything, because nothing is promised about requests
    /// that arrive later.
    pub(super) fn crash(&mut self, when: &str) {
        if self.engine.take().is_none() {
            return;
        }
        self.note(|| format!("the process dies {when}"));
        self.end_process();
    }

    fn end_process(&mut self) {
        self.counts.restarts += 1;
        self.disk.inner().dead = true;
        self.incarnation += 1;
        for (batch, flight) in std::mem::take(&mut self.flights) {
            if !flight.arrived && self.random.chance(50) {
                self.note(|| format!("server: {batch} arrives after the process is gone"));
                let model = &mut self.disk.inner().model;
                self.server.messages(model, &mut self.random, flight.token, &flight);
            }
        }
        self.model(|model| {
            for session in &mut model.sessions {
                (session.in_flight, session.causes, session.modified_externally) = (None, 0, false);
                session.parent_sent = false;
            }
            model.forget_control_memory();
        });
        self.events.clear();
        self.token_events.clear();
        self.end_control_flights();
        self.waiting_for_steps.clear();
        self.senders = Senders::default();
        self.die_before_effects = false;
        // A caller that waited for the disk cannot know, so some enqueue their message again.
        for waiting in std::mem::take(&mut self.waiting_for_disk) {
            if self.random.chance(50) {
                let later = self.now + Duration::from_secs(6);
                self.schedule_at(later, 0, Occurrence::Again(waiting.event));
            }
        }
        self.waiting_for_server.clear();
        let pause = Duration::from_millis(self.random.between(1, 3_000));
        self.schedule_at(self.now + pause, 0, Occurrence::Boot);
    }

    /// Control rows that did not arrive may still do so: they write the same rows again.
    fn end_control_flights(&mut self) {
        for flight in std::mem::take(&mut self.control_flights).into_values() {
            if flight.token.is_some() && self.random.chance(50) {
                let _answer_that_nobody_gets = self.serve_control_row(&flight);
            }
        }
    }

    pub(super) fn stop_if_finished(&mut self) {
        let Some(stop_at) = self.stop_at else { return };
        let now = self.clocks();
        let finished = self.engine.as_ref().is_none_or(|engine| engine.is_finished(now));
        if !finished {
            let overdue = now.monotonic >= stop_at;
            return self.expect(!overdue, "shutdown", || "the deadline is over and Levi goes on".to_owned());
        }
        if now.monotonic < stop_at {
            self.check_drained();
        }
        let left = self.engine.as_ref().map_or(0, Engine::not_stored);
        let broken = self.disk_fault.is_some();
        self.expect(left == 0 || broken, "shutdown", || {
            format!("{left} messages were accepted and are not on a disk that works")
        });
        self.note(|| format!("Levi stops; {left} not stored"));
        self.engine = None;
        self.stop_at = None;
        self.end_process();
    }

    /// Levi reports that it has sent everything that it could.
    fn check_drained(&mut self) {
        if self.jumped {
            return;
        }
        let under_way = self.flights.len() + self.control_flights.len();
        self.expect(under_way == 0, "shutdown", || {
            format!("Levi stops before its time with {under_way} requests under way")
        });
        let open = self.paused.is_none();
        let now = self.clocks().wall;
        if !open || self.unnotified || self.disk_fault.is_some() {
            return;
        }
        let horizon = now.after(self.plan.setup.config.longest_delay());
        let user = self.model(|model| model.user.clone());
        let query = DueQuery {
            user: user.as_ref(),
            now,
            horizon,
            except: &[],
            max_lanes: 100,
            heads_per_lane: 1,
            max_heads: 100,
        };
        let due = self.disk.read(|store| store.due(query)).unwrap_or_default();
        let can_send = |lane: &&DueLane| self.has_sender_for(user.as_ref()) || !lane.key.kind().is_control();
        let names: Vec<_> = due.lanes.iter().filter(can_send).map(|lane| lane.key.to_string()).collect();
        self.expect(names.is_empty(), "shutdown", || {
            format!("Levi stops before its time, and {names:?} could still have been sent")
        });
    }

    /// How long everything may take after the faults have ended.
    pub(super) fn patience(&self) -> Duration {
        // Bad rows are found one request at a time.
        let requests = 100 * 2 * Duration::from_millis(self.plan.setup.latency);
        4 * self.plan.setup.config.longest_delay() + requests + Duration::from_secs(120)
    }

    /// Whether a wait until `at` would be too long.
    pub(super) fn is_over(&self, at: Duration) -> bool {
        self.healed && at > self.mended_at.max(self.booted_at) + self.patience()
    }

    pub(super) fn outcome(&mut self) -> Outcome {
        let parked = self.model(|model| model.parked_rows() as u64);
        let stored = self.model(|model| model.rows.len() as u64);
        self.counts.requests = self.server.requests;
        (self.counts.parked, self.counts.stored) = (parked, stored);
        let (violation, trace) =
            self.model(|model| (model.violation.clone(), model.trace.take().unwrap_or_default()));
        let arrivals = self.model(|model| std::mem::take(&mut model.arrivals));
        Outcome { violation, trace, arrivals, counts: self.counts }
    }
}
