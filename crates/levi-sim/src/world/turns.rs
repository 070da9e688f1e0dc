//! What comes next, and what the engine makes of it.

use super::*;

impl World {
    /// Takes one thing that is due, or all of them: both happen.
    pub(super) fn take_what_is_due(&mut self) {
        self.publish_time();
        let all = self.random.chance(50);
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.at > self.now {
                break;
            }
            let Some(Reverse(next)) = self.queue.pop() else { break };
            if next.incarnation == 0 || next.incarnation == self.incarnation {
                self.come(next.coming);
            }
            if !all {
                break;
            }
        }
    }

    pub(super) fn come(&mut self, coming: Coming) {
        match coming {
            Coming::Planned(index) => self.planned(index),
            Coming::Heal => self.heal(),
            Coming::Boot => {
                if self.engine.is_none() {
                    self.boot();
                }
            }
            Coming::Arrives(batch) => self.arrives(batch),
            Coming::Answered(batch, result) => self.answered(batch, result),
            Coming::Refreshed => self.refresh_ends(),
            Coming::TaskArrives(task, token) => self.task_arrives(task, token),
            Coming::TaskEnded(task, end, token) => self.task_ended(task, end, token),
            Coming::DiskMends(nth) => self.disk_mends(nth),
            Coming::DaemonStoreMends(nth) => {
                if nth == self.daemon_silence {
                    self.daemon.set_silent(false);
                }
            }
            Coming::Again(index) => self.planned(index),
            Coming::Person => self.sign_in(),
            Coming::Nothing => {}
        }
    }

    /// One turn of the engine, and everything that follows from it at once.
    pub(super) fn turn(&mut self) {
        self.publish_time();
        let Some(mut engine) = self.engine.take() else { return };
        self.counts.turns += 1;
        {
            let truth = &mut self.disk.inner().truth;
            truth.turn += 1;
            truth.calls = 0;
        }
        let mut events = std::mem::take(&mut self.events);
        // As in the worker: answers and commands are never behind a crowd of messages.
        events.sort_by_key(|event| matches!(event, Event::Enqueue(_)));
        let gate_changes = events.iter().any(|event| matches!(event, Event::SignedIn | Event::SignedOut));
        let had_events = !events.is_empty();
        for event in &events {
            match event {
                Event::SignedIn => self.gate = Gate::Open,
                Event::SignedOut => self.gate = Gate::Out,
                _ => {}
            }
        }
        let mut effects = Vec::new();
        engine.turn_with(self.clocks(), events, &mut |effect| match effect {
            // As in the worker: told at once, whatever becomes of the rest of the turn.
            Effect::Tell(on_disk) => drop(on_disk),
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
        (self.refused, self.asked_now) = (false, false);
        self.replies(false);
        self.check_turn(status, had_events);
        self.stop_if_finished();
    }

    pub(super) fn perform(&mut self, effects: Vec<Effect>, gate_changes: bool) {
        for effect in effects {
            match effect {
                Effect::Send { batch, upsert } => self.send(batch.0, &upsert, gate_changes),
                Effect::Refresh => self.refresh(),
                Effect::RunTask(task) => self.run_task(task),
                Effect::Tell(on_disk) => drop(on_disk),
            }
        }
    }

    pub(super) fn publish_time(&mut self) {
        let now = self.clocks();
        self.disk.inner().truth.now = now;
    }
}
