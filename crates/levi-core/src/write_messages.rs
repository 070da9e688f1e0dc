//! Writing a batch of messages without overwriting what somebody else wrote.
//!
//! One request inserts the rows whose places are free and returns those. In the ordinary case that is all of them, and
//! the batch is done. Where a row was there already, one more request reads its nonce, which names the sealed text:
//! this text means that the answer to an earlier request was lost; an earlier text of the same message is replaced; any
//! other text is another writer's, and stays.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use levi_crypto::{message_v2, same_message};
use levi_outbox::{Overwrite, Reason, TextDigest};
use levi_transport::rows::{MessagePlace, MessageRow, decode_rows};
use levi_transport::{ApiError, Select, Supabase, Update, Upsert, Verdict};
use levi_types::{AccessToken, MessageId, SessionId, StoreError};
use serde_json::Value;

use crate::sealing_key::digest_of;
use crate::sync_error::{SendError, SyncError};

/// The code of a message whose place another text has on the server.
const SEQUENCE_TAKEN: &str = "sequence_taken";

/// Sequence numbers in one query, so that its address stays short.
const NUMBERS_PER_QUERY: usize = 100;

/// A message of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// Its session and sequence number.
    pub place: MessagePlace,
    /// The daemon's own id for it.
    pub message_id: MessageId,
    /// The nonce under which it is sealed, as in the column `content_nonce`. It names the text.
    pub nonce: Box<str>,
    /// Which text it may replace, if the server has one in its place.
    pub overwrite: Overwrite,
}

impl SentMessage {
    /// Tells its text from others.
    pub(crate) fn digest(&self) -> Option<TextDigest> {
        digest_of(&nonce_bytes(&self.nonce)?)
    }
}

/// A message that the server did not take, because another text has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenRow {
    /// The place.
    pub place: MessagePlace,
    /// The fingerprints of both texts, for people.
    pub reason: Reason,
}

/// Whether a nonce is of a text of the message that this outbox sealed under an earlier secret of the session. Where the
/// daemon's store cannot say, the message is nobody's fault, and waits.
pub type SealedBefore<'a> = &'a (dyn Fn(&SentMessage, &[u8]) -> Result<bool, StoreError> + Send + Sync);

/// Writes the rows of `insert`, which are those of `messages` in their order. Returns the ones whose places other texts
/// have; the server has all others. `sealed_before` is asked about texts that have another name.
///
/// # Errors
/// [`SendError`]. Some rows may have been written.
pub async fn write_messages(
    supabase: &dyn Supabase,
    token: &AccessToken,
    insert: Upsert,
    messages: &[SentMessage],
    sealed_before: SealedBefore<'_>,
) -> Result<Vec<TakenRow>, SendError> {
    let body = insert.body.clone();
    let inserted: Vec<MessagePlace> = decode_rows(&supabase.insert(token, insert).await?)?;
    if inserted.len() == messages.len() {
        return Ok(Vec::new());
    }
    let inserted: HashSet<MessagePlace> = inserted.into_iter().collect();
    let present = messages.iter().enumerate().filter(|(_, message)| !inserted.contains(&message.place));
    let present: Vec<(usize, &SentMessage)> = present.collect();
    let nonces = nonces(supabase, token, &present).await?;
    let rows = LazyCell::new(|| serde_json::from_slice::<Vec<Value>>(&body).unwrap_or_default());
    let mut taken = Vec::new();
    for (index, message) in present {
        let theirs = nonces.get(&key(&message.place)).ok_or_else(changed)?;
        if *theirs == *message.nonce {
            continue;
        }
        let may_replace = match message.overwrite {
            Overwrite::Anything => true,
            Overwrite::OwnOnly => is_own(message, theirs, sealed_before)?,
            Overwrite::Nothing => false,
        };
        if may_replace {
            let row = rows.get(index).ok_or_else(changed)?.to_string().into_bytes();
            replace(supabase, token, message, theirs, row).await?;
        } else {
            taken.push(TakenRow { place: message.place.clone(), reason: reason(message, theirs) });
        }
    }
    Ok(taken)
}

