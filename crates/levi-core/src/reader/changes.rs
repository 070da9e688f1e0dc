//! The change feed: what changed since a cursor, over all sessions, with one request.

mod go_back;
mod unlock;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};

use levi_transport::rows::{ChangeRow, MessagePlace, MessageRow, decode_rows};
use levi_transport::{ApiError, ChangesOf, PassedOver, Select};
use levi_types::{SessionId, UserId};

use super::arrival::Arrival;
use super::cursor::ChangeCursor;
use super::keys_to_try::KeysToTry;
use super::waiting::{Turn, Waiting};
use super::{MessageError, ReadError, Reader, open_row};
use crate::read_policy::Retries;
use crate::reads::Reads;
use crate::request_error::RequestError;

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

/// Some changes, in the order in which the server numbered them.
#[derive(Debug)]
pub struct ChangePage {
    /// The changes.
    pub changes: Vec<Change>,
    /// Ask for the next page with this, now or later. Store it after what was delivered is done
    /// with: a page whose cursor was not stored is delivered again.
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
    /// At most `limit` changes past `cursor` (from the beginning, for `None`) in all sessions of
    /// the user, with one request whatever the number of sessions.
    ///
    /// Each change is delivered once. A message that cannot be read is delivered as that, and once
    /// more when its key has come ([`Arrival::Unlocked`]); while there are such messages, a second
    /// request asks for their envelopes. Deleted messages and sessions are not changes.
    ///
    /// It does not notice that a project was restored from a backup, because that takes another
    /// request: [`follow`](Self::follow) does.
    ///
    /// # Errors
    /// [`ReadError`] if nothing can be read now. [`ReadError::NoChangeFeed`] names the migration
    /// that a project lacks.
    pub async fn changes(&self, cursor: Option<&ChangeCursor>, limit: u32) -> Result<ChangePage, ReadError> {
        self.changes_with(cursor, limit, self.retries, Numbers::GoOn, None).await
    }

    pub(super) async fn changes_with(
        &self,
        cursor: Option<&ChangeCursor>,
        limit: u32,
        retries: Retries,
        numbers: Numbers,
        only: Option<&SessionId>,
    ) -> Result<ChangePage, ReadError> {
        self.opening.device.id.check()?;
        only.map(SessionId::check).transpose()?;
        let auth = self.session().await?;
        auth.user_id.check()?;
        let mut cursor = match cursor {
            Some(cursor) if *cursor.user_id() == auth.user_id => cursor.clone(),
            Some(cursor) => {
                let (cursor, user) = (cursor.user_id().clone(), auth.user_id);
                return Err(ReadError::OtherUsersCursor { cursor, user });
            }
            None => ChangeCursor::beginning(auth.user_id.clone()),
        };
        cursor.sessions.retain(|session, _| only.is_none_or(|only| session == only));
        let reads = self.server.reads(&auth, retries);
        let mut feed = Feed { reader: self, reads: &reads, user: &auth.user_id, only, cursor };
        if numbers == Numbers::MayHaveGoneBack {
            feed.go_back().await?;
        }
        let (changes, more) = feed.poll(limit).await?;
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

/// Whether the server's numbers continue from the cursor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    GoOn,
    /// The project may have been restored from a backup.
    MayHaveGoneBack,
}

/// One read of the feed.
struct Feed<'a> {
    reader: &'a Reader,
    reads: &'a Reads<'a>,
    user: &'a UserId,
    /// The one session whose changes are asked for; `None`: of all.
    only: Option<&'a SessionId>,
    cursor: ChangeCursor,
}

/// The keys of the sessions of one page, or why one has none.
type PageKeys<'k> = HashMap<&'k SessionId, Result<KeysToTry<'k>, Arc<ReadError>>>;

/// A row of a page.
struct Placed {
    change_id: i64,
    session: SessionId,
    sequence_number: i64,
    /// Its columns, or why they cannot be fetched.
    row: Result<MessageRow, ApiError>,
}

/// How many of a forgotten session's last rows are fetched to find one that can be read, as long as
/// none can.
const LAST_ROWS: [u32; 3] = [1, 4, 16];

impl<'a> Feed<'a> {
    /// What can be read by now of what came before, else what is new, and whether that was not the end.
    ///
    /// An attempt that fails at what came before keeps no new message back: what is new is read then, at once or, if the
    /// server asks for a wait, first thing in the next poll.
    async fn poll(&mut self, limit: u32) -> Result<(Vec<Change>, bool), ReadError> {
        if self.reader.waiting().is_behind_new() {
            let (changes, more) = self.next(limit).await?;
            self.reader.waiting().had_turn(Turn::Done);
            if !changes.is_empty() {
                return Ok((changes, more));
            }
            let unlocked =
                self.unlock(limit).await.inspect_err(|_| self.reader.waiting().had_turn(Turn::Failed))?;
            let more = more || !unlocked.is_empty();
            return Ok((unlocked, more));
        }
        match self.unlock(limit).await {
            Ok(unlocked) if unlocked.is_empty() => self.next(limit).await,
            Ok(unlocked) => Ok((unlocked, true)),
            Err(error) => {
                self.reader.waiting().had_turn(Turn::Failed);
                if !error.is_passing() || error.retry_after().is_some() {
                    return Err(error);
                }
                match self.next(limit).await {
                    Ok((changes, more)) if !changes.is_empty() => Ok((changes, more)),
                    _ => Err(error),
                }
            }
        }
    }

