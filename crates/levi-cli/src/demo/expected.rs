//! What the other devices must read: a fingerprint of each stored message, 24 bytes a message, and its place in the order
//! of enqueueing.

use std::collections::HashMap;

use levi::SessionId;
use ring::digest::{SHA256, digest};

/// The first half of a SHA-256: enough to tell any two contents apart.
pub(crate) type Fingerprint = [u8; 16];

pub(crate) fn fingerprint(content: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    for (byte, from) in fingerprint.iter_mut().zip(digest(&SHA256, content.as_bytes()).as_ref()) {
        *byte = *from;
    }
    fingerprint
}

/// A message that is on its way to the outbox.
pub(crate) struct Pending {
    /// The message's line in the input.
    pub(crate) line: u64,
    /// The input's name for the session.
    session: String,
    sequence_number: i64,
    fingerprint: Fingerprint,
    bytes: u64,
}

impl Pending {
    pub(crate) fn new(line: u64, session: String, sequence_number: i64, content: &str) -> Self {
        let (fingerprint, bytes) = (fingerprint(content), content.len() as u64);
        Self { line, session, sequence_number, fingerprint, bytes }
    }
}

/// One session of the demo.
pub(crate) struct ExpectedSession {
    pub(crate) id: SessionId,
    /// In the order of enqueueing until [`Expected::sorted`] is called.
    pub(crate) messages: Vec<(i64, Fingerprint)>,
    /// The sequence numbers in the order of enqueueing, where they do not rise.
    pub(crate) enqueued: Vec<i64>,
}

impl ExpectedSession {
    /// The sequence numbers in the order in which they were enqueued.
    pub(crate) fn enqueued(&self) -> Vec<i64> {
        if self.enqueued.is_empty() {
            return self.messages.iter().map(|(number, _)| *number).collect();
        }
        self.enqueued.clone()
    }
}

/// Every message that is stored in the outbox of the writing device.
#[derive(Default)]
pub(crate) struct Expected {
    /// By the input's name for the session.
    sessions: HashMap<String, ExpectedSession>,
    pub(crate) messages: u64,
    /// Bytes of content.
    pub(crate) bytes: u64,
}

impl Expected {
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// The id of the session that the input calls `name`, if it was added.
    pub(crate) fn session(&self, name: &str) -> Option<&SessionId> {
        self.sessions.get(name).map(|session| &session.id)
    }

    pub(crate) fn add_session(&mut self, name: String, id: SessionId) {
        self.sessions.insert(name, ExpectedSession { id, messages: Vec::new(), enqueued: Vec::new() });
    }

    /// Adds a message once it is stored.
    pub(crate) fn add(&mut self, message: &Pending) {
        if let Some(session) = self.sessions.get_mut(&message.session) {
            session.messages.push((message.sequence_number, message.fingerprint));
            self.messages += 1;
            self.bytes += message.bytes;
        }
    }

    /// The sessions, each with its messages in order.
    pub(crate) fn sorted(&mut self) -> Vec<&ExpectedSession> {
        for session in self.sessions.values_mut() {
            if !session.messages.is_sorted_by_key(|(number, _)| *number) {
                session.enqueued = session.messages.iter().map(|(number, _)| *number).collect();
                session.messages.sort_unstable();
            }
        }
        let mut sessions: Vec<_> = self.sessions.values().collect();
        sessions.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        sessions
    }
}
