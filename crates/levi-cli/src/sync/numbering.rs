//! Which message a line is: the same in every run of the same file.

use std::collections::HashMap;

use levi::{MessageSyncRequest, SessionId};

use crate::ids::canonical_uuid;
use crate::ndjson::InputMessage;
use crate::places::Places;

/// Why a line cannot be given its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("session_id is not a uuid, and the server takes nothing else")]
    NotASession,
    #[error(
        "sequence_number {0} was on an earlier line of the same session, or is an earlier line's own number; number messages uniquely"
    )]
    Repeated(i64),
}

/// Fills in what lines leave out, and finds two lines that mean one place.
#[derive(Default)]
pub(crate) struct Numbering {
    places: HashMap<SessionId, Places>,
}

impl Numbering {
    /// The line's session, if it names one: in the form in which the server hands it out.
    pub(crate) fn session(line: &InputMessage) -> Result<Option<SessionId>, NoPlace> {
        let named = line.session_id.as_deref().map(|id| canonical_uuid(id).ok_or(NoPlace::NotASession));
        Ok(named.transpose()?.map(SessionId::from))
    }

    /// A line without a number gets its line's, so that a broken line that is put right later finds its place free.
    pub(crate) fn place(
        &mut self,
        number: u64,
        line: InputMessage,
        session_id: SessionId,
    ) -> Result<MessageSyncRequest, NoPlace> {
        let own = i64::try_from(number).unwrap_or(i64::MAX);
        let sequence_number = line.sequence_number.unwrap_or(own);
        if !self.places.entry(session_id.clone()).or_default().take(sequence_number) {
            return Err(NoPlace::Repeated(sequence_number));
        }
        // One place is one message: a second run replaces what a first one left waiting.
        let message_id = line.message_id.unwrap_or_else(|| format!("{session_id}/{sequence_number}"));
        Ok(MessageSyncRequest {
            message_id: message_id.into(),
            session_id,
            sequence_number,
            content: line.content,
        })
    }
}