fn key(place: &MessagePlace) -> (SessionId, i64) {
    (place.session_id.clone(), place.sequence_number)
}

/// The nonces of the rows that were there already.
async fn nonces(
    supabase: &dyn Supabase,
    token: &AccessToken,
    present: &[(usize, &SentMessage)],
) -> Result<BTreeMap<(SessionId, i64), String>, ApiError> {
    let mut missing: BTreeMap<SessionId, Vec<i64>> = BTreeMap::new();
    for (_, SentMessage { place, .. }) in present {
        missing.entry(place.session_id.clone()).or_default().push(place.sequence_number);
    }
    let mut nonces = BTreeMap::new();
    for (session, mut numbers) in missing {
        while !numbers.is_empty() {
            let asked = &numbers[..numbers.len().min(NUMBERS_PER_QUERY)];
            let page = supabase.select(token, Select::nonces(&session, asked)).await?;
            let page: Vec<MessageRow> = decode_rows(&page)?;
            let before = numbers.len();
            for row in page {
                numbers.retain(|number| *number != row.sequence_number);
                nonces.insert((session.clone(), row.sequence_number), row.content_nonce);
            }
            // A server may return fewer rows than asked for, but not none: they were there a moment ago.
            if numbers.len() == before {
                return Err(changed());
            }
        }
    }
    Ok(nonces)
}

/// Whether the text on the server is an earlier one of the same message by the same outbox.
fn is_own(message: &SentMessage, theirs: &str, sealed_before: SealedBefore<'_>) -> Result<bool, SyncError> {
    let (Some(mine), Some(theirs)) = (nonce_bytes(&message.nonce), nonce_bytes(theirs)) else {
        return Ok(false);
    };
    Ok(same_message(&mine, &theirs) || sealed_before(message, &theirs)?)
}

/// The nonce in a column of version 1 or 2.
fn nonce_bytes(content_nonce: &str) -> Option<Vec<u8>> {
    if message_v2::is_version_2(content_nonce) {
        return message_v2::nonce_from_wire(content_nonce).ok().map(|wire| wire.nonce.to_vec());
    }
    BASE64.decode(content_nonce).ok()
}

/// Replaces the text that was just seen, and no other.
async fn replace(
    supabase: &dyn Supabase,
    token: &AccessToken,
    message: &SentMessage,
    theirs: &str,
    row: Vec<u8>,
) -> Result<(), ApiError> {
    let MessagePlace { session_id, sequence_number } = &message.place;
    let update = Update::message(session_id, *sequence_number, theirs, row);
    let updated: Vec<MessageRow> = decode_rows(&supabase.update(token, update).await?)?;
    if updated.is_empty() { Err(changed()) } else { Ok(()) }
}

/// Somebody else changes the same rows at this moment: try again a little later.
fn changed() -> ApiError {
    let detail = "rows that the server had are gone, or were changed meanwhile";
    ApiError::new(Verdict::Busy, "rows_changed", detail)
}

fn reason(message: &SentMessage, theirs: &str) -> Reason {
    let (number, mine) = (message.place.sequence_number, &message.nonce);
    // A server's text: of another writer it may be anything.
    let theirs: String = theirs.chars().filter(|c| c.is_ascii_graphic()).take(32).collect();
    let origin = match message.overwrite {
        Overwrite::Nothing => "; this one is from a damaged outbox and may be older",
        Overwrite::OwnOnly | Overwrite::Anything => "",
    };
    let detail = format!(
        "the server has another text at sequence number {number}, and nothing was overwritten: \
         its fingerprint is {theirs}, this one's is {mine}{origin}"
    );
    Reason { code: SEQUENCE_TAKEN.into(), detail }
}
