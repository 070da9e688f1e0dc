//! What a person is told while a command follows.

use levi::ReadError;
use levi::core::{FollowStatus, Notifications, PollingReason};

use crate::console::{Console, Diagnostic};
use crate::notice::Notice;

/// What was said about the follower.
#[derive(Default)]
pub(crate) struct Said {
    /// Why polls fail, while they do.
    paused: Option<String>,
    notifications: Option<Notifications>,
}

impl Said {
    /// Says why nothing comes, and how changes come, once each.
    pub(crate) fn explain(&mut self, status: &FollowStatus, console: Console) {
        self.waits(status.paused.as_deref(), console);
        let now = &status.notifications;
        let is_settled = *now != Notifications::Polling(PollingReason::Connecting);
        if is_settled && self.notifications.as_ref() != Some(now) {
            console.notice(&Notice::Notifications(now.clone()));
            self.notifications = Some(now.clone());
        }
    }

    /// Says why nothing comes, or that this is over.
    pub(crate) fn waits(&mut self, paused: Option<&ReadError>, console: Console) {
        let paused = paused.map(ToString::to_string);
        match &paused {
            Some(error) if paused != self.paused => {
                console.report(&Diagnostic::new(format!("{error}; it is tried again")));
            }
            None if self.paused.is_some() => console.notice(&Notice::Resumed),
            _ => {}
        }
        self.paused = paused;
    }
}
