//! Checks to which user rows belong. Each session has one user, and so have its repository and its
//! secret.

use levi_outbox::{Change, Due, LaneKey, NewRow};
use levi_types::UserId;

use super::Model;
use crate::content::{subject_number, user_name};

impl Model {
    /// For whom the rows of a lane are.
    pub(crate) fn user_of(&self, lane: &LaneKey) -> UserId {
        let number = subject_number(lane.subject());
        user_name(match lane {
            LaneKey::Repository(_) => number / 2,
            _ => self.users.get(number).copied().unwrap_or(0),
        })
    }

    /// Whether the lane waits for a user other than the one who signed in last, as the disk knows
    /// it.
    pub(crate) fn is_of_another(&self, lane: &LaneKey) -> bool {
        self.user.as_ref().is_some_and(|user| *user != self.user_of(lane))
    }

    /// What is due is the user's who asks.
    pub(crate) fn check_whose_due(&mut self, user: Option<&UserId>, due: &Due) {
        for lane in &due.lanes {
            let owner = self.user_of(&lane.key);
            if Some(&owner) != user {
                self.fail("identity", format!("{} is {owner}'s, and due for {user:?}", lane.key));
            }
        }
    }

    /// Nothing is counted or parked for a user who is not signed in.
    pub(super) fn note_user(&mut self, change: &Change) {
        match change {
            Change::SignedIn { user } => {
                self.note(|| format!("disk: {user} is signed in"));
                self.user = Some(user.clone());
                self.all_may_be_early();
            }
            Change::Defer { lane, reason, .. } | Change::Park { lane, reason, .. } => {
                let Some(key) = self.lanes.get(lane).filter(|key| self.is_of_another(key)).cloned() else {
                    return;
                };
                let code = reason.code.clone();
                self.fail("identity", format!("{key} is held, and is charged for {code}"));
            }
            _ => {}
        }
    }

    /// A row is recorded for the user whose session it is about.
    pub(super) fn check_recorded(&mut self, new: &NewRow) {
        let (owner, recorded) = (self.user_of(&new.lane), new.user.as_ref().or(self.user.as_ref()));
        if recorded.is_some_and(|user| *user != owner) {
            self.fail("identity", format!("{} is {owner}'s, and recorded for {recorded:?}", new.lane));
        }
    }
}
