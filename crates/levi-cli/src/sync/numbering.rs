//! Message ids and sequence numbers for lines that have none: the same in every run of the same
//! file.

use std::collections::HashMap;

use levi::{MessageSyncRequest, SessionId};

use crate::ids::{IdKey, canonical_uuid};
use crate::ndjson::InputMessage;
use crate::sequence_set::SequenceSet;

/// Why a line gets no position in its session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PositionError {
    #[error("session_id is not a uuid; the server accepts only uuids")]
    NotASession,
    #[error(
        "sequence_number {0} was on an earlier line of the same session, or is the line number of an earlier line without one; give each message its own number"
    )]
    Repeated(i64),
    #[error(
        "no sequence_number is left this many lines after the session's last, {last}; give the message one, or sync it to another session"
    )]
    NoneLeft { last: i64 },
}

/// Fills in absent ids and numbers, and refuses a number that an earlier line of the same session
/// has.
pub(crate) struct Numbering {
    ids: IdKey,
    used: HashMap<SessionId, SequenceSet>,
    /// The session that is continued, and how many numbers its lines skip.
    continued: Option<(SessionId, i64)>,
}

impl Numbering {
    /// `ids` derives the ids of messages that have none.
    pub(crate) fn new(ids: IdKey) -> Self {
        Self { ids, used: HashMap::new(), continued: None }
    }

    /// The session that a message names, in the server's spelling.
    pub(crate) fn session(message: &InputMessage) -> Result<Option<SessionId>, PositionError> {
        let named =
            message.session_id.as_deref().map(|id| canonical_uuid(id).ok_or(PositionError::NotASession));
        Ok(named.transpose()?.map(SessionId::from))
    }

    /// Lines of `session` without a sequence number go on after `last`.
    pub(crate) fn continue_after(&mut self, session: SessionId, last: i64) {
        self.continued = Some((session, last));
    }

    /// A message without a sequence number gets its line's number. So the number of a bad line
    /// stays free, and a later run can use it once the line is corrected.
    pub(crate) fn request(
        &mut self,
        line: u64,
        message: InputMessage,
        session_id: SessionId,
    ) -> Result<MessageSyncRequest, PositionError> {
        let sequence_number = match message.sequence_number {
            Some(given) => given,
            None => self.by_line(line, &session_id)?,
        };
        if !self.used.entry(session_id.clone()).or_default().insert(sequence_number) {
            return Err(PositionError::Repeated(sequence_number));
        }
        // Derived from position and content, so that the same line again is the same message, and
        // another text at the same position is another message, which replaces nothing. Under a
        // key, because the outbox stores the id in the clear, and a short text could be guessed.
        let message_id = message.message_id.unwrap_or_else(|| {
            let number = sequence_number.to_string();
            self.ids.stable_uuid("message", &[session_id.as_str(), &number, &message.content])
        });
        Ok(MessageSyncRequest {
            message_id: message_id.into(),
            session_id,
            sequence_number,
            content: message.content,
        })
    }

    fn by_line(&self, line: u64, session: &SessionId) -> Result<i64, PositionError> {
        let continued = self.continued.as_ref().filter(|(continued, _)| continued == session);
        let last = continued.map_or(0, |(_, last)| *last);
        let number = i64::try_from(line).ok().and_then(|line| last.checked_add(line));
        number.ok_or(PositionError::NoneLeft { last })
    }
}

#[cfg(test)]
mod tests {
    use levi::DatabaseKey;

    use super::*;

    fn numbering(key: u8) -> Numbering {
        Numbering::new(IdKey::of(&DatabaseKey::from_bytes([key; 32])))
    }

    fn message(content: &str) -> InputMessage {
        InputMessage {
            session_id: None,
            message_id: None,
            sequence_number: None,
            content: content.to_owned(),
        }
    }

    #[test]
    fn an_id_is_the_same_in_every_run_and_cannot_be_computed_without_the_database_key() {
        let id = |key: u8, content: &str| {
            let request = numbering(key).request(1, message(content), "session".into()).unwrap();
            request.message_id.as_str().to_owned()
        };
        assert_eq!(id(1, "yes"), id(1, "yes"));
        assert_ne!(id(1, "yes"), id(1, "no"));
        assert_ne!(id(1, "yes"), id(2, "yes"));
        // A fixed value, because with another one a second run of a file would be of other messages.
        assert_eq!(id(1, "yes"), "367d37d2-5f7e-8b86-8b21-d779af519471");
    }

    #[test]
    fn a_line_after_the_highest_number_is_refused_and_takes_no_number_of_another() {
        let mut numbering = numbering(1);
        let session = SessionId::from("session");
        numbering.continue_after(session.clone(), i64::MAX - 1);
        let highest = numbering.request(1, message("a"), session.clone()).unwrap();
        assert_eq!(highest.sequence_number, i64::MAX);
        let refused = numbering.request(2, message("b"), session.clone()).unwrap_err();
        assert_eq!(refused, PositionError::NoneLeft { last: i64::MAX - 1 });
        let unknown = numbering.request(u64::MAX, message("c"), "other".into()).unwrap_err();
        assert_eq!(unknown, PositionError::NoneLeft { last: 0 });
    }
}
