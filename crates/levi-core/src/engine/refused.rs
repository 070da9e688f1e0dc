//! Rows that cannot be stored: reports to the daemon's store, and to the callers.

use levi_outbox::{Enqueued, NewRow};
use levi_types::{Delivery, DeliveryReport, MessageSyncRequest};

use super::Engine;
use super::committed_batch::Waiter;
use crate::error::EnqueueError;

/// A row that is not stored, for good.
pub(super) struct Refused {
    waiter: Waiter,
    /// The report to the daemon's store; none about a control row.
    report: Option<DeliveryReport>,
    error: EnqueueError,
}

impl Refused {
    /// A message that could not be sealed.
    pub(super) fn unsealed(waiter: Waiter, request: MessageSyncRequest, error: EnqueueError) -> Self {
        let code = match error {
            EnqueueError::NoKey { .. } => "no_key",
            EnqueueError::OtherUser { .. } => "other_user",
            _ => "encryption",
        };
        let MessageSyncRequest { message_id, session_id, sequence_number, .. } = request;
        let delivery = Delivery::Failed { code: code.into() };
        let report = DeliveryReport { session_id, sequence_number, message_id, delivery };
        Self { waiter, report: Some(report), error }
    }

    /// A row that the outbox refused. Returns `None` for one that is stored; its waiter stays.
    pub(super) fn unstored(waiter: &mut Waiter, row: &NewRow, outcome: &Enqueued) -> Option<Self> {
        let (code, error) = match outcome {
            Enqueued::Stored { .. } | Enqueued::AlreadySynced => return None,
            Enqueued::SequenceConflict { holder } => {
                let session_id = row.lane.session_id().cloned().unwrap_or_else(|| "".into());
                let (sequence_number, holder) = (row.sequence_number, holder.clone());
                ("sequence_conflict", EnqueueError::SequenceConflict { session_id, sequence_number, holder })
            }
            Enqueued::OtherUser { user_id } => {
                let (lane, user_id) = (row.lane.clone(), user_id.clone());
                ("other_user", EnqueueError::OtherUser { lane, user_id })
            }
            Enqueued::Full { pending_bytes, held_bytes, limit } => {
                let (pending_bytes, held_bytes, limit) = (*pending_bytes, *held_bytes, *limit);
                ("outbox_full", EnqueueError::OutboxFull { pending_bytes, held_bytes, limit })
            }
        };
        let is_message = !row.kind().is_control();
        let report = row.lane.session_id().filter(|_| is_message).map(|session_id| DeliveryReport {
            session_id: session_id.clone(),
            sequence_number: row.sequence_number,
            message_id: row.message_id.clone(),
            delivery: Delivery::Failed { code: code.into() },
        });
        Some(Self { waiter: std::mem::take(waiter), report, error })
    }
}

impl Engine {
    /// Reports all of them to the daemon's store at once, and then to the callers.
    pub(super) fn refuse(&self, refused: Vec<Refused>) {
        let mut reports = Vec::with_capacity(refused.len());
        let mut waiting = Vec::with_capacity(refused.len());
        for Refused { waiter, report, error } in refused {
            if let Some(report) = report {
                let DeliveryReport { session_id, sequence_number, delivery, .. } = &report;
                tracing::warn!(%session_id, sequence_number, ?delivery, "message refused: {error}");
                reports.push(report);
            }
            waiting.push((waiter, error));
        }
        self.record(&reports);
        for (waiter, error) in waiting {
            waiter.refuse(error);
        }
    }
}
