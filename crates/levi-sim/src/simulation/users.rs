//! People who take turns at one device.

use levi_core::batcher::Input;
use levi_core::engine::Event;
use levi_outbox::LaneKey;
use levi_types::UserId;

use super::{Duration, Occurrence, Simulation};
use crate::content::user_name;

/// How many people there are at most.
pub(crate) const USERS: usize = 2;

impl Simulation {
    pub(super) fn has_two_users(&self) -> bool {
        self.plan.setup.sessions.iter().any(|session| session.user > 0)
    }

    /// Whose session it is.
    pub(super) fn user_of(&self, session: usize) -> usize {
        self.plan.setup.sessions.get(session).map_or(0, |session| usize::from(session.user))
    }

    /// As the worker does before it says that there is a token, and before anything is enqueued.
    pub(super) fn name_user(&mut self) {
        let user = user_name(self.user);
        self.named = true;
        self.cache.signed_in(&user);
        self.tell(Event::Input(Input::User(user)));
    }

    /// Somebody else signs in: between two turns, or while the engine is in one.
    pub(super) fn other_user_signs_in(&mut self) {
        if !self.has_two_users() || !self.named {
            return;
        }
        if self.engine.is_some() && self.random.chance(30) {
            self.switches_in_turn = true;
            return;
        }
        self.switch_user();
    }

    pub(super) fn switch_user(&mut self) {
        self.user = (self.user + 1) % USERS;
        self.switches += 1;
        self.note(|| format!("{} signs in", user_name(self.user)));
        self.sign_in();
        // Levi hears of it at once.
        self.schedule(Duration::ZERO, Occurrence::Nothing);
    }

    /// What one user left behind has arrived. It is the other one's turn.
    pub(super) fn next_user(&mut self) {
        let ready = self.booted_at + self.patience();
        if self.now < ready || self.engine.is_none() {
            return self.schedule_at(ready.max(self.now + Duration::from_secs(5)), 0, Occurrence::NextUser);
        }
        self.check_arrived();
        self.blamed_before = self.blamed;
        self.mended_at = self.now;
        self.switch_user();
    }

    /// Nothing leaves with somebody else's token.
    pub(super) fn check_whose<'a>(&self, token: u32, lanes: impl IntoIterator<Item = &'a LaneKey>) {
        let sender = user_of_token(token);
        for lane in lanes {
            let owner = self.model(|model| model.user_of(lane));
            self.expect(owner == sender, "identity", || {
                format!("{lane} is {owner}'s, and is sent with {sender}'s token")
            });
        }
    }
}

/// Whose token it is.
pub(super) fn user_of_token(token: u32) -> UserId {
    user_name(token as usize % USERS)
}
