//! The change feed: what changed since a cursor, over all sessions, with one request.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};

use levi_transport::rows::{ChangeRow, MessagePlace, MessageRow, SecretRow, decode_rows};
use levi_transport::{ChangesOf, ChangesOfSession, PassedOver, SecretsAmong, Select};
use levi_types::{SessionId, UserId};

use super::cursor::{ChangeCursor, Tried};
use super::keyring::Keyring;
use super::waiting::{Due, MOST_ASKED, Sighting, Waiting};
use super::{MessageError, ReadError, Reader, open_row};
use crate::reads::{Reads, Retries};
use crate::server::RequestError;

/// A message that is new, another one, or readable now.
pub struct Change {
    /// The session.
    pub session_id: SessionId,
    /// Its place in the session.
    pub sequence_number: i64,
    /// What was written, or why that cannot be read.
    pub content: Result<String, MessageError>,
    /// What it is to those that were delivered before.
    pub arrival: Arrival,
}

/// What a change is to the changes of the same session that were delivered before, by this cursor and those it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its number is above all that could be read before. In the order of delivery the numbers of a session's new messages
    /// rise.
    New,
    /// Its number is not: it is another text in a place that was delivered, or a message that was written late or put
    /// back.
    Edited,
    /// It was delivered before as one that cannot be read. Its key has come since.
    Unlocked,
}

/// Some changes, in the order in which the server numbered them.
#[derive(Debug)]
pub struct ChangePage {
    /// The changes.
    pub changes: Vec<Change>,
    /// Ask for the next page with this, now or later. Store it after what was delivered is done with: a page whose cursor
    /// was not stored is delivered again.
    pub cursor: ChangeCursor,
    /// Whether to ask again at once. If not, the end is reached for now.
    pub more: bool,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("session_id", &self.session_id)
            .field("sequence_number", &self.sequence_number)
            .field("content_bytes", &self.content.as_ref().map(String::len))
            .field("arrival", &self.arrival)
            .finish()
    }
}

impl Reader {
    /// At most `limit` changes past `cursor` (from the beginning, for `None`) in all sessions of the user, with one request
    /// whatever the number of sessions.
    ///
    /// Each change is delivered once. A message that cannot be read is delivered as that, and once more when its key has
    /// come ([`Arrival::Unlocked`]); while there are such messages, a second request looks for their envelopes. Deleted
    /// messages and sessions are not changes.
    ///
    /// # Errors
    /// [`ReadError`] if nothing can be read now. [`ReadError::NoChangeFeed`] names the migration that a project lacks.
    pub async fn changes(&self, cursor: Option<&ChangeCursor>, limit: u32) -> Result<ChangePage, ReadError> {
        self.changes_with(cursor, limit, self.retries).await
    }

