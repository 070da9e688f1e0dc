//! For whom the rows of a damaged database wait.

use std::collections::HashMap;

use levi_types::UserId;

use super::super::users::NOBODY;

/// Stands for a user whose name is lost. Nobody has this id, so the rows wait until a person exports
/// or discards them: sent for whoever signs in first, they could reach the wrong one.
const LOST: &str = "lost-with-a-damaged-file";

/// The users, as far as they can be read.
#[derive(Default)]
pub(in super::super) struct Users {
    names: HashMap<i64, UserId>,
    /// Who signed in last, as the totals say.
    signed_in: Option<i64>,
    /// Whether the file is of schema 4 or later: before, there were none.
    has_users: bool,
}

impl Users {
    /// The file has a table of users.
    pub(super) fn exist(&mut self) {
        self.has_users = true;
    }

    pub(super) fn add(&mut self, user: i64, name: &str) {
        self.has_users = true;
        self.names.entry(user).or_insert_with(|| name.into());
    }

    pub(super) fn set_signed_in(&mut self, user: i64) {
        self.has_users = true;
        self.signed_in = Some(user);
    }

    /// Whether the names are all there are: their numbers ascend from 1, and the last who signed in
    /// is one of them.
    fn is_complete(&self) -> bool {
        let known = |user: i64| user == NOBODY || self.names.contains_key(&user);
        let last = self.names.keys().copied().max().unwrap_or(0);
        !self.has_users || (self.signed_in.is_some_and(known) && (1..=last).all(known))
    }

    /// The user of a lane with this number; `None` where the number cannot be read, which matters
    /// only if there were several users.
    pub(in super::super) fn of_lane(&self, user: Option<i64>) -> Option<UserId> {
        let known = user.and_then(|user| self.names.get(&user)).cloned();
        let is_nobody = user == Some(NOBODY) || (user.is_none() && self.names.is_empty());
        let only = if user.is_none() && self.names.len() == 1 { self.names.values().next() } else { None };
        match known.or_else(|| only.cloned().filter(|_| self.is_complete())) {
            None if is_nobody && self.is_complete() => None,
            None => Some(LOST.into()),
            user => user,
        }
    }

    /// Who signed in last, if that can be read.
    pub(super) fn signed_in(&self) -> Option<UserId> {
        self.names.get(&self.signed_in?).cloned()
    }
}
