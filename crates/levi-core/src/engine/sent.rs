//! What was put into a request, until it is answered.

use levi_outbox::{NewRow, RowId, SyncedText, TextDigest};
use levi_transport::rows::MessagePlace;
use levi_types::{Delivery, DeliveryReport, MessageId, SessionId};

/// A message in a request.
pub(super) struct Sent {
    pub(super) row: RowId,
    pub(super) session_id: SessionId,
    pub(super) sequence_number: i64,
    pub(super) message_id: MessageId,
    /// Tells its text from others; `None` where it is not sealed yet.
    pub(super) digest: Option<TextDigest>,
}

impl Sent {
    /// A message that is still under the database key.
    pub(super) fn unsealed(row: RowId, stored: &NewRow) -> Option<Self> {
        Some(Self {
            row,
            session_id: stored.lane.session_id()?.clone(),
            sequence_number: stored.sequence_number,
            message_id: stored.message_id.clone(),
            digest: None,
        })
    }

    /// What the server has once it has taken the message.
    pub(super) fn text(&self) -> Option<SyncedText> {
        Some(SyncedText { sequence_number: self.sequence_number, digest: self.digest? })
    }

    pub(super) fn is_at(&self, place: &MessagePlace) -> bool {
        self.session_id == place.session_id && self.sequence_number == place.sequence_number
    }

    pub(super) fn report(&self, delivery: Delivery) -> DeliveryReport {
        DeliveryReport {
            session_id: self.session_id.clone(),
            sequence_number: self.sequence_number,
            message_id: self.message_id.clone(),
            delivery,
        }
    }
}
