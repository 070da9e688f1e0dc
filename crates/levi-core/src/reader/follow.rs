//! Following the change feed: page through what is there, wait, ask again.

mod rest;

use std::sync::Arc;
use std::time::Duration;

use levi_types::{Clock, Monotonic, SessionId, Timeline};
use serde::{Serialize, Serializer};
use tokio::sync::watch;

use self::rest::ThreadTimer;
pub use self::rest::Timer;
use super::changes::{ChangePage, Numbers};
use super::cursor::ChangeCursor;
use super::notifier::{Notifications, Notifier};
use super::pace::{Pace, Polled, Polls, Wait};
use super::{ReadError, Reader};
use crate::read_policy::Retries;
use crate::reads::draw;

/// The most changes of one page, unless [`Follow::with_limit`] says otherwise.
const LIMIT: u32 = 1000;

/// After as long a time without an answer a project may have been restored: the computer slept, say.
const LONG_AGO: Duration = Duration::from_secs(120);

/// What a follower is doing.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct FollowStatus {
    /// Why the last poll failed; `None` while polls succeed. It is tried again by itself.
    #[serde(serialize_with = "as_text")]
    pub paused: Option<Arc<ReadError>>,
    /// Whether changes are pushed or asked for.
    pub notifications: Notifications,
}

fn as_text<S: Serializer>(paused: &Option<Arc<ReadError>>, serializer: S) -> Result<S::Ok, S::Error> {
    paused.as_ref().map(ToString::to_string).serialize(serializer)
}

/// The changes of all sessions, or of one, as they come. Made by [`Reader::follow`].
///
/// Without a server, without a token, or signed out, it waits and goes on by itself;
/// [`status`](Self::status) says so.
pub struct Follow<'r> {
    reader: &'r Reader,
    cursor: Option<ChangeCursor>,
    only: Option<SessionId>,
    limit: u32,
    pace: Pace,
    notifier: Option<Arc<dyn Notifier>>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    network: watch::Receiver<()>,
    /// All times of the follower are on this line: a wait is over when either clock says so.
    timeline: Timeline,
    status: watch::Sender<FollowStatus>,
    polls: Polls,
    /// When the server answered last; `None`: not yet, or it failed since.
    answered: Option<Monotonic>,
    /// When to ask next.
    next: Next,
}

/// The times between which the next poll is due.
#[derive(Clone, Copy)]
struct Next {
    least: Monotonic,
    most: Monotonic,
}

impl Reader {
    /// The changes past `cursor` (from the beginning, for `None`), and then those that come.
    ///
    /// ```
    /// # async fn run(reader: levi_core::Reader, stored: Option<levi_core::ChangeCursor>) -> Result<(), levi_core::ReadError> {
    /// let mut follow = reader.follow(stored);
    /// loop {
    ///     let page = follow.next().await?;
    ///     for change in &page.changes {
    ///         println!("{} {}", change.session_id, change.sequence_number);
    ///     }
    ///     // Store page.cursor.to_string() now.
    /// }
    /// # }
    /// ```
    pub fn follow(&self, cursor: Option<ChangeCursor>) -> Follow<'_> {
        Follow {
            reader: self,
            cursor,
            only: None,
            limit: LIMIT,
            pace: Pace::default(),
            notifier: None,
            clock: Arc::clone(&self.clock),
            timer: Arc::new(ThreadTimer),
            network: self.network.subscribe(),
            timeline: Timeline::default(),
            status: watch::Sender::default(),
            polls: Polls::default(),
            answered: None,
            next: Next { least: Monotonic::default(), most: Monotonic::default() },
        }
    }

    /// The network may be back, or somebody has signed in: followers of this reader ask now.
    pub fn network_changed(&self) {
        self.network.send_replace(());
    }
}

