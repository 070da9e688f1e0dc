//! What keeps everything from being sent: no sign-in, a project that is wrong, an outbox that fails.

use std::time::Duration;

use levi_types::Monotonic;

use super::io::PauseReason;

/// Whether there is a token to send with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignIn {
    /// There is one.
    In,
    /// A fresh one was asked for.
    Refreshing,
    /// A fresh one could not be had for now; asked for again at this time.
    RefreshAt(Monotonic),
    /// A person must sign in.
    Out,
}

/// A wait of everything, with how often it was extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) reason: PauseReason,
    pub(super) until: Monotonic,
}

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) sign_in: SignIn,
    /// Raised with every sign-in, so that an answer to an older token is not held against a newer one.
    pub(super) epoch: u64,
    /// When a token was refreshed, if nothing has been accepted since.
    pub(super) refreshed_at: Option<Monotonic>,
    /// What was asked for is the stored sign-in: its token may have expired since, and was not refreshed.
    pub(super) taking_up_stored: bool,
    pub(super) refresh_attempts: u32,
    pub(super) project: Option<Pause>,
    /// The code that the project was last paused for, until something is accepted: while it stands, one
    /// request at a time feels its way.
    pub(super) probing: Option<String>,
    pub(super) project_attempts: u32,
    /// So many rows were refused one by one before the project was blamed; zero if it was not rows.
    pub(super) convicted_for: usize,
    /// Answers in a row that were `Unreachable` or `Busy`: one request at a time, and a smaller one each time,
    /// until something is accepted.
    pub(super) trouble: u32,
    pub(super) outbox: Option<Pause>,
    pub(super) outbox_attempts: u32,
    pub(super) stopping: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            sign_in: SignIn::Out,
            epoch: 0,
            refreshed_at: None,
            taking_up_stored: false,
            refresh_attempts: 0,
            project: None,
            probing: None,
            project_attempts: 0,
            convicted_for: 0,
            trouble: 0,
            outbox: None,
            outbox_attempts: 0,
            stopping: false,
        }
    }
}

impl Gate {
    /// Whether requests may go out.
    pub(super) fn is_open(&self) -> bool {
        self.sign_in == SignIn::In && self.project.is_none() && self.outbox.is_none()
    }

    pub(super) fn most_in_flight(&self, configured: usize) -> usize {
        if self.trouble > 0 || self.probing.is_some() { 1 } else { configured }
    }

    /// What is left of a limit while requests fail: half with each further failure. What is too much for a slow
    /// line or a slow database must not be sent again and again as it is.
    pub(super) fn narrowed(&self, limit: usize) -> usize {
        let halvings = self.trouble.saturating_sub(1).min(usize::BITS - 1);
        (limit >> halvings).max(1)
    }

    pub(super) fn accepted(&mut self) {
        self.trouble = 0;
        self.probing = None;
        self.project_attempts = 0;
        self.convicted_for = 0;
        self.refresh_attempts = 0;
        self.refreshed_at = None;
    }

    pub(super) fn pause_project(&mut self, now: Monotonic, delay: Duration, reason: PauseReason) {
        let until = now.after(delay);
        let until = self.project.as_ref().map_or(until, |pause| pause.until.max(until));
        self.project = Some(Pause { reason, until });
    }

    /// Forgets waits that a returning network makes pointless.
    pub(super) fn network_changed(&mut self) {
        self.project = None;
        self.outbox = None;
        if let SignIn::RefreshAt(_) = self.sign_in {
            self.sign_in = SignIn::RefreshAt(Monotonic::default());
        }
    }

    /// Ends the waits whose time has come.
    pub(super) fn expire(&mut self, now: Monotonic) -> Expired {
        let over = |pause: &Pause| pause.until <= now;
        let project = self.project.take_if(|pause| over(pause)).is_some();
        let outbox = self.outbox.take_if(|pause| over(pause)).is_some();
        let refresh = matches!(self.sign_in, SignIn::RefreshAt(at) if at <= now);
        if refresh {
            self.sign_in = SignIn::Refreshing;
        }
        Expired { project, outbox, refresh }
    }

    /// When the next wait ends. A project's pause needs no timer while nobody is signed in.
    pub(super) fn timer(&self) -> Option<Monotonic> {
        let outbox = self.outbox.as_ref().map(|pause| pause.until);
        let refresh = match self.sign_in {
            SignIn::RefreshAt(at) => Some(at),
            _ => None,
        };
        let project = self.project.as_ref().filter(|_| self.sign_in == SignIn::In).map(|pause| pause.until);
        [outbox, refresh, project].into_iter().flatten().min()
    }

    /// Why nothing is being sent, the most fundamental reason first.
    pub(super) fn reason(&self) -> Option<PauseReason> {
        if let Some(pause) = &self.outbox {
            return Some(pause.reason.clone());
        }
        match self.sign_in {
            SignIn::Out => Some(PauseReason::SignedOut),
            SignIn::Refreshing => Some(PauseReason::Refreshing),
            SignIn::RefreshAt(_) => Some(PauseReason::SignInUnavailable),
            SignIn::In => self.project.as_ref().map(|pause| pause.reason.clone()),
        }
    }
}

/// Which waits ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) project: bool,
    pub(super) outbox: bool,
    pub(super) refresh: bool,
}
