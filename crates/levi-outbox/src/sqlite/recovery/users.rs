//! For whom the rows of a damaged database wait.

use std::collections::HashMap;

use levi_types::UserId;

use super::super::users::NOBODY;

/// Stands for a user whose name is lost. Nobody has this id, so the rows wait until a person exports
/// or discards them: sent for the user who signs in first, they could reach the wrong one.
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
    ///
    /// The first sign-in takes over the lanes of nobody, so that a lane of nobody is older than the
    /// file if somebody has signed in: it became the first user's, and who that was is known only
    /// where there is one.
    pub(in super::super) fn of_lane(&self, user: Option<i64>) -> Option<UserId> {
        if let Some(name) = user.and_then(|user| self.names.get(&user)) {
            return Some(name.clone());
        }
        match user {
            None if self.is_without_users() => None,
            Some(NOBODY) if self.is_before_sign_in() => None,
            None | Some(NOBODY) => Some(self.only_user().unwrap_or_else(|| LOST.into())),
            Some(_) => Some(LOST.into()),
        }
    }

    /// Whether nobody has signed in, so that lanes may wait for the first user who does.
    fn is_before_sign_in(&self) -> bool {
        !self.has_users || (self.signed_in == Some(NOBODY) && self.is_complete())
    }

    /// Whether every lane is nobody's.
    fn is_without_users(&self) -> bool {
        self.is_before_sign_in() && self.names.is_empty()
    }

    /// The user who signed in, if there never was another.
    fn only_user(&self) -> Option<UserId> {
        let is_only = self.names.len() == 1 && self.is_complete() && !self.is_before_sign_in();
        self.names.values().next().filter(|_| is_only).cloned()
    }

    /// Who signed in last, if that can be read.
    pub(super) fn signed_in(&self) -> Option<UserId> {
        self.names.get(&self.signed_in?).cloned()
    }
}
