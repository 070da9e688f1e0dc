//! What Levi is held against: the least that must be done, and what people write otherwise.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use levi::{AccessToken, HttpSupabase, Supabase, Upsert};
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

/// Rows in one transaction at most, as Levi has it.
const GROUP: usize = 256;

const INSERT: &str = "INSERT INTO levi_outbox \
     (lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     VALUES (?1, ?2, 1, ?3, 0, ?4, ?5, ?6)";

/// Sessions that the producers write to.
pub(crate) const SESSIONS: usize = 8;

/// A row on its way to the bare loop.
pub(crate) struct Bare {
    pub(crate) lane: i64,
    pub(crate) sequence_number: i64,
    pub(crate) message_id: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) stored: oneshot::Sender<()>,
}

/// What the bare loop is handed, and so what its one writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payloads {
    /// Rows as they are stored.
    Sealed,
    /// Messages, which it seals first.
    Plain,
}

/// Group commit and nothing else, as it is usually written: drain what is queued, insert, commit, answer. The same table,
/// the same indexes; no lanes, no bounds, no replacing, no counts.
pub(crate) fn group_commit(
    path: &Path,
    extra_sync: Duration,
    payloads: Payloads,
) -> Fallible<(mpsc::Sender<Bare>, std::thread::JoinHandle<rusqlite::Result<()>>)> {
    let mut conn = Connection::open(path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    migrate_in(&conn)?;
    let key = fixture::message_key()?;
    let sessions: Vec<SessionId> = (0..SESSIONS).map(fixture::session).collect();
    let (sender, queue) = mpsc::channel::<Bare>();
    let thread = std::thread::spawn(move || {
        while let Ok(first) = queue.recv() {
            let group: Vec<Bare> = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1)).collect();
            let transaction = conn.transaction()?;
            let enqueued_at = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64);
            let mut insert = transaction.prepare_cached(INSERT)?;
            for row in &group {
                let Bare { lane, sequence_number, message_id, payload, .. } = row;
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
                // The producer may have stopped waiting.
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

/// The bodies of a backlog, as they go over the wire: the chain of each session's batches.
pub(crate) fn bodies(rows: usize, sessions: usize, batch: usize) -> Fallible<Vec<Vec<Upsert>>> {
    let key = fixture::message_key()?;
    let template = fixture::sealed_row(&key, &fixture::session(0), 0)?.payload;
    let template = String::from_utf8(template)?;
    let (_, tail) = template.split_once(r#","content_encrypted""#).ok_or("a row has a ciphertext")?;
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

/// The wire alone: the same bodies in the same order, as many at a time as Levi sends, nothing stored.
pub(crate) async fn bare_posts(
    supabase: &HttpSupabase,
    token: &AccessToken,
    chains: Vec<Vec<Upsert>>,
    in_flight: usize,
) -> Fallible<Duration> {
    let start = Instant::now();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(in_flight));
    let mut tasks = tokio::task::JoinSet::new();
    for chain in chains {
        let (supabase, token, gate) = (supabase.clone(), token.clone(), std::sync::Arc::clone(&gate));
        tasks.spawn(async move {
            for upsert in chain {
                let _permit = gate.acquire().await;
                supabase.upsert(&token, upsert).await?;
            }
            Ok::<(), levi::ApiError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(start.elapsed())
}

/// The disk alone: claim, read and delete a backlog in batches, nothing sent.
pub(crate) fn outbox_alone(path: &Path, batch: usize) -> Fallible<Duration> {
    let mut store = SqliteOutbox::open(path, fixture::options(Synchronous::Full))?;
    let start = Instant::now();
    let now = Wall::from_millis(1_800_000_000_000);
    let mut body = Vec::new();
    loop {
        let query = DueQuery {
            now,
            horizon: now,
            except: &[],
            max_lanes: 1,
            heads_per_lane: batch,
            max_heads: batch,
        };
        let due = store.due(query)?;
        let Some(lane) = due.lanes.first() else { return Ok(start.elapsed()) };
        let rows: Vec<RowKey> = lane.heads.iter().map(|head| head.key).collect();
        body.clear();
        store.payloads(&rows, &mut |_, _, payload| body.extend_from_slice(payload))?;
        store.commit(&[Change::Acknowledge { lane: lane.lane, rows, at: now }], &[])?;
    }
}

/// One POST for each message, one after the other.
pub(crate) async fn one_by_one(
    supabase: &HttpSupabase,
    token: &AccessToken,
    messages: usize,
) -> Fallible<Duration> {
    let chain = bodies(messages, 1, 1)?;
    bare_posts(supabase, token, chain, 1).await
}

/// The plain loop that a daemon starts with: every 500 ms take the 50 oldest rows, seal each, make JSON of them with
/// serde, POST, delete on success.
pub(crate) async fn plain_loop(
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
        let rows = plain_rows(&conn)?;
        let upsert = plain_upsert(&key, &session, &rows)?;
        supabase.upsert(token, upsert).await?;
        for (id, _) in &rows {
            conn.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
        }
    }
    Ok(start.elapsed())
}

fn plain_rows(conn: &Connection) -> Fallible<Vec<(i64, String)>> {
    let mut statement = conn.prepare("SELECT id, content FROM outbox ORDER BY id LIMIT 50")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn plain_upsert(key: &MessageKey, session: &SessionId, rows: &[(i64, String)]) -> Fallible<Upsert> {
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