    pub(super) async fn changes_with(
        &self,
        cursor: Option<&ChangeCursor>,
        limit: u32,
        retries: Retries,
    ) -> Result<ChangePage, ReadError> {
        self.opening.device.id.check()?;
        let auth = self.session().await?;
        auth.user_id.check()?;
        let cursor = match cursor {
            Some(cursor) if *cursor.user_id() == auth.user_id => cursor.clone(),
            Some(cursor) => {
                let (cursor, user) = (cursor.user_id().clone(), auth.user_id);
                return Err(ReadError::OtherUsersCursor { cursor, user });
            }
            None => ChangeCursor::beginning(auth.user_id.clone()),
        };
        let reads = self.server.reads(&auth, retries);
        let mut feed = Feed { reader: self, reads: &reads, user: &auth.user_id, cursor };
        let mut changes = feed.unlock(limit).await?;
        let mut more = true;
        if changes.is_empty() {
            (changes, more) = feed.next(limit).await?;
        }
        let cursor = feed.cursor;
        // Somebody else may have signed in meanwhile.
        self.server.check(&auth)?;
        Ok(ChangePage { changes, cursor, more: more || self.waiting().has_due() })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot leave it half changed in a way that matters: a session is tried once more.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One read of the feed.
struct Feed<'a> {
    reader: &'a Reader,
    reads: &'a Reads<'a>,
    user: &'a UserId,
    cursor: ChangeCursor,
}

/// The keys of the sessions of one page, or why one has none.
type PageKeys<'k> = HashMap<&'k SessionId, Result<Keyring<'k>, Arc<ReadError>>>;

/// The rows of a page with their numbers, and the places of those that cannot be fetched.
type Placed = (Vec<(i64, SessionId, MessageRow)>, Vec<(i64, MessagePlace, MessageError)>);

impl<'a> Feed<'a> {
    /// What changed past the cursor, and whether that was not the end.
    async fn next(&mut self, limit: u32) -> Result<(Vec<Change>, bool), ReadError> {
        let sizes = &self.reads.sizes().messages;
        let query = ChangesOf(self.user);
        let page = self.reads.page(&query, self.cursor.position.as_ref(), limit, sizes).await;
        let page = page.map_err(no_feed)?;
        let Some(last) = page.cursor else { return Ok((Vec::new(), false)) };
        let (rows, passed) = self.placed(page.rows).await?;
        self.recall(&rows).await?;
        let mut changes = Vec::with_capacity(rows.len() + passed.len());
        let mut keys = PageKeys::new();
        for (change_id, session, row) in &rows {
            let content = self.open(&mut keys, session, row).await?;
            changes.push(self.deliver(*change_id, session, row.sequence_number, content));
        }
        for (change_id, place, error) in passed {
            let content = Err(error);
            changes.push(self.deliver(change_id, &place.session_id, place.sequence_number, content));
        }
        self.cursor.position = Some(last);
        Ok((changes, true))
    }

    fn deliver(
        &mut self,
        change_id: i64,
        session: &SessionId,
        sequence_number: i64,
        content: Result<String, MessageError>,
    ) -> Change {
        let arrival = match content {
            Ok(_) => self.cursor.readable(session, change_id, sequence_number),
            // An id that no cursor takes: nothing can be waited for.
            Err(_) if session.check().is_err() => Arrival::New,
            Err(_) => self.cursor.unreadable(session, change_id, sequence_number),
        };
        Change { session_id: session.clone(), sequence_number, content, arrival }
    }

    /// The rows of a page, and the places of those that cannot be fetched. One that has changed again meanwhile is left
    /// out, because that change follows.
    async fn placed(&self, page: Vec<Result<ChangeRow, PassedOver<i64>>>) -> Result<Placed, ReadError> {
        let (mut rows, mut passed) = (Vec::with_capacity(page.len()), Vec::new());
        for row in page {
            match row {
                Ok(row) => rows.push((row.change_id, row.session_id.clone(), row.into_message())),
                Err(PassedOver { key, error }) => {
                    let body = self.reads.read_one(Select::change_place(self.user, key)).await?;
                    let places: Vec<MessagePlace> = decode_rows(&body)?;
                    let error = MessageError::NotFetched(error);
                    passed.extend(places.into_iter().next().map(|place| (key, place, error)));
                }
            }
        }
        Ok((rows, passed))
    }

    /// Asks what was delivered of the sessions that the cursor has forgotten.
    async fn recall(&mut self, rows: &[(i64, SessionId, MessageRow)]) -> Result<(), ReadError> {
        let Some(position) = self.cursor.position else { return Ok(()) };
        let sessions: BTreeSet<&SessionId> = rows.iter().map(|(_, session, _)| session).collect();
        for session in sessions {
            if self.cursor.may_have_forgotten(session) && session.check().is_ok() {
                let query = Select::last_message_changed_by(session, position);
                let rows: Vec<MessageRow> = decode_rows(&self.reads.read_one(query).await?)?;
                self.cursor.recall(session, rows.first().map(|row| row.sequence_number));
            }
        }
        Ok(())
    }

    /// Reads again what may be readable by now.
    async fn unlock(&mut self, limit: u32) -> Result<Vec<Change>, ReadError> {
        if !self.reader.waiting().has_due() {
            self.look().await?;
        }
        let due = self.reader.waiting().due();
        match due {
            Some(due) => self.try_again(&due, limit).await,
            None => Ok(Vec::new()),
        }
    }

