//! The content of simulated messages: which version they are, and whether the server will accept
//! them. Levi seals them, and the simulation opens them again on the disk and on the server, so it
//! checks every byte that leaves Levi.

use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::{MessageKey, SessionSecret};
use levi_outbox::{Encryption, NewRow};
use levi_transport::rows::MessageRow;
use levi_types::{SessionId, UserId};

use crate::random::Random;

/// The prefix of every content. If these bytes are found outside a ciphertext, plaintext has
/// leaked.
pub(crate) const MARK: &str = "in plain sight";

/// How the server takes a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageKind {
    /// It takes it.
    #[default]
    Good,
    /// The server refuses it and does not say which row it was.
    Poison,
    /// It refuses it and names its session.
    NamedPoison,
    /// The server never answers, because the row is too large for the connection.
    NeverFits,
}

/// A message's content, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) version: u32,
    pub(crate) kind: MessageKind,
}

impl Content {
    /// As text, padded to about `size` bytes.
    pub(crate) fn text(self, size: usize) -> String {
        let letter = match self.kind {
            MessageKind::Good => 'g',
            MessageKind::Poison => 'p',
            MessageKind::NamedPoison => 'n',
            MessageKind::NeverFits => 'l',
        };
        let mut text = format!("{MARK} {letter} {} ", self.version);
        while text.len() < size {
            text.push('.');
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix(MARK)?.split_whitespace();
        let kind = match words.next()? {
            "g" => MessageKind::Good,
            "p" => MessageKind::Poison,
            "n" => MessageKind::NamedPoison,
            "l" => MessageKind::NeverFits,
            _ => return None,
        };
        Some(Self { version: words.next()?.parse().ok()?, kind })
    }
}

/// The name of a user.
pub(crate) fn user_name(user: usize) -> UserId {
    if user == 0 { "ada".into() } else { "ben".into() }
}

/// The name of a session.
pub(crate) fn session_id(session: usize) -> SessionId {
    format!("s{session}").into()
}

/// Which session a name means.
pub(crate) fn session_number(id: &SessionId) -> usize {
    subject_number(id.as_str())
}

/// The number of a session or repository.
pub(crate) fn subject_number(id: &str) -> usize {
    id.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
}

/// Every key of a simulation.
pub(crate) struct Keys {
    pub(crate) secrets: Vec<SessionSecret>,
    keys: Vec<MessageKey>,
    pub(crate) database: DatabaseKey,
}

impl Keys {
    pub(crate) fn new(sessions: usize, random: &mut Random) -> Self {
        let secrets: Vec<_> = (0..sessions).map(|_| SessionSecret::generate(random)).collect();
        let keys = secrets.iter().map(SessionSecret::message_key).collect();
        Self { secrets, keys, database: DatabaseKey::generate(random) }
    }

    /// Opens one row of a request.
    pub(crate) fn open(&self, row: &MessageRow) -> Result<(usize, i64, Content), String> {
        let id = row.session_id.clone().ok_or("a row without its session")?;
        let session = session_number(&id);
        let key = self.keys.get(session).ok_or("a row of a session that nobody made")?;
        let place = MessagePosition { session_id: &id, sequence_number: row.sequence_number };
        let ciphertext = row.ciphertext().map_err(|error| error.to_string())?;
        let nonce = row.nonce().map_err(|error| error.to_string())?;
        let text = message::open(key, place, &ciphertext, &nonce).map_err(|error| error.to_string())?;
        let content = Content::parse(&text).ok_or("a content that nobody wrote")?;
        Ok((session, row.sequence_number, content))
    }

    /// Opens a row on its way to the disk.
    pub(crate) fn open_stored(&self, row: &NewRow) -> Result<Content, String> {
        if row.payload.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes()) {
            return Err("plaintext in a payload".to_owned());
        }
        match row.encryption {
            Encryption::SessionKey => self.open_fragment(&row.payload).map(|(_, _, content)| content),
            Encryption::None => Err("a message that is not encrypted".to_owned()),
            Encryption::DatabaseKey => {
                let name = format!("{}/{}", row.lane.subject(), row.sequence_number);
                let slot = Slot { table: "levi_outbox", row_key: &name, column: "payload" };
                let plain = at_rest::open(&self.database, slot, &row.payload);
                let plain = plain.map_err(|error| error.to_string())?;
                let text = std::str::from_utf8(&plain).map_err(|error| error.to_string())?;
                Content::parse(text).ok_or_else(|| "a content that nobody wrote".to_owned())
            }
        }
    }

    /// Opens a sealed payload as it lies on disk.
    pub(crate) fn open_fragment(&self, payload: &[u8]) -> Result<(usize, i64, Content), String> {
        let row: MessageRow =
            serde_json::from_slice(payload).map_err(|error| format!("a payload that is no row: {error}"))?;
        self.open(&row)
    }
}
