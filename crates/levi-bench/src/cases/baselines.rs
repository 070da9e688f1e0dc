//! Baselines: the least work that a result requires, and the loops that a daemon author would write instead.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use levi::HttpSupabase;
use levi::transport::{Supabase, Upsert};
use levi::types::AccessToken;
use levi_crypto::MessageKey;
use levi_crypto::message::{self, MessagePosition};
use levi_outbox::sqlite::{SqliteOutbox, Synchronous, migrate_in};
use levi_outbox::{Change, DueQuery, OutboxStore, RowKey};
use levi_transport::rows::{MessageBatch, encode_message_row};
use levi_types::{SessionId, Wall};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::{Fallible, fixture};

/// The most rows in one transaction, as in Levi.
const MAX_GROUP: usize = 256;

const INSERT: &str = "INSERT INTO levi_outbox \
     (lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     VALUES (?1, ?2, 1, ?3, 0, ?4, ?5, ?6)";

/// How many sessions the producers write to.
pub(crate) const SESSIONS: usize = 8;

/// A row in the queue of [`group_commit`].
pub(crate) struct QueuedRow {
    pub(crate) lane: i64,
    pub(crate) sequence_number: i64,
    pub(crate) message_id: String,
    pub(crate) payload: Vec<u8>,
    /// Completed after the commit.
    pub(crate) stored: oneshot::Sender<()>,
}

/// What producers put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payloads {
    /// Sealed rows, which the writer stores as they are.
    Sealed,
    /// Plaintext, which the writer seals first.
    Plain,
}

/// Group commit as it is usually written: take what is queued, insert, commit, complete the producers. It uses Levi's
/// table and indexes, and has no lanes, limits, replaced rows or counters.
pub(crate) fn group_commit(
    path: &Path,
    extra_sync: Duration,
    payloads: Payloads,
) -> Fallible<(mpsc::Sender<QueuedRow>, std::thread::JoinHandle<rusqlite::Result<()>>)> {
    let mut conn = Connection::open(path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    migrate_in(&conn)?;
    let key = fixture::message_key()?;
    let sessions: Vec<SessionId> = (0..SESSIONS).map(fixture::session).collect();
    let (sender, queue) = mpsc::channel::<QueuedRow>();
    let thread = std::thread::spawn(move || {
        while let Ok(first) = queue.recv() {
            let group: Vec<QueuedRow> =
                std::iter::once(first).chain(queue.try_iter().take(MAX_GROUP - 1)).collect();
            let transaction = conn.transaction()?;
            let enqueued_at = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64);
            let mut insert = transaction.prepare_cached(INSERT)?;
            for row in &group {
                let QueuedRow { lane, sequence_number, message_id, payload, .. } = row;
                let payload = match payloads {
                    Payloads::Sealed => payload,
                    Payloads::Plain => &sealed(&key, &sessions[*lane as usize], *sequence_number, payload),
                };
                insert.execute(params![
                    lane,
                    sequence_number,
                    payload.len() as i64,
                    enqueued_at,
                    message_id,
                    payload
                ])?;
            }
            drop(insert);
            transaction.commit()?;
            if !extra_sync.is_zero() {
                std::thread::sleep(extra_sync);
            }
            for row in group {
                // Fails when the producer no longer waits.
                let _ = row.stored.send(());
            }
        }
        Ok(())
    });
    Ok((sender, thread))
}

fn sealed(key: &MessageKey, session_id: &SessionId, sequence_number: i64, content: &[u8]) -> Vec<u8> {
    let place = MessagePosition { session_id, sequence_number };
    let mut payload = Vec::new();
    let text = std::str::from_utf8(content).unwrap_or_default();
    if let Ok(sealed) = message::seal(key, place, text, &mut UnwrapErr(SysRng)) {
        encode_message_row(&mut payload, session_id, sequence_number, &sealed.ciphertext, &sealed.nonce);
    }
    payload
}