    /// What changed past the cursor, and whether that was not the end.
    async fn next(&mut self, limit: u32) -> Result<(Vec<Change>, bool), ReadError> {
        let sizes = &self.reads.sizes().messages;
        let query = ChangesOf { user: self.user, session: self.only };
        let page = self.reads.page(&query, self.cursor.position.as_ref(), limit, sizes).await;
        let page = page.map_err(no_feed)?;
        let Some(last) = page.cursor else { return Ok((Vec::new(), false)) };
        let mut rows = self.placed(page.rows).await?;
        // A server that does not filter is not believed.
        rows.retain(|row| self.only.is_none_or(|only| row.session == *only));
        self.recall(&rows).await?;
        let mut changes = Vec::with_capacity(rows.len());
        let mut keys = PageKeys::new();
        for Placed { change_id, session, sequence_number, row } in &rows {
            let content = match row {
                Ok(row) => self.open(&mut keys, session, row).await?,
                Err(error) => Err(MessageError::NotFetched(error.clone())),
            };
            changes.push(self.deliver(*change_id, session, *sequence_number, content));
        }
        self.cursor.position = Some(last);
        self.cursor.forget_oldest();
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

    /// The rows of a page, with the places of those that cannot be fetched. One of these that has
    /// changed again meanwhile is left out, because that change follows.
    async fn placed(&self, page: Vec<Result<ChangeRow, PassedOver<i64>>>) -> Result<Vec<Placed>, ReadError> {
        let mut rows = Vec::with_capacity(page.len());
        for row in page {
            match row {
                Ok(row) => {
                    let (change_id, session) = (row.change_id, row.session_id.clone());
                    let sequence_number = row.sequence_number;
                    rows.push(Placed { change_id, session, sequence_number, row: Ok(row.into_message()) });
                }
                Err(PassedOver { key, error }) => {
                    let body = self.reads.read_one(Select::change_place(self.user, key)).await?;
                    let place = decode_rows::<MessagePlace>(&body)?.into_iter().next();
                    rows.extend(place.map(|MessagePlace { session_id: session, sequence_number }| Placed {
                        change_id: key,
                        session,
                        sequence_number,
                        row: Err(error),
                    }));
                }
            }
        }
        Ok(rows)
    }

    /// Asks what was delivered of the sessions that the cursor has forgotten.
    async fn recall(&mut self, rows: &[Placed]) -> Result<(), ReadError> {
        let Some(position) = self.cursor.position else { return Ok(()) };
        let is_forgotten =
            |session: &&SessionId| self.cursor.may_have_forgotten(session) && session.check().is_ok();
        let forgotten: BTreeSet<&SessionId> =
            rows.iter().map(|row| &row.session).filter(is_forgotten).collect();
        for session in forgotten {
            let highest = self.highest_readable(session, position).await?;
            self.cursor.recall(session, highest);
        }
        Ok(())
    }

    /// The highest number of a session's messages that can be read, among those whose last change
    /// is at most `position`. `None`: there is none among the last few.
    async fn highest_readable(&self, session: &SessionId, position: i64) -> Result<Option<i64>, ReadError> {
        let mut keys = PageKeys::new();
        for limit in LAST_ROWS {
            let query = Select::last_messages_changed_by(session, position, limit);
            let rows: Vec<MessageRow> = decode_rows(&self.reads.read_one(query).await?)?;
            for row in &rows {
                match self.open(&mut keys, session, row).await? {
                    Ok(_) => return Ok(Some(row.sequence_number)),
                    // Without a key none of the others can be read either.
                    Err(MessageError::NoSecret(_)) => return Ok(None),
                    Err(_) => {}
                }
            }
            if rows.len() < limit as usize {
                break;
            }
        }
        Ok(None)
    }

    /// Opens a row. What is wrong with one session's key makes that session's rows unreadable, and
    /// no others.
    async fn open<'k>(
        &self,
        keys: &mut PageKeys<'k>,
        session: &'k SessionId,
        row: &MessageRow,
    ) -> Result<Result<String, MessageError>, ReadError>
    where
        'a: 'k,
    {
        let begin = || -> Result<KeysToTry<'k>, Arc<ReadError>> {
            session.check().map_err(|error| Arc::new(error.into()))?;
            Ok(KeysToTry::new(&self.reader.opening, self.user, session))
        };
        let keys_to_try = match keys.entry(session).or_insert_with(begin) {
            Ok(keys_to_try) => keys_to_try,
            Err(why) => return Ok(Err(MessageError::NoSecret(Arc::clone(why)))),
        };
        match open_row(self.reads, keys_to_try, session, row).await {
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
