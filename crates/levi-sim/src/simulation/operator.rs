//! Signing in and out, and the token in between.

use std::time::Duration;

use levi_core::batcher::Input;
use levi_core::engine::Event;
use levi_outbox::LaneKey;
use levi_transport::{ApiError, SignInError, WaitLeft};
use levi_types::Monotonic;

use super::{Gate, Occurrence, Simulation, TokenEvent, TokenInUse};
use crate::content::subject_number;
use crate::plan::RefreshEnd;
use crate::sign_in::{Answer, Silence};

/// A token that was once accepted is replaced only after refusals for this long with no acceptance
/// in between.
const REFUSED_AFTER: Duration = Duration::from_secs(5);

impl Simulation {
    pub(super) fn sign_out(&mut self) {
        self.token = None;
        self.cache.signed_out();
        self.needs_operator = true;
        self.tell_of_token(Input::SignedOut, TokenEvent::SignedOut);
    }

    pub(super) fn sign_in(&mut self) {
        self.name_user();
        self.grant();
        self.needs_operator = false;
        self.sign_in.end = RefreshEnd::Fresh;
        self.sign_in.has_ended = false;
        self.tell_of_token(Input::SignedIn, TokenEvent::SignedIn);
    }

    fn grant(&mut self) {
        self.token = Some(self.server.token_of(self.user));
        self.server.granted(self.now);
    }

    pub(super) fn token_expires(&mut self) {
        self.server.expire_tokens_of(self.user);
    }

    pub(super) fn tell_of_token(&mut self, input: Input, event: TokenEvent) {
        if self.engine.is_some() {
            self.token_events.push(event);
            self.tell(Event::Input(input));
        }
    }

    /// Levi asks for a fresh token: once for a token that was refused, and again only by the
    /// schedule. The port between Levi and the sign-in server sends nothing before the server's
    /// wait is over.
    pub(super) fn refresh(&mut self) {
        let allowed = match self.gate {
            Gate::Open => self.must_refresh || self.may_refresh,
            Gate::Out | Gate::Refreshing | Gate::UseLater(_) | Gate::UnlessAccepted(_) => false,
        };
        self.expect(allowed, "sign-in", || format!("a fresh token is asked for while {:?}", self.gate));
        (self.must_refresh, self.may_refresh) = (false, false);
        self.gate = Gate::Refreshing;
        let (clocks, stored) = (self.clocks(), self.sign_in.stored_wait.as_deref());
        if let Some(WaitLeft { left, .. }) = self.process.pace.left(clocks, stored) {
            self.note(|| format!("Levi waits for the sign-in server: {left:?}"));
            return self.schedule(Duration::ZERO, Occurrence::RefreshWaits(left));
        }
        self.note(|| "Levi asks for a fresh token".to_owned());
        self.check_sign_in_silence();
        let latency = self.latency();
        self.schedule(latency, Occurrence::Refreshed);
    }

    /// No request before the wait that the server asked for is over, in this process or an earlier
    /// one; after a final word none at all.
    fn check_sign_in_silence(&mut self) {
        let wall = self.clocks().wall.as_millis();
        if let Some(Silence { monotonic, wall: until }) = self.sign_in.silence {
            self.expect(self.now >= monotonic || wall >= until, "sign-in wait", || {
                format!("{:?} before the sign-in server's wait is over", monotonic.saturating_sub(self.now))
            });
        }
        let has_ended = self.sign_in.has_ended && !self.asks_anew;
        self.expect(!has_ended, "final words", || "a sign-in that has ended is refreshed".to_owned());
    }

    pub(super) fn refresh_waits(&mut self, left: Duration) {
        self.refresh_unavailable(Some(left));
    }

    pub(super) fn refresh_ends(&mut self) {
        if self.token.is_none() {
            return self.tell_of_token(Input::SignedOut, TokenEvent::SignedOut);
        }
        match self.sign_in.refresh(self.now) {
            Answer::Granted => {
                self.grant();
                self.tell_of_token(Input::SignedIn, TokenEvent::SignedIn);
            }
            Answer::Error(error) => self.refresh_fails(error),
        }
    }

    fn refresh_fails(&mut self, error: SignInError) {
        self.note(|| format!("sign-in server: {error}"));
        match error {
            SignInError::Refused(_) => {
                let said = self.sign_in.has_ended;
                self.asks_anew = false;
                self.expect(said, "final words", || {
                    "an answer that ends nothing ends the sign-in".to_owned()
                });
                self.needs_operator = true;
                self.tell_of_token(Input::RefreshRefused, TokenEvent::Ended);
            }
            SignInError::ActionNeeded { error, .. } | SignInError::Unavailable(error) => {
                self.keep_wait(&error);
                self.refresh_unavailable(error.retry_after);
            }
            _ => self.fail("final words", format!("an answer with no meaning: {error}")),
        }
    }