impl Follow<'_> {
    /// Only the changes of one session: the server sends no others. The cursor is for this session
    /// alone from then on, because it does not tell what was passed over of the others.
    ///
    /// A session that is not on the server has no changes; [`Reader::session_key`] fails if this
    /// device cannot read it.
    #[must_use]
    pub fn of_session(mut self, session: SessionId) -> Self {
        self.only = Some(session);
        self
    }

    /// How often to ask while nothing changes.
    #[must_use]
    pub const fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The most changes of one page. Default: 1,000.
    #[must_use]
    pub const fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Asks as soon as `notifier` says that something may have changed. One notifier is for one
    /// follower.
    #[must_use]
    pub fn with_notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifier = Some(notifier);
        self.report_notifications();
        self
    }

    /// Other time than the machine's.
    #[doc(hidden)]
    #[must_use]
    pub fn with_time(mut self, clock: Arc<dyn Clock>, timer: Arc<dyn Timer>) -> Self {
        (self.clock, self.timer) = (clock, timer);
        self
    }

    /// What it is doing, and every change of that.
    pub fn status(&self) -> watch::Receiver<FollowStatus> {
        self.status.subscribe()
    }

    /// The next changes: at least one. Waits as long as there are none.
    ///
    /// If the future is dropped nothing is lost, and the next call goes on waiting where it was.
    ///
    /// # Errors
    /// [`ReadError`] that does not pass by itself: another user is signed in, the cursor is another
    /// user's, the project has no change feed or refuses. The next call waits, and tries again.
    pub async fn next(&mut self) -> Result<ChangePage, ReadError> {
        loop {
            self.rest().await;
            let retries = Retries { most: 0, ..self.reader.retries };
            let numbers = self.numbers();
            let (cursor, only) = (self.cursor.as_ref(), self.only.as_ref());
            let page = self.reader.changes_with(cursor, self.limit, retries, numbers, only).await;
            self.answered = page.is_ok().then(|| self.now());
            let polled = match &page {
                Ok(ChangePage { more: true, .. }) => Polled::Changes,
                Ok(_) => Polled::Nothing,
                Err(error) => Polled::Failed { retry_after: error.retry_after() },
            };
            let wait = self.polls.ended(polled, self.pace(), self.reader.retries.backoff, draw());
            self.next = self.after(wait);
            match page {
                Ok(page) => {
                    self.report(None);
                    self.cursor = Some(page.cursor.clone());
                    if !page.changes.is_empty() {
                        return Ok(page);
                    }
                }
                Err(error) if error.is_passing() => self.report(Some(Arc::new(error))),
                Err(error) => return Err(error),
            }
        }
    }

    /// A project that is restored does not answer meanwhile, so a follower whose last poll was
    /// answered a short time ago need not ask.
    fn numbers(&mut self) -> Numbers {
        let now = self.now();
        match self.answered {
            Some(answered) if now.since(answered) < LONG_AGO => Numbers::GoOn,
            _ => Numbers::MayHaveGoneBack,
        }
    }

    /// A message whose key may come is looked for at the own pace, because keys are not pushed.
    fn pace(&self) -> Pace {
        let waits = self.cursor.as_ref().is_some_and(|cursor| cursor.waiting().next().is_some());
        match self.notifications() {
            Notifications::Connected if !waits => self.pace.while_pushed(),
            _ => self.pace,
        }
    }

    fn notifications(&self) -> Notifications {
        self.notifier.as_ref().map_or_else(Notifications::default, |notifier| notifier.state())
    }

    fn now(&mut self) -> Monotonic {
        self.timeline.advance(self.clock.now()).now.monotonic
    }

    fn after(&mut self, Wait { least, most }: Wait) -> Next {
        let now = self.now();
        Next { least: now.after(least), most: now.after(most) }
    }

    fn report(&self, paused: Option<Arc<ReadError>>) {
        if paused.is_some() || self.status.borrow().paused.is_some() {
            self.status.send_modify(|status| status.paused = paused);
        }
    }

    fn report_notifications(&self) {
        let now = self.notifications();
        self.status.send_if_modified(|status| {
            let is_another = status.notifications != now;
            status.notifications = now;
            is_another
        });
    }
}