/// The request bodies of a backlog: for each session its batches in order.
pub(crate) fn bodies(rows: usize, sessions: usize, batch: usize) -> Fallible<Vec<Vec<Upsert>>> {
    let key = fixture::message_key()?;
    let template = fixture::sealed_row(&key, &fixture::session(0), 0)?.payload;
    let template = String::from_utf8(template)?;
    let (_, tail) = template.split_once(r#","content_encrypted""#).ok_or("the row has no ciphertext")?;
    let chain = |number: usize| {
        let session = fixture::session(number);
        let own = (rows + sessions - 1 - number) / sessions;
        let starts = (0..own).step_by(batch);
        let upsert = |start: usize| {
            let mut body = MessageBatch::new();
            for sequence_number in start..own.min(start + batch) {
                let row = format!(
                    r#"{{"session_id":"{session}","sequence_number":{sequence_number},"content_encrypted"{tail}"#
                );
                body.push(row.as_bytes());
            }
            body.into_upsert()
        };
        starts.map(upsert).collect()
    };
    Ok((0..sessions).map(chain).collect())
}

/// The wire alone: posts the same bodies in the same order, with as many requests in flight as Levi has, and stores
/// nothing.
pub(crate) async fn wire_only(
    supabase: &HttpSupabase,
    token: &AccessToken,
    chains: Vec<Vec<Upsert>>,
    in_flight: usize,
) -> Fallible<Duration> {
    let start = Instant::now();
    let in_flight = std::sync::Arc::new(tokio::sync::Semaphore::new(in_flight));
    let mut tasks = tokio::task::JoinSet::new();
    for chain in chains {
        let (supabase, token, in_flight) =
            (supabase.clone(), token.clone(), std::sync::Arc::clone(&in_flight));
        tasks.spawn(async move {
            for upsert in chain {
                let _permit = in_flight.acquire().await;
                supabase.upsert(&token, upsert).await?;
            }
            Ok::<(), levi::transport::ApiError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(start.elapsed())
}

/// The disk alone: claims, reads and removes a backlog, and sends nothing. Each transaction removes as many rows as Levi can
/// have in flight, the same number of each session, which is the least: they lie side by side.
pub(crate) fn disk_only(path: &Path, batch: usize, in_flight: usize, sessions: usize) -> Fallible<Duration> {
    let mut store = SqliteOutbox::open(path, fixture::options(Synchronous::Full))?;
    let start = Instant::now();
    let now = Wall::from_millis(1_800_000_000_000);
    let mut body = Vec::new();
    loop {
        let query = DueQuery {
            user: None,
            now,
            horizon: now,
            except: &[],
            max_lanes: sessions,
            heads_per_lane: (batch * in_flight).div_ceil(sessions).min(batch),
            max_heads: batch * in_flight,
        };
        let due = store.due(query)?;
        if due.lanes.is_empty() {
            return Ok(start.elapsed());
        }
        let mut changes = Vec::with_capacity(due.lanes.len());
        for lane in due.lanes {
            let rows: Vec<RowKey> = lane.heads.iter().map(|head| head.key).collect();
            body.clear();
            store.payloads(&rows, &mut |_, _, payload| body.extend_from_slice(payload))?;
            changes.push(Change::Acknowledge { lane: lane.lane, rows, at: now });
        }
        store.commit(&changes, &[])?;
    }
}

/// Sends one POST for each message, one after the other.
pub(crate) async fn one_by_one(
    supabase: &HttpSupabase,
    token: &AccessToken,
    messages: usize,
) -> Fallible<Duration> {
    let chain = bodies(messages, 1, 1)?;
    wire_only(supabase, token, chain, 1).await
}

/// The loop that a daemon author would write first: every 500 ms it takes the 50 oldest rows, seals each, serializes them
/// with serde, sends one POST, and deletes the rows on success.
pub(crate) async fn simple_loop(
    supabase: &HttpSupabase,
    token: &AccessToken,
    path: &Path,
    ticks: usize,
) -> Fallible<Duration> {
    let mut conn = Connection::open(path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.execute_batch(
        "CREATE TABLE outbox (id INTEGER PRIMARY KEY, sequence_number INTEGER, content TEXT, attempts INTEGER)",
    )?;
    let content = fixture::content();
    let transaction = conn.transaction()?;
    for number in 0..ticks as i64 * 50 {
        transaction.execute("INSERT INTO outbox VALUES (?1, ?1, ?2, 0)", params![number, content])?;
    }
    transaction.commit()?;
    let (key, session) = (fixture::message_key()?, fixture::session(0));
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    for _ in 0..ticks {
        tick.tick().await;
        let rows = oldest_rows(&conn)?;
        let upsert = upsert_of_rows(&key, &session, &rows)?;
        supabase.upsert(token, upsert).await?;
        for (id, _) in &rows {
            conn.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
        }
    }
    Ok(start.elapsed())
}

fn oldest_rows(conn: &Connection) -> Fallible<Vec<(i64, String)>> {
    let mut statement = conn.prepare("SELECT id, content FROM outbox ORDER BY id LIMIT 50")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn upsert_of_rows(key: &MessageKey, session: &SessionId, rows: &[(i64, String)]) -> Fallible<Upsert> {
    let mut json = Vec::with_capacity(rows.len());
    for (sequence_number, content) in rows {
        let place = MessagePosition { session_id: session, sequence_number: *sequence_number };
        let sealed = message::seal(key, place, content, &mut rand::rng())?;
        json.push(serde_json::json!({
            "session_id": session.as_str(),
            "sequence_number": sequence_number,
            "content_encrypted": base64_simd::STANDARD.encode_to_string(&sealed.ciphertext),
            "content_nonce": base64_simd::STANDARD.encode_to_string(sealed.nonce),
        }));
    }
    Ok(Upsert { body: serde_json::to_vec(&json)?, ..MessageBatch::new().into_upsert() })
}
