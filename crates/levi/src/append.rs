//! The next number of a session, and messages that are given it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levi_core::{Receipt, SyncError, last_sequence_number, within};
use levi_types::{CodingSession, MessageId, MessageSyncRequest, Now, SessionId};

use crate::Levi;

/// The most sessions whose last number is remembered. Those that nobody appends to at the moment are asked for again.
const MOST_SESSIONS: usize = 4096;

/// For how long the server's answer holds: another device may append as well.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long an append waits for the server where a number is known.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// For how long a server that did not answer in time is not asked again where a number is known.
const UNANSWERED_FOR: Duration = Duration::from_secs(60);

/// The last number that was given out in each session. Who chooses the next one holds it.
#[derive(Default)]
pub(crate) struct Appended(Mutex<HashMap<SessionId, Last>>);

type Last = Arc<tokio::sync::Mutex<Option<Known>>>;

/// The last number that was given out.
#[derive(Clone, Copy)]
struct Known {
    number: i64,
    asked: Asked,
}

/// A question to the server.
#[derive(Clone, Copy)]
struct Asked {
    at: Now,
    /// How long after it the server is asked again.
    again_after: Duration,
}

/// A message that got its number here.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AppendedMessage {
    /// Its position in the session.
    pub sequence_number: i64,
    /// For [`Levi::synced`].
    pub receipt: Receipt,
}

impl Appended {
    fn last(&self, session: &SessionId) -> Last {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MOST_SESSIONS {
            sessions.retain(|_, last| Arc::strong_count(last) > 1);
        }
        Arc::clone(sessions.entry(session.clone()).or_default())
    }
}

impl Levi {
    /// Enqueues a message after the last one of its session, and returns once it is on disk. Calls for one session are
    /// carried out in turn, and each call is another message.
    ///
    /// The first call for a session asks the server for its last number, as
    /// [`next_sequence_number`](Self::next_sequence_number) does, and so does the first one after 5 s. Where the server does
    /// not answer within 2 s, what is known here decides, and it is asked again after a minute. Another device may take the number meanwhile: then the message is parked,
    /// and nothing is overwritten.
    ///
    /// # Errors
    /// [`SyncError`]: the message is not on disk. Also where nothing is known of the session and the server does not
    /// answer.
    pub async fn append_durable(
        &self,
        session_id: &SessionId,
        message_id: impl Into<MessageId>,
        content: impl Into<String>,
    ) -> Result<AppendedMessage, SyncError> {
        let of_session = self.appended.last(session_id);
        let mut last = of_session.lock().await;
        let here = self.last_sequence_number(session_id).await?;
        let before = match *last {
            Some(known) => self.before_next(session_id, here, known).await,
            None => self.before(session_id, here).await?,
        };
        let sequence_number = after(session_id, before.number)?;
        let request = MessageSyncRequest::new(message_id, session_id.clone(), sequence_number, content);
        let receipt = self.enqueue_durable(request).await?;
        *last = before.asked.map(|asked| Known { number: sequence_number, asked });
        Ok(AppendedMessage { sequence_number, receipt })
    }

    /// The next free sequence number of a session, after everything in the outbox, in the session store's record of what
    /// was sent, and on the server. Another device may take the number meanwhile: then the message is parked, and
    /// nothing is overwritten.
    ///
    /// # Errors
    /// [`SyncError::SessionFull`] if the last number is the highest there is. The others if the outbox cannot be read,
    /// nobody is signed in, or the server does not answer.
    pub async fn next_sequence_number(&self, session: &SessionId) -> Result<i64, SyncError> {
        let here = self.last_sequence_number(session).await?;
        let there = self.last_on_server(session).await?;
        after(session, here.max(there))
    }

    /// What comes before the first message that is appended here.
    async fn before(&self, session: &SessionId, here: Option<i64>) -> Result<Before, SyncError> {
        let at = self.clock.now();
        match self.last_on_server(session).await {
            Ok(there) => {
                let asked = Some(Asked { at, again_after: ASK_AGAIN_AFTER });
                Ok(Before { number: here.max(there), asked })
            }
            Err(_) if here.is_some() || self.is_begun_here(session) => {
                Ok(Before { number: here, asked: None })
            }
            Err(error) => Err(error),
        }
    }

    /// What comes before a message that is appended after another one.
    async fn before_next(&self, session: &SessionId, here: Option<i64>, last: Known) -> Before {
        let number = here.max(Some(last.number));
        let at = self.clock.now();
        if at.since(last.asked.at) < last.asked.again_after {
            return Before { number, asked: Some(last.asked) };
        }
        match within(ANSWERED_WITHIN, self.last_on_server(session)).await {
            Some(Ok(there)) => {
                let asked = Some(Asked { at, again_after: ASK_AGAIN_AFTER });
                Before { number: number.max(there), asked }
            }
            Some(Err(_)) => Before { number, asked: Some(Asked { at, again_after: ASK_AGAIN_AFTER }) },
            None => Before { number, asked: Some(Asked { at, again_after: UNANSWERED_FOR }) },
        }
    }

    async fn last_on_server(&self, session: &SessionId) -> Result<Option<i64>, SyncError> {
        let connection = self.connection.as_ref().ok_or(SyncError::NotAuthenticated)?;
        let auth = connection.auth.clone().ok_or(SyncError::NotAuthenticated)?;
        last_sequence_number(Arc::clone(&connection.supabase), auth, self.cache.clone(), session).await
    }

    fn is_begun_here(&self, session: &SessionId) -> bool {
        let known = self.session_store.session(session);
        matches!(known, Ok(Some(CodingSession { owner_device_id: None, .. })))
    }
}

/// The last message before one that is appended.
struct Before {
    number: Option<i64>,
    /// The server's last answer. It is asked again where there was none.
    asked: Option<Asked>,
}

fn after(session: &SessionId, last: Option<i64>) -> Result<i64, SyncError> {
    let next = last.map_or(Some(1), |last| last.checked_add(1));
    next.ok_or_else(|| SyncError::SessionFull(session.clone()))
}
