//! Whose rows are sent. When the user changes, everything that is known is about another one's rows: it is
//! forgotten, and loaded again should that user be back.

use levi_outbox::{Change, LaneId};
use levi_types::{Now, UserId};

use super::Batcher;
use super::io::{Action, Batch, BatchId};
use super::parents::Refusals;
use crate::sync_error::SendError;

impl Batcher {
    /// For whom rows are sent; `None` if nobody was named yet.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The same batcher, for the user who signed in last as the store knows it.
    pub(crate) fn for_user(mut self, user: Option<UserId>) -> Self {
        self.user = user;
        self
    }

    /// There is a token that does not say whose it is: with it, only rows of nobody are sent, and none where
    /// somebody is known.
    pub(super) fn signed_in_unnamed(&mut self, now: Now) {
        if self.user.is_some() {
            return self.auth.user_unknown();
        }
        self.auth.signed_in(now.monotonic);
        self.dirty = true;
    }

    /// Whether the request was sent before the user changed.
    pub(crate) fn is_of_another_user(&self, batch: BatchId) -> bool {
        self.batch(batch).is_some_and(|batch| batch.user_changes != self.user_changes)
    }

    /// `user` is signed in from now on.
    pub(super) fn user_is(&mut self, user: UserId) {
        self.senders.claim(&user);
        if self.user.as_ref() == Some(&user) {
            // One that waited for somebody to sign in may be this user's now.
            self.windows.release_held_back();
            self.dirty = true;
            return;
        }
        let in_flight: Vec<LaneId> =
            self.in_flight.values().flat_map(|batch| &batch.parts).map(|part| part.lane).collect();
        self.windows.forget_all(in_flight.into_iter());
        self.actions.retain(|action| !is_about_a_lane(action));
        self.refusals = Refusals::default();
        self.change_search(&user);
        self.due_timer = None;
        self.loading = false;
        self.dirty = true;
        self.user_changes += 1;
        self.user = Some(user.clone());
        self.commit(Change::SignedIn { user });
    }

    /// A user's rows that were parked in the midst of a search for bad ones are tried again when that user is back. What
    /// was found before anybody was named is about rows of the first user.
    fn change_search(&mut self, user: &UserId) {
        let Some(before) = self.user.clone() else { return };
        let own = self.searches_of_others.remove(user).unwrap_or_default();
        let others = std::mem::replace(&mut self.poison, own);
        self.searches_of_others.insert(before, others);
    }

    /// The response to a request that another user's sign-in sent, or an earlier one of the present user.
    ///
    /// What the server has leaves the outbox. A failure costs the rows nothing, and says nothing about the
    /// present sign-in; a wait that the server asks for is observed all the same.
    pub(super) fn outcome_of_another_user(&mut self, now: Now, batch: Batch, result: Result<(), SendError>) {
        for part in batch.parts {
            self.windows.landed_elsewhere(part.lane);
            if result.is_ok() {
                let rows = part.rows.into_iter().map(|row| row.key).collect();
                self.commit(Change::Acknowledge { lane: part.lane, rows, at: now.wall });
            }
        }
        if let Err(SendError::Api(error)) = result {
            self.pause_as_asked(now, &error);
        }
        self.dirty = true;
    }
}

/// Whether the engine is asked to do something with a lane that is at hand.
const fn is_about_a_lane(action: &Action) -> bool {
    matches!(
        action,
        Action::Load { .. } | Action::LoadLane { .. } | Action::Seal { .. } | Action::EnsureParent { .. }
    )
}