    /// Looks for the envelopes of some of the sessions that wait.
    async fn look(&self) -> Result<(), ReadError> {
        let waiting: Vec<SessionId> = self.cursor.waiting().map(|(session, _)| session.clone()).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let asked = self.reader.waiting().next_to_ask(&waiting);
        let query = SecretsAmong { device: &self.reader.opening.device.id, sessions: &asked };
        let rows = self.reads.all(&query, &self.reads.sizes().secrets, MOST_ASKED).await?;
        let envelopes: HashMap<SessionId, SecretRow> =
            rows.into_iter().flatten().map(|row| (row.session_id.clone(), row)).collect();
        for (session, known) in self.cursor.waiting().filter(|(session, _)| asked.contains(session)) {
            let envelope = envelopes.get(session).map(|row| row.ephemeral_public_key.as_str());
            let has_key = envelope.is_none() && self.reader.has_key(self.user, session);
            let position = self.cursor.position;
            self.reader.waiting().seen(Sighting { session, known, position, envelope, has_key });
        }
        Ok(())
    }

    /// Reads rows again that could not be read, and returns those that can.
    async fn try_again(&mut self, due: &Due, limit: u32) -> Result<Vec<Change>, ReadError> {
        let session = &due.session;
        let mut changes = Vec::new();
        if let Some((after, up_to)) = self.cursor.to_try(session) {
            let sizes = &self.reads.sizes().messages;
            let query = ChangesOfSession { session, up_to };
            let page = self.reads.page(&query, Some(&after), limit, sizes).await.map_err(no_feed)?;
            let to = page.cursor.map_or(up_to, |last| last.min(up_to));
            let (mut keys, mut tried) = (PageKeys::new(), Vec::with_capacity(page.rows.len()));
            for row in page.rows {
                let (change_id, row) = match row {
                    Ok(row) => (row.change_id, Some(row.into_message())),
                    Err(passed) => (passed.key, None),
                };
                if !self.cursor.was_unreadable(session, change_id) {
                    continue;
                }
                let (content, sequence_number) = match &row {
                    Some(row) => (self.open(&mut keys, session, row).await?.ok(), row.sequence_number),
                    None => (None, i64::MIN),
                };
                tried.push(Tried { change_id, sequence_number, is_readable: content.is_some() });
                changes.extend(content.map(|content| Change {
                    session_id: session.clone(),
                    sequence_number,
                    content: Ok(content),
                    arrival: Arrival::Unlocked,
                }));
            }
            self.cursor.tried(session, &tried, to);
        }
        let remains = self.cursor.sessions.get(session);
        if remains.is_none_or(|known| known.tried_to.is_none()) {
            let remained = remains.map(|known| known.unreadable.as_slice()).unwrap_or_default();
            self.reader.waiting().tried(due, self.cursor.position, remained);
        }
        Ok(changes)
    }

    /// Opens a row. What is wrong with one session's key makes that session's rows unreadable, and no others.
    async fn open<'k>(
        &self,
        keys: &mut PageKeys<'k>,
        session: &'k SessionId,
        row: &MessageRow,
    ) -> Result<Result<String, MessageError>, ReadError>
    where
        'a: 'k,
    {
        let begin = || -> Result<Keyring<'k>, Arc<ReadError>> {
            session.check().map_err(|error| Arc::new(error.into()))?;
            Ok(Keyring::new(&self.reader.opening, self.user, session))
        };
        let keyring = match keys.entry(session).or_insert_with(begin) {
            Ok(keyring) => keyring,
            Err(why) => return Ok(Err(MessageError::NoSecret(Arc::clone(why)))),
        };
        match open_row(self.reads, keyring, session, row).await {
            Ok(read) => Ok(read),
            Err(error @ ReadError::Auth(_)) => Err(error),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                let why = Arc::new(error);
                keys.insert(session, Err(Arc::clone(&why)));
                Ok(Err(MessageError::NoSecret(why)))
            }
        }
    }
}

fn no_feed(error: RequestError) -> ReadError {
    match error {
        RequestError::Api(error) if error.is_missing_column() => ReadError::NoChangeFeed(error),
        error => error.into(),
    }
}
