//! People who take turns at one device.

use std::collections::BTreeSet;

use levi_core::batcher::Input;
use levi_core::engine::Event;
use levi_outbox::LaneKey;
use levi_types::UserId;

use super::{Duration, Occurrence, Simulation};
use crate::content::user_name;

/// For whom session sync runs in this process.
#[derive(Default)]
pub(super) struct Senders {
    users: BTreeSet<usize>,
    /// It began before anybody signed in, so it is for the first user who does.
    unclaimed: bool,
}

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

    /// As in the worker, this comes before Levi is told of the token and before anything is
    /// enqueued.
    pub(super) fn name_user(&mut self) {
        let user = user_name(self.user);
        self.named = true;
        if std::mem::take(&mut self.senders.unclaimed) {
            self.senders.users.insert(self.user);
        }
        self.cache.signed_in(&user);
        self.tell(Event::Input(Input::User(user)));
    }

    /// The daemon asks for session sync, for the device of the user who is signed in.
    pub(super) fn session_sync_joins(&mut self) {
        if self.engine.is_none() {
            return;
        }
        let user = self.named.then_some(self.user);
        match user {
            Some(user) => drop(self.senders.users.insert(user)),
            None => self.senders.unclaimed = true,
        }
        self.tell(Event::Input(Input::ControlSenderReady(user.map(user_name))));
    }

    /// Whether the control rows of `user` can be sent.
    pub(super) fn has_sender_for(&self, user: Option<&UserId>) -> bool {
        match user {
            Some(user) => self.senders.users.iter().any(|known| user_name(*known) == *user),
            None => self.senders.unclaimed,
        }
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
        // The daemon asks for session sync with this user's device, at once or later.
        let wait = self.random.pick(&[0, 0, 5, 3_000]);
        self.schedule(Duration::from_millis(wait), Occurrence::ControlSenderReady);
        // Levi hears of it at once.
        self.schedule(Duration::ZERO, Occurrence::Nothing);
    }

    /// All rows of one user have arrived, and the other user signs in.
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
