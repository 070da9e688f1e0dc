//! Opens one row, of version 1 or 2.

use levi_crypto::message::{self, MessagePosition};
use levi_crypto::message_v2::{self, Order, WireNonce};
use levi_crypto::{MessageKey, OpenError};
use levi_transport::rows::MessageRow;
use levi_types::SessionId;

use super::epochs::VERSION_1;
use super::keys_to_try::KeysToTry;
use super::{MessageError, ReadError};
use crate::reads::Reads;

/// Opens a row. One that a newer device list may open is tried again once that was looked at, and one that no
/// secret opens with the session's present one, fetched once more.
pub(super) async fn open_row(
    reads: &Reads<'_>,
    keys_to_try: &mut KeysToTry<'_>,
    session: &SessionId,
    row: &MessageRow,
) -> Result<Result<String, MessageError>, ReadError> {
    let mut read = open(keys_to_try, session, row);
    if read.as_ref().is_err_and(asks_for_list) && keys_to_try.look_at_list(reads).await? {
        read = open(keys_to_try, session, row);
    }
    while matches!(read, Err(MessageError::Open(OpenError::Forged))) && keys_to_try.more(reads).await? {
        read = open(keys_to_try, session, row);
    }
    Ok(read.map_err(|error| keys_to_try.explain(error)))
}

/// A message that opened.
struct Opened {
    content: String,
    epoch: u32,
    order: Order,
}

/// Opens a row with the keys at hand, and refuses one of an epoch that is over.
fn open(
    keys_to_try: &mut KeysToTry<'_>,
    session: &SessionId,
    row: &MessageRow,
) -> Result<String, MessageError> {
    let position = MessagePosition { session_id: session, sequence_number: row.sequence_number };
    let Opened { content, epoch, order } = match message_v2::is_version_2(&row.content_nonce) {
        true => version_2(keys_to_try, position, row)?,
        false => version_1(keys_to_try.keys(), position, row)?,
    };
    if let Some(newer) = keys_to_try.newer_epoch(epoch, row.sequence_number) {
        return Err(MessageError::StaleEpoch { epoch, newer: newer.epoch, since: newer.sequence_number });
    }
    keys_to_try.opened(epoch, row.sequence_number, order);
    Ok(content)
}

fn version_1(
    keys: &[MessageKey],
    position: MessagePosition<'_>,
    row: &MessageRow,
) -> Result<Opened, MessageError> {
    let (ciphertext, nonce) = (row.ciphertext()?, row.nonce()?);
    let content = match keys {
        // The usual case needs no copy.
        [key] => message::open_owned(key, position, ciphertext.into_owned(), &nonce)?,
        keys => first_that_opens(keys, |key| message::open(key, position, &ciphertext, &nonce))?,
    };
    Ok(Opened { content, epoch: VERSION_1, order: Order::Rising })
}

fn version_2(
    keys_to_try: &mut KeysToTry<'_>,
    position: MessagePosition<'_>,
    row: &MessageRow,
) -> Result<Opened, MessageError> {
    let WireNonce { epoch, nonce } = message_v2::nonce_from_wire(&row.content_nonce)?;
    let keys = keys_to_try.epoch_keys(epoch)?;
    let ciphertext = row.ciphertext()?;
    let opened = match &*keys {
        [key] => message_v2::open_owned(key, position, ciphertext.into_owned(), &nonce)?,
        keys => first_that_opens(keys, |key| message_v2::open(key, position, &ciphertext, &nonce))?,
    };
    Ok(Opened { content: opened.content, epoch: epoch.number(), order: opened.order })
}

/// Tries each key. The first error is the present key's.
fn first_that_opens<K, T>(keys: &[K], open: impl Fn(&K) -> Result<T, OpenError>) -> Result<T, OpenError> {
    let mut first = None;
    for key in keys {
        match open(key) {
            Ok(opened) => return Ok(opened),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or(OpenError::Forged))
}

/// Whether a newer device list or keyring may open the row.
pub(super) fn asks_for_list(error: &MessageError) -> bool {
    match error {
        MessageError::UnknownEpoch { .. } | MessageError::NotOnList => true,
        MessageError::NoSecret(why) => matches!(**why, ReadError::UnknownSender),
        _ => false,
    }
}
