//! Signing in and out, and the token in between.

use std::time::Duration;

use levi_core::batcher::Input;
use levi_core::engine::Event;
use levi_types::Monotonic;

use super::{Gate, Occurrence, Simulation};
use crate::plan::RefreshEnd;

impl Simulation {
    pub(super) fn sign_out(&mut self) {
        self.token = None;
        self.cache.signed_out();
        self.needs_operator = true;
        self.tell(Event::Input(Input::SignedOut));
        if self.engine.is_some() {
            self.gate = Gate::Out;
        }
    }

    pub(super) fn sign_in(&mut self) {
        self.name_user();
        self.token = Some(self.server.token_of(self.user));
        self.needs_operator = false;
        // Levi cannot tell a sign-in from the token it has just asked for: each is taken for the other.
        self.crossed = self.gate == Gate::Refreshing;
        self.refreshed_at = self.crossed.then_some(self.now);
        self.refresh_end = RefreshEnd::Fresh;
        self.tell(Event::Input(Input::SignedIn));
    }

    /// A token that dies young, right after it was refreshed, looks like a project that takes none: then the
    /// operator is asked.
    pub(super) fn token_expires(&mut self) {
        self.server.expire_tokens_of(self.user);
        let young = self.plan.setup.config.longest_delay() + Duration::from_secs(60);
        let refreshed = self.refreshed_at.is_some_and(|at| self.now < at + young);
        self.needs_operator |= refreshed || self.gate == Gate::Refreshing;
    }

    /// Levi asks for a fresh token: once for a token that was refused, and again only as the schedule has it.
    pub(super) fn refresh(&mut self) {
        self.note(|| "Levi asks for a fresh token".to_owned());
        let now = Monotonic::from_start(self.now);
        let allowed = match self.gate {
            Gate::Open => self.refused && !self.just_refreshed(),
            Gate::Later(at) => at <= now,
            Gate::Out | Gate::Refreshing => false,
        };
        self.expect(allowed, "sign-in", || format!("a fresh token is asked for while {:?}", self.gate));
        self.gate = Gate::Refreshing;
        let latency = self.latency();
        self.schedule(latency, Occurrence::Refreshed);
    }

    pub(super) fn refresh_ends(&mut self) {
        if self.token.is_none() {
            return self.tell(Event::Input(Input::SignedOut));
        }
        match self.refresh_end {
            RefreshEnd::Fresh => {
                self.token = Some(self.server.token_of(self.user));
                let crossed = std::mem::take(&mut self.crossed);
                self.refreshed_at = (!crossed).then_some(self.now);
                self.tell(Event::Input(Input::SignedIn));
            }
            RefreshEnd::Refused => {
                self.needs_operator = true;
                self.gate = Gate::Out;
                self.tell(Event::Input(Input::RefreshRefused));
            }
            RefreshEnd::Unavailable => {
                let wait = self.plan.setup.config.backoff().unjittered(1);
                self.gate = Gate::Later(Monotonic::from_start(self.now).after(wait));
                self.tell(Event::Input(Input::RefreshUnavailable));
            }
        }
    }

    fn just_refreshed(&self) -> bool {
        self.refreshed_at.is_some_and(|at| self.now < at + self.plan.setup.config.longest_delay())
    }

    pub(super) fn latency(&mut self) -> Duration {
        let most = self.plan.setup.latency;
        Duration::from_millis(self.random.between(1, most.max(1)))
    }
}
