//! Chooses the next event and runs a turn of the engine.

use super::*;

impl Simulation {
    pub(super) fn live(&mut self) {
        while self.violation().is_none() && self.counts.turns < MOST_TURNS {
            let timeout = self.engine.as_ref().and_then(Engine::timeout);
            let timeout = timeout.map(|at| at.since_start() + self.lateness());
            let next = self.queue.peek().map(|Reverse(next)| next.at);
            let Some(at) = [timeout, next].into_iter().flatten().min() else { break };
            if self.is_over(at) {
                break;
            }
            self.spins = if at > self.now { 0 } else { self.spins + 1 };
            self.now = self.now.max(at);
            if self.spins > 2_000 {
                self.fail("idle", "Levi spins: turn after turn, and no time passes".to_owned());
            }
            self.take_what_is_due();
            // Like the worker, wakes only for an event or for the engine's timer.
            let now = self.clocks().monotonic;
            let due = self.engine.as_ref().and_then(Engine::timeout).is_some_and(|at| at <= now);
            let looks = std::mem::take(&mut self.looks) && self.engine.as_ref().is_some_and(has_timer);
            if self.engine.is_some() && (due || looks || !self.events.is_empty()) {
                self.turn();
            }
        }
        self.check_end();
    }

    fn lateness(&mut self) -> Duration {
        Duration::from_millis(self.random.below(self.plan.setup.lateness + 1))
    }

    /// Takes one of the due events, or all of them; both happen.
    pub(super) fn take_what_is_due(&mut self) {
        self.publish_time();
        let all = self.random.chance(50);
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.at > self.now {
                break;
            }
            let Some(Reverse(next)) = self.queue.pop() else { break };
            if next.incarnation == 0 || next.incarnation == self.incarnation {
                self.come(next.occurrence);
            }
            if !all {
                break;
            }
        }
    }

    pub(super) fn come(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::ScheduledEvent(index) => self.planned(index),
            Occurrence::Heal => self.heal(),
            Occurrence::Boot => {
                if self.engine.is_none() {
                    self.boot();
                }
            }
            Occurrence::Arrives(batch) => self.arrives(batch),
            Occurrence::Answered(batch, result) => self.answered(batch, result),
            Occurrence::Refreshed => self.refresh_ends(),
            Occurrence::RefreshWaits(left) => self.refresh_waits(left),
            Occurrence::Looks => self.looks = true,
            Occurrence::ControlArrives(batch) => self.control_arrives(batch),
            Occurrence::ControlEnded(batch, result) => self.control_ended(batch, result),
            Occurrence::Notified => self.tell(Event::WrittenElsewhere),
            Occurrence::ControlSenderReady => self.session_sync_joins(),
            Occurrence::DiskMends(nth) => self.disk_mends(nth),
            Occurrence::DaemonStoreMends(nth) => {
                if nth == self.daemon_silence {
                    self.daemon.set_silent(false);
                }
            }
            Occurrence::Again(index) => self.planned(index),
            Occurrence::NextUser => self.next_user(),
            Occurrence::Nothing => {}
        }
    }

    /// One turn of the engine, and its immediate effects.
    pub(super) fn turn(&mut self) {
        self.publish_time();
        let Some(mut engine) = self.engine.take() else { return };
        self.counts.turns += 1;
        {
            let model = &mut self.disk.inner().model;
            model.turn += 1;
            model.outdated_requests.clear();
            model.calls = 0;
        }
        let mut events = std::mem::take(&mut self.events);
        // As in the worker, responses and commands are never queued behind messages.
        events.sort_by_key(|event| matches!(event, Event::Enqueue(_)));
        let gate_changes =
            events.iter().any(|event| matches!(event, Event::Input(Input::SignedIn | Input::SignedOut)));
        let had_events = !events.is_empty();
        self.read_clocks();
        self.take_token_events();
        let mut effects = Vec::new();
        let disk = self.disk.clone();
        engine.turn_with(self.clocks(), events, &mut |effect| match effect {
            // As in the worker, callers are completed at once, whatever happens in the rest of the
            // turn.
            Effect::Complete(committed) => committed.complete(),
            Effect::SendControl { ref key, .. } => {
                disk.inner().model.control_row_sent(key);
                effects.push(effect);
            }
            effect => effects.push(effect),
        });
        let stillborn = self.die_before_effects && !effects.is_empty();
        let dead = self.disk.inner().dead || stillborn;
        if dead && (stillborn || self.random.chance(50)) {
            // Requests leave before or after the commit during which the process dies: both happen.
            effects.clear();
        }
        self.disk.inner().dead = dead;
        let status = engine.status_if_changed();
        if !dead {
            engine.announce();
        }
        self.engine = Some(engine);
        if dead {
            self.replies(true);
            self.perform(effects, gate_changes);
            return self.crash("in a turn");
        }
        self.perform(effects, gate_changes);
        self.asked_now = false;
        let forgotten = std::mem::take(&mut self.must_refresh);
        self.expect(!forgotten, "sign-in", || "a token that was refused is not replaced".to_owned());
        self.replies(false);
        self.check_turn(status, had_events);
        self.stop_if_finished();
    }

    pub(super) fn perform(&mut self, effects: Vec<Effect>, gate_changes: bool) {
        // A refresh that was decided in this turn begins before somebody else signs in.
        let refreshes = effects.iter().any(|effect| matches!(effect, Effect::Refresh));
        if !refreshes && std::mem::take(&mut self.switches_in_turn) {
            self.switch_user();
        }
        for effect in effects {
            match effect {
                Effect::Send { batch, user, insert, messages, .. } => {
                    self.send(batch.0, user.as_ref(), insert, messages, gate_changes);
                }
                Effect::Refresh => self.refresh(),
                Effect::SendControl { batch, user, key, payload, presence } => {
                    let row = self.model(|model| model.control.get(&key).and_then(|row| row.key));
                    let flight = ControlFlight {
                        lane: key,
                        payload,
                        presence,
                        key: row,
                        token: self.token,
                        epoch: self.epoch,
                    };
                    self.send_control(batch.0, user.as_ref(), flight, gate_changes);
                }
                Effect::Complete(committed) => committed.complete(),
                // Nobody signs in with another process here.
                Effect::Awake => {}
            }
        }
        if std::mem::take(&mut self.switches_in_turn) {
            self.switch_user();
        }
    }

    pub(super) fn publish_time(&mut self) {
        let now = self.clocks();
        self.disk.inner().model.now = now;
    }
}

fn has_timer(engine: &Engine) -> bool {
    engine.timeout().is_some()
}
