//! Secrets to read with, beside the present ones: what other devices sealed for this one, by user, and what
//! [`save_secret`](super::SqliteSessionStore::save_secret) replaced, without a user and a sender.

use levi_crypto::at_rest::Slot;
use levi_types::{DeviceId, ReceivedSecret, SecretString, SenderKey, SessionId, UserId};
use rusqlite::Connection;

use super::cipher::Cipher;
use super::failure::Failure;
use super::user;

/// The most secrets of one session. Beyond it the latest is replaced and the earlier ones stay, because the server has
/// the latest and nothing else has the others.
const MOST: usize = 16;

/// Secrets that this device's own store had.
pub(super) const NO_USER: &str = "";

/// The latest first.
pub(super) fn of_session(
    connection: &Connection,
    cipher: &Cipher,
    user: &str,
    session: &SessionId,
) -> Result<Vec<ReceivedSecret>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT user_id, sender_device_id, sender_public_key, secret FROM levi_store_received
         WHERE session_id = ?1 AND user_id IN (?2, ?3) ORDER BY id DESC",
    )?;
    // What the own store had before anybody signed in is the session's user's, as the session is.
    let own = match user::owner(connection, session)? {
        Some(owner) if owner.as_str() != user => user,
        _ => NO_USER,
    };
    let mut rows = statement.query((session.as_str(), user, own))?;
    let mut received = Vec::new();
    while let Some(row) = rows.next()? {
        let kept_for: String = row.get(0)?;
        let sender: Option<String> = row.get(1)?;
        let key: Option<String> = row.get(2)?;
        let sealed: Vec<u8> = row.get(3)?;
        // One damaged row must not hide the others.
        received.extend(open(cipher, &kept_for, session, sender.zip(key), &sealed));
    }
    Ok(received)
}

/// A row's secret, with its sender's id and public key. `None` if it does not open.
pub(super) fn open(
    cipher: &Cipher,
    user: &str,
    session: &SessionId,
    sender: Option<(String, String)>,
    sealed: &[u8],
) -> Option<ReceivedSecret> {
    let sender = sender.map(|(device, public_key)| SenderKey { device_id: device.into(), public_key });
    let name = row_key(user, session, sender.as_ref());
    let plain = cipher.open(slot(&name), sealed).ok()?;
    let secret = SecretString::from(str::from_utf8(&plain).ok()?);
    Some(ReceivedSecret { secret, sender })
}

/// Within the caller's transaction.
pub(super) fn keep(
    connection: &Connection,
    cipher: &Cipher,
    user: &str,
    session: &SessionId,
    received: &ReceivedSecret,
) -> Result<(), Failure> {
    let known = of_session(connection, cipher, user, session)?;
    if known.contains(received) {
        return Ok(());
    }
    if known.len() >= MOST {
        connection.execute(
            "DELETE FROM levi_store_received WHERE id =
             (SELECT max(id) FROM levi_store_received WHERE session_id = ?1 AND user_id = ?2)",
            (session.as_str(), user),
        )?;
    }
    let ReceivedSecret { secret, sender } = received;
    let name = row_key(user, session, sender.as_ref());
    // Exposed to be sealed.
    let sealed = cipher.seal(slot(&name), secret.expose().as_bytes())?;
    let device = sender.as_ref().map(|sender| sender.device_id.as_str());
    let key = sender.as_ref().map(|sender| sender.public_key.as_str());
    connection.execute(
        "INSERT INTO levi_store_received (user_id, session_id, sender_device_id, sender_public_key, secret)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (user, session.as_str(), device, key, sealed),
    )?;
    Ok(())
}

pub(super) fn sender_keys(
    connection: &Connection,
    user: &UserId,
    sender: &DeviceId,
) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT sender_public_key FROM levi_store_received
         WHERE sender_device_id = ?1 AND user_id = ?2",
    )?;
    let keys = statement.query_map((sender.as_str(), user.as_str()), |row| row.get(0))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}

fn row_key(user: &str, session: &SessionId, sender: Option<&SenderKey>) -> String {
    match sender {
        Some(sender) => format!("{user}/{session}/{}/{}", sender.device_id, sender.public_key),
        None => format!("{user}/{session}"),
    }
}

fn slot(row_key: &str) -> Slot<'_> {
    Slot { table: "levi_store_received", row_key, column: "secret" }
}
