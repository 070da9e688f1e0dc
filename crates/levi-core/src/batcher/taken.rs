//! Messages whose places other texts have on the server.

use std::collections::HashMap;

use levi_outbox::{Change, LaneKey, Reason};
use levi_transport::rows::MessagePlace;
use levi_types::Now;

use super::Batcher;
use super::io::{BatchId, Part};
use crate::write_messages::TakenRow;

impl Batcher {
    /// The server took the request. The rows whose places were taken are parked, because no later attempt can succeed
    /// without overwriting what somebody else wrote. Those of a user who is not signed in any more, and those whose
    /// parent waits by now, stay as they are until they are sent again.
    pub(super) fn taken(&mut self, now: Now, id: BatchId, taken: Vec<TakenRow>) {
        let is_of_another_user = self.is_of_another_user(id);
        let Some(mut batch) = self.in_flight.remove(&id) else { return };
        let mut taken: HashMap<MessagePlace, Reason> =
            taken.into_iter().map(|row| (row.place, row.reason)).collect();
        for Part { lane, key, rows } in &mut batch.parts {
            let LaneKey::Messages(session) = key else { continue };
            let reason = |sequence_number| {
                taken.remove(&MessagePlace { session_id: session.clone(), sequence_number })
            };
            let mut reason = reason;
            let mut parked = Vec::new();
            rows.retain(|row| match reason(row.sequence_number) {
                Some(reason) => {
                    parked.push(Change::Park { lane: *lane, row: row.key, reason, at: now.wall });
                    false
                }
                None => true,
            });
            let parent_waits = self.windows.lane(*lane).is_some_and(|lane| lane.is_outdated);
            if !is_of_another_user && !parent_waits {
                self.actions.extend(parked.into_iter().map(super::Action::Commit));
            }
        }
        if is_of_another_user {
            self.outcome_of_another_user(now, batch, Ok(()));
        } else {
            self.accepted(now, batch);
        }
    }
}
