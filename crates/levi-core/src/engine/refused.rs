//! Messages that cannot be stored, and who hears of it.

use levi_outbox::{Enqueued, NewRow};
use levi_types::{Delivery, DeliveryReport, MessageSyncRequest};

use super::Engine;
use super::on_disk::Owner;
use crate::error::EnqueueError;

/// A message that is not stored, for good.
pub(super) struct Refused {
    owner: Owner,
    report: DeliveryReport,
    error: EnqueueError,
}

impl Refused {
    /// It could not be sealed.
    pub(super) fn unsealed(owner: Owner, request: MessageSyncRequest, error: EnqueueError) -> Self {
        let code = if matches!(error, EnqueueError::NoKey { .. }) { "no_key" } else { "encryption" };
        let MessageSyncRequest { message_id, session_id, sequence_number, .. } = request;
        let delivery = Delivery::Failed { code: code.into() };
        Self { owner, report: DeliveryReport { session_id, sequence_number, message_id, delivery }, error }
    }

    /// The outbox did not take it; `None` where it did, and the owner stays.
    pub(super) fn unstored(owner: &mut Owner, row: &NewRow, outcome: &Enqueued) -> Option<Self> {
        let NewRow { session_id, sequence_number, message_id, .. } = row;
        let (code, error) = match outcome {
            Enqueued::Stored { .. } => return None,
            Enqueued::PlaceTaken { holder } => {
                let (session_id, holder) = (session_id.clone(), holder.clone());
                let sequence_number = *sequence_number;
                ("place_taken", EnqueueError::PlaceTaken { session_id, sequence_number, holder })
            }
            Enqueued::Full { pending_bytes, limit } => {
                let (pending_bytes, limit) = (*pending_bytes, *limit);
                ("outbox_full", EnqueueError::OutboxFull { pending_bytes, limit })
            }
        };
        let report = DeliveryReport {
            session_id: session_id.clone(),
            sequence_number: *sequence_number,
            message_id: message_id.clone(),
            delivery: Delivery::Failed { code: code.into() },
        };
        Some(Self { owner: std::mem::take(owner), report, error })
    }
}

impl Engine {
    /// The daemon's store is told of all of them at once, and then whoever waits.
    pub(super) fn refuse(&self, refused: Vec<Refused>) {
        for Refused { report: DeliveryReport { session_id, sequence_number, delivery, .. }, error, .. } in
            &refused
        {
            tracing::warn!(%session_id, sequence_number, ?delivery, "message refused: {error}");
        }
        let mut reports = Vec::with_capacity(refused.len());
        let mut waiting = Vec::with_capacity(refused.len());
        for Refused { owner, report, error } in refused {
            reports.push(report);
            waiting.push((owner, error));
        }
        self.record(&reports);
        for (mut owner, error) in waiting {
            owner.tell(Err(error));
        }
    }
}
