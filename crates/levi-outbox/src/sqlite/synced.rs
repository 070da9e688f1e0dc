//! The texts that the server has taken: found again when the same message is enqueued again.

use std::collections::HashMap;

use levi_types::SessionId;
use rusqlite::{Connection, OptionalExtension, Result};

use super::counters::Counters;
use super::users;
use crate::model::{Change, LaneKey, NewRow, Overwrite, SyncedText, TextDigest};

/// Sequence numbers in a run.
const RUN: i64 = 128;
/// Bytes of an entry: the number's place in its run, and the digest.
const ENTRY: usize = 9;
/// Runs that are kept: a million messages in full ones, in 10 MB.
const MOST_RUNS: i64 = 8_192;
/// Sessions whose highest number is kept in memory.
const MOST_SESSIONS: usize = 1_024;

pub(super) const FIND: &str =
    "SELECT id, texts FROM levi_synced WHERE user = ?1 AND session_id = ?2 AND run = ?3";
pub(super) const LAST: &str =
    "SELECT run, texts FROM levi_synced WHERE user = ?1 AND session_id = ?2 ORDER BY run DESC LIMIT 1";
pub(super) const ADD: &str = "INSERT INTO levi_synced (user, session_id, run, texts) VALUES (?1, ?2, ?3, ?4)";
pub(super) const CHANGE: &str = "UPDATE levi_synced SET texts = ?2 WHERE id = ?1";
pub(super) const DROP_OLDEST: &str = "DELETE FROM levi_synced WHERE id <= ?1";
pub(super) const FORGET: &str = "DELETE FROM levi_synced WHERE user = ?1 AND session_id = ?2";

/// The highest sequence number of each session whose text the server has, as far as it was asked
/// for. Only the owner writes the table, and messages beyond the highest number need no look at it.
#[derive(Debug, Default)]
pub(super) struct HighestSynced {
    sessions: HashMap<SessionId, Highest>,
}

#[derive(Clone, Copy, Debug)]
struct Highest {
    user: i64,
    /// `None`: no text is known.
    number: Option<i64>,
}

impl HighestSynced {
    fn of(&mut self, conn: &Connection, user: i64, session: &SessionId) -> Result<Option<i64>> {
        if let Some(known) = self.sessions.get(session).filter(|known| known.user == user) {
            return Ok(known.number);
        }
        let last = conn
            .prepare_cached(LAST)?
            .query_row((user, session.as_str()), |row| Ok((row.get(0)?, Run(row.get(1)?))))
            .optional()?;
        let number = last.and_then(|(run, texts): (i64, Run)| texts.highest(run));
        if self.sessions.len() >= MOST_SESSIONS {
            self.sessions.clear();
        }
        self.sessions.insert(session.clone(), Highest { user, number });
        Ok(number)
    }

    /// The texts of a session have changed.
    pub(super) fn forget(&mut self, session: &SessionId) {
        self.sessions.remove(session);
    }
}

/// Reads every run as the readers do.
pub(super) fn decode_all(conn: &Connection) -> Result<()> {
    let mut runs = conn.prepare("SELECT run, texts FROM levi_synced NOT INDEXED")?;
    let mut rows = runs.query([])?;
    while let Some(row) = rows.next()? {
        let (_, _): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
    }
    Ok(())
}

/// The texts of the messages of one run.
struct Run(Vec<u8>);

impl Run {
    /// The highest sequence number, in the run with this number.
    fn highest(&self, run: i64) -> Option<i64> {
        let place = self.0.chunks_exact(ENTRY).map(|entry| entry[0]).max()?;
        run.checked_mul(RUN)?.checked_add(i64::from(place))
    }

    fn find(&self, sequence_number: i64) -> Option<TextDigest> {
        let place = place(sequence_number);
        let entry = self.0.chunks_exact(ENTRY).find(|entry| entry[0] == place)?;
        Some(TextDigest(entry[1..].try_into().ok()?))
    }

    fn set(&mut self, text: &SyncedText) {
        let place = place(text.sequence_number);
        match self.0.chunks_exact_mut(ENTRY).find(|entry| entry[0] == place) {
            Some(entry) => entry[1..].copy_from_slice(&text.digest.0),
            None => {
                self.0.push(place);
                self.0.extend_from_slice(&text.digest.0);
            }
        }
    }
}

const fn run(sequence_number: i64) -> i64 {
    sequence_number.div_euclid(RUN)
}

fn place(sequence_number: i64) -> u8 {
    u8::try_from(sequence_number.rem_euclid(RUN)).unwrap_or(u8::MAX)
}

/// Whether the server has the text of `row`, which `user` enqueues.
pub(super) fn is_synced(
    conn: &Connection,
    highest: &mut HighestSynced,
    user: i64,
    row: &NewRow,
) -> Result<bool> {
    let LaneKey::Messages(session) = &row.lane else { return Ok(false) };
    // A caller that replaces any text wants it sent, whatever was sent before.
    if row.texts.own.is_none() || row.overwrite != Overwrite::OwnOnly {
        return Ok(false);
    }
    if highest.of(conn, user, session)? < Some(row.sequence_number) {
        return Ok(false);
    }
    let found = find(conn, user, session, run(row.sequence_number))?;
    let digest = found.and_then(|(_, texts)| texts.find(row.sequence_number));
    Ok(digest.is_some_and(|digest| row.texts.contain(digest)))
}

/// The entry of a run, and its texts.
fn find(conn: &Connection, user: i64, session: &SessionId, run: i64) -> Result<Option<(i64, Run)>> {
    conn.prepare_cached(FIND)?
        .query_row((user, session.as_str(), run), |row| Ok((row.get(0)?, Run(row.get(1)?))))
        .optional()
}

/// Applies [`Change::NoteSynced`].
pub(super) fn note(conn: &Connection, counters: &Counters, change: &Change) -> Result<()> {
    let Change::NoteSynced { user, session, texts } = change else { return Ok(()) };
    let user = match user {
        Some(user) => users::find_or_add(conn, user)?,
        None => counters.user(),
    };
    for texts in texts.chunk_by(|a, b| run(a.sequence_number) == run(b.sequence_number)) {
        let Some(first) = texts.first() else { continue };
        let run = run(first.sequence_number);
        match find(conn, user, session, run)? {
            Some((id, mut known)) => {
                texts.iter().for_each(|text| known.set(text));
                conn.prepare_cached(CHANGE)?.execute((id, &known.0))?;
            }
            None => {
                let mut known = Run(Vec::with_capacity(texts.len() * ENTRY));
                texts.iter().for_each(|text| known.set(text));
                let id = conn.prepare_cached(ADD)?.insert((user, session.as_str(), run, &known.0))?;
                conn.prepare_cached(DROP_OLDEST)?.execute([id.saturating_sub(MOST_RUNS)])?;
            }
        }
    }
    Ok(())
}

/// The session is written to the server anew, and so are its messages.
pub(super) fn forget(conn: &Connection, user: i64, session: &SessionId) -> Result<()> {
    conn.prepare_cached(FORGET)?.execute((user, session.as_str())).map(drop)
}
