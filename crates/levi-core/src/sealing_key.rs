//! What seals a message: the session's key or, with a signed device list, the session's key in the current epoch.

use levi_crypto::message::{self, MessagePosition, SealedMessage};
use levi_crypto::message_v2::{self, Epoch, EpochMessageKey, EpochSecret, Form, Order, Padding};
use levi_crypto::{Author, MessageKey, SealError, text_of};
use levi_outbox::{Reason, TextDigest, TextDigests};
use levi_transport::rows::{encode_message_row, encode_message_row_as};
use levi_types::SessionId;
use rand_core::CryptoRng;

/// How messages are sealed for the present user.
#[derive(Clone)]
pub(crate) enum SealingMode {
    /// Version 1: there is no signed device list.
    Version1,
    /// Version 2.
    Epoch(Epoch, EpochSecret),
    /// Not at all. Messages wait under the database key.
    Stopped(Reason),
}

/// The key of one session.
#[derive(Clone)]
pub(crate) enum SealingKey {
    Version1(MessageKey),
    Version2 { session: MessageKey, epoch: EpochMessageKey },
}

/// How one message is to be sealed.
#[derive(Clone)]
pub(crate) struct Sealing {
    pub(crate) key: SealingKey,
    pub(crate) order: Order,
}

impl SealingKey {
    /// The key that `mode` asks for. Version 1 where the session's id is too long for version 2, which none is.
    pub(crate) fn new(session_key: &MessageKey, session: &SessionId, mode: &SealingMode) -> Option<Self> {
        match mode {
            SealingMode::Version1 => Some(Self::Version1(session_key.clone())),
            SealingMode::Epoch(epoch, secret) => {
                let epoch = EpochMessageKey::of(session_key, session, *epoch, secret).ok()?;
                Some(Self::Version2 { session: session_key.clone(), epoch })
            }
            SealingMode::Stopped(_) => None,
        }
    }

    /// The session's own key.
    pub(crate) const fn session(&self) -> &MessageKey {
        match self {
            Self::Version1(session) | Self::Version2 { session, .. } => session,
        }
    }
}

/// A sealed message.
pub(crate) struct SealedRow {
    /// The row, as it is stored and sent.
    pub(crate) payload: Vec<u8>,
    /// What tells its text from others.
    pub(crate) texts: TextDigests,
}

impl Sealing {
    /// The row of a sealed message. Its nonce names the author, if that is known.
    pub(crate) fn row(
        &self,
        position: MessagePosition<'_>,
        content: &str,
        author: Option<Author<'_>>,
        random: &mut dyn CryptoRng,
    ) -> Result<SealedRow, SealError> {
        let form = Form { padding: Padding::None, order: self.order };
        let sealed = match (&self.key, author) {
            (SealingKey::Version1(key), Some(author)) => message::seal_as(key, position, content, author),
            (SealingKey::Version1(key), None) => message::seal(key, position, content, random),
            (SealingKey::Version2 { session, epoch }, Some(author)) => {
                message_v2::seal_as(epoch, session, position, content, form, author)
            }
            (SealingKey::Version2 { epoch, .. }, None) => {
                message_v2::seal(epoch, position, content, form, random)
            }
        }?;
        let texts = author.map(|author| self.texts(position, content, author, &sealed)).transpose()?;
        let (SealedMessage { ciphertext, nonce }, MessagePosition { session_id, sequence_number }) =
            (sealed, position);
        // Allocated once, at its size: it stays in memory until it is on disk.
        let mut payload = Vec::new();
        match &self.key {
            SealingKey::Version1(_) => {
                encode_message_row(&mut payload, session_id, sequence_number, &ciphertext, &nonce);
            }
            SealingKey::Version2 { epoch, .. } => {
                let nonce = message_v2::nonce_to_wire(epoch.epoch(), &nonce);
                encode_message_row_as(&mut payload, session_id, sequence_number, &ciphertext, &nonce);
            }
        }
        Ok(SealedRow { payload, texts: texts.unwrap_or_default() })
    }

    /// A message that was sent in order is late when it is enqueued again, which is another form of its text.
    fn texts(
        &self,
        position: MessagePosition<'_>,
        content: &str,
        author: Author<'_>,
        sealed: &SealedMessage,
    ) -> Result<TextDigests, SealError> {
        let own = digest_of(&sealed.nonce);
        let other_form = match &self.key {
            SealingKey::Version2 { session, .. } if self.order == Order::Late => {
                let form = Form { padding: Padding::None, order: Order::Rising };
                digest_of(&message_v2::nonce_as(session, position, content, form, author)?)
            }
            _ => None,
        };
        Ok(TextDigests { own, other_form })
    }
}

/// What a nonce says about the text that is sealed under it.
pub(crate) fn digest_of(nonce: &[u8]) -> Option<TextDigest> {
    text_of(nonce).map(TextDigest)
}