    fn keep_wait(&mut self, error: &ApiError) {
        let Some(asked) = error.retry_after.filter(|wait| !wait.is_zero()) else { return };
        let clocks = self.clocks();
        self.sign_in.stored_wait = Some(self.process.pace.asked(clocks, asked, &error.code));
        let asked = asked.min(self.plan.setup.config.longest_delay());
        let wall = clocks.wall.after(asked).as_millis();
        self.sign_in.silence = Some(Silence { monotonic: self.now + asked, wall });
    }

    fn refresh_unavailable(&mut self, retry_after: Option<Duration>) {
        let input = Input::RefreshUnavailable { retry_after };
        self.tell_of_token(input, TokenEvent::Unavailable { retry_after });
    }

    /// What the events of a turn mean for the token, in their order.
    pub(super) fn take_token_events(&mut self) {
        self.may_refresh = false;
        for event in std::mem::take(&mut self.token_events) {
            match event {
                TokenEvent::SignedIn => {
                    // Levi cannot tell a sign-in from the token that it has just asked for, and may
                    // take one for the other.
                    let granted_at = (self.gate == Gate::Refreshing).then(|| self.elapsed());
                    self.gate = Gate::Open;
                    self.epoch += 1;
                    self.ask_after = Duration::ZERO;
                    self.token_in_use =
                        TokenInUse { first_epoch: self.epoch, granted_at, ..TokenInUse::default() };
                }
                TokenEvent::SignedOut => self.gate = Gate::Out,
                TokenEvent::Accepted { epoch } => self.token_accepted(epoch),
                TokenEvent::Refused { epoch, lanes } => self.token_refused(epoch, &lanes),
                TokenEvent::NetworkChanged => self.end_sign_in_waits(),
                TokenEvent::Ended if self.gate == Gate::Refreshing => self.gate = Gate::Out,
                TokenEvent::Unavailable { retry_after } if self.gate == Gate::Refreshing => {
                    let asked = retry_after.unwrap_or_default().min(self.plan.setup.config.longest_delay());
                    self.ask_after = self.elapsed() + asked;
                    self.gate = Gate::UseLater(self.after_a_wait());
                }
                TokenEvent::Ended | TokenEvent::Unavailable { .. } => {}
            }
        }
    }

    /// Who is accepted has a good token, and so have the others.
    fn token_accepted(&mut self, epoch: u64) {
        if epoch < self.token_in_use.first_epoch {
            return;
        }
        (self.token_in_use.was_accepted, self.token_in_use.refused_at) = (true, None);
        if matches!(self.gate, Gate::UnlessAccepted(_)) {
            self.gate = Gate::Open;
            self.token_in_use.is_back_early = true;
        }
    }

    /// A refusal counts if it was about the token in use. A token that was granted a moment ago is
    /// used again after a wait; one that is older, by either clock, is replaced at once. If other
    /// requests were accepted with a young token, only the refused request waits.
    fn token_refused(&mut self, epoch: u64, lanes: &[LaneKey]) {
        if epoch != self.epoch || self.gate != Gate::Open {
            return;
        }
        let (now, young) = (self.elapsed(), self.plan.setup.config.longest_delay());
        let token = &mut self.token_in_use;
        let refused_at = *token.refused_at.get_or_insert(now);
        let is_young = token.granted_at.is_some_and(|at| now < at + young);
        if is_young && token.was_accepted {
            self.may_refresh |= now >= refused_at + REFUSED_AFTER;
            self.request_waits(lanes);
        } else if is_young {
            self.gate = Gate::UnlessAccepted(self.after_a_wait());
        } else if now < self.ask_after {
            self.gate = Gate::UseLater(self.after_a_wait());
        } else if token.is_back_early {
            self.may_refresh = true;
        } else {
            self.must_refresh = true;
        }
    }

    /// A request of several lanes is sent again in parts.
    fn request_waits(&mut self, lanes: &[LaneKey]) {
        let Some(lane) = lanes.first().filter(|first| lanes.iter().all(|lane| lane == *first)) else {
            return;
        };
        self.model(|model| match lane {
            LaneKey::Messages(_) => {
                let session = model.sessions.get_mut(subject_number(lane.subject()));
                session.into_iter().for_each(|session| session.causes += 1);
            }
            _ => model.control_row_waits(lane),
        });
    }

    fn after_a_wait(&self) -> Monotonic {
        Monotonic::from_start(self.now).after(self.plan.setup.config.backoff().unjittered(1))
    }

    /// Every wait of Levi's own is over, but not those that the server asked for.
    pub(super) fn end_waits(&mut self) {
        self.model(|model| model.void_delays());
        self.end_sign_in_waits();
    }

    fn end_sign_in_waits(&mut self) {
        self.ask_after = Duration::ZERO;
        match &mut self.gate {
            Gate::UseLater(at) | Gate::UnlessAccepted(at) => *at = Monotonic::default(),
            Gate::Open | Gate::Out | Gate::Refreshing => {}
        }
    }

    pub(super) fn latency(&mut self) -> Duration {
        let most = self.plan.setup.latency;
        Duration::from_millis(self.random.between(1, most.max(1)))
    }
}
