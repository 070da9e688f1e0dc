//! What was handed in, so that what is read elsewhere can be compared with it: 24 bytes a message.

use std::collections::HashMap;

use levi::SessionId;
use ring::digest::{SHA256, digest};

/// Enough of a SHA-256 that two contents do not share it.
pub(crate) type Fingerprint = [u8; 16];

pub(crate) fn fingerprint(content: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    for (byte, from) in fingerprint.iter_mut().zip(digest(&SHA256, content.as_bytes()).as_ref()) {
        *byte = *from;
    }
    fingerprint
}

/// One session of the demo.
pub(crate) struct SessionLedger {
    pub(crate) id: SessionId,
    /// In order once [`Ledger::close`] was called.
    pub(crate) messages: Vec<(i64, Fingerprint)>,
}

/// Everything that was handed in.
#[derive(Default)]
pub(crate) struct Ledger {
    sessions: HashMap<String, SessionLedger>,
    pub(crate) messages: u64,
    /// Bytes of content.
    pub(crate) bytes: u64,
}

impl Ledger {
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// The id of the session that the input calls `name`, if it was opened.
    pub(crate) fn session(&self, name: &str) -> Option<&SessionId> {
        self.sessions.get(name).map(|session| &session.id)
    }

    pub(crate) fn open_session(&mut self, name: String, id: SessionId) {
        self.sessions.insert(name, SessionLedger { id, messages: Vec::new() });
    }

    pub(crate) fn enter(&mut self, name: &str, sequence_number: i64, content: &str) {
        if let Some(session) = self.sessions.get_mut(name) {
            session.messages.push((sequence_number, fingerprint(content)));
            self.messages += 1;
            self.bytes += content.len() as u64;
        }
    }

    /// The sessions, each with its messages in order.
    pub(crate) fn close(&mut self) -> Vec<&SessionLedger> {
        for session in self.sessions.values_mut() {
            session.messages.sort_unstable();
        }
        let mut sessions: Vec<_> = self.sessions.values().collect();
        sessions.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        sessions
    }
}
