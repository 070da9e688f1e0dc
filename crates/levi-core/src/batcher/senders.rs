//! Who can send control rows: a sender acts for one user's device, and for no other user.

use std::collections::HashSet;

use levi_types::UserId;

/// The users whose control rows this process can send.
#[derive(Debug, Default)]
pub(super) struct Senders {
    users: HashSet<UserId>,
    /// Whether there is a sender that was named before anybody was. It is the first user's.
    unclaimed: bool,
}

impl Senders {
    pub(super) fn add(&mut self, user: Option<UserId>) {
        match user {
            Some(user) => drop(self.users.insert(user)),
            None => self.unclaimed = true,
        }
    }

    /// `user` is signed in.
    pub(super) fn claim(&mut self, user: &UserId) {
        if std::mem::take(&mut self.unclaimed) {
            self.users.insert(user.clone());
        }
    }

    /// Whether there are senders, and all are of others.
    pub(super) fn serve_others_only(&self, user: Option<&UserId>) -> bool {
        !self.users.is_empty() && !self.serve(user)
    }

    /// Whether the rows of `user` can be sent; `None`: those of nobody.
    pub(super) fn serve(&self, user: Option<&UserId>) -> bool {
        user.map_or(self.unclaimed, |user| self.users.contains(user))
    }
}
