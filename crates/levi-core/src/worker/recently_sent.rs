//! What was sent in an epoch that was over by then, because this device had not heard of the next one. Readers refuse it
//! behind what another device has sealed in that one: nothing tells it from what a removed device writes. So it is sealed
//! again once this device hears of the epoch.

use std::collections::VecDeque;
use std::sync::Mutex;

use levi_crypto::message_v2::Epoch;
use levi_transport::rows::MessageRow;
use levi_transport::{Supabase, Update};
use levi_types::{AccessToken, UserId};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::dispatcher::Dispatcher;
use super::lock;
use crate::sealer::{PresentEpoch, Resealed};
use crate::write_messages::SentMessage;

/// The most bytes of requests that are kept until the next look at the device list, which is due once they are half as many.
/// If the server does not answer it, what is beyond that stays as it is.
const MOST_BYTES: usize = 8 << 20;

/// The requests that the server has taken since this device looked at the list.
#[derive(Default)]
pub(super) struct RecentlySent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    requests: VecDeque<Request>,
    bytes: usize,
    /// Requests so far.
    noted: u64,
}

/// A request that the server has taken.
pub(super) struct Request {
    pub(super) user: UserId,
    pub(super) epoch: Epoch,
    /// The rows, as a JSON array.
    pub(super) body: Vec<u8>,
    /// Its messages, in the order of the rows.
    pub(super) messages: Vec<SentMessage>,
    /// How many came before it.
    number: u64,
}

/// A row that takes the place of the one that `message` is on the server.
struct Replacement {
    message: SentMessage,
    row: Vec<u8>,
}

impl Request {
    pub(super) const fn new(user: UserId, epoch: Epoch, body: Vec<u8>, messages: Vec<SentMessage>) -> Self {
        Self { user, epoch, body, messages, number: 0 }
    }

    /// Its rows in the present epoch.
    fn resealed(&self, present: &PresentEpoch<'_>) -> Vec<Replacement> {
        let rows: Vec<MessageRow> = serde_json::from_slice(&self.body).unwrap_or_default();
        let resealed = self.messages.iter().zip(&rows).filter_map(|(message, row)| {
            match present.resealed_row(message.message_id.as_str(), row, &mut UnwrapErr(SysRng)) {
                Resealed::Again(row) => Some(Replacement { message: message.clone(), row }),
                Resealed::AsStored | Resealed::Wait(_) => None,
            }
        });
        resealed.collect()
    }
}

impl RecentlySent {
    /// How many requests were noted so far.
    pub(super) fn noted(&self) -> u64 {
        lock(&self.0).noted
    }

    /// Whether the list should be looked at before what is kept becomes too much.
    pub(super) fn fills_up(&self) -> bool {
        lock(&self.0).bytes > MOST_BYTES / 2
    }

    fn note(&self, mut request: Request) {
        let mut kept = lock(&self.0);
        request.number = kept.noted;
        kept.noted += 1;
        kept.bytes += request.body.len();
        kept.requests.push_back(request);
        while kept.bytes > MOST_BYTES
            && let Some(oldest) = kept.requests.pop_front()
        {
            kept.bytes -= oldest.body.len();
        }
    }

    /// After a look that began when `noted` requests were, and found `present` to be the epoch of `user`. Forgets the
    /// requests that were in time, and returns those of older epochs.
    fn settle(&self, user: &UserId, noted: u64, present: Option<Epoch>) -> Vec<Request> {
        let mut kept = lock(&self.0);
        let (mut late, mut after) = (Vec::new(), VecDeque::new());
        for request in std::mem::take(&mut kept.requests) {
            match present {
                Some(present) if request.user == *user && request.epoch < present => late.push(request),
                Some(_) if request.number >= noted => after.push_back(request),
                _ => {}
            }
        }
        kept.bytes = after.iter().map(|request| request.body.len()).sum();
        kept.requests = after;
        late
    }
}

impl Dispatcher {
    /// The server has taken a request of an epoch.
    pub(super) async fn note_sent(&self, request: Request) {
        let is_over = self.epoch_of(&request.user).is_some_and(|present| request.epoch < present);
        self.recently_sent.note(request);
        if is_over {
            self.reseal_recently_sent(0).await;
        }
    }

    /// After a look at the device list that began when `noted` requests were noted: seals again what was sent in an epoch
    /// that was over.
    pub(super) async fn reseal_recently_sent(&self, noted: u64) {
        let Some((supabase, user, token)) = self.as_signed_in() else { return };
        let epoch = self.epoch_of(&user);
        for request in self.recently_sent.settle(&user, noted, epoch) {
            let replacements = self.replacements(&user, &request);
            if !replace(&*supabase, &token, replacements).await {
                // The next look tries again. What was replaced meanwhile is not what is looked for.
                self.recently_sent.note(request);
            }
        }
    }

    fn replacements(&self, user: &UserId, request: &Request) -> Vec<Replacement> {
        let present = self.present_epoch(user);
        present.map(|present| request.resealed(&present)).unwrap_or_default()
    }
}

/// Replaces each row that the server still has as it was sent. Whether it has answered each time.
async fn replace(supabase: &dyn Supabase, token: &AccessToken, replacements: Vec<Replacement>) -> bool {
    for Replacement { message, row } in replacements {
        let (session, number) = (&message.place.session_id, message.place.sequence_number);
        let update = Update::message(session, number, &message.nonce, row);
        if let Err(error) = supabase.update(token, update).await {
            tracing::warn!(code = error.code, "what was sent in an epoch that is over was not sealed again");
            return false;
        }
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
mod tests {
    use super::*;

    fn epoch(number: u32) -> Epoch {
        Epoch::new(number).unwrap()
    }

    fn request(number: u32, bytes: usize) -> Request {
        Request::new("ada".into(), epoch(number), vec![0; bytes], Vec::new())
    }

    fn epochs(requests: &[Request]) -> Vec<u32> {
        requests.iter().map(|request| request.epoch.number()).collect()
    }

    #[test]
    fn what_was_sent_before_a_look_is_in_time_unless_the_look_finds_a_newer_epoch() {
        let (sent, ada) = (RecentlySent::default(), "ada".into());
        sent.note(request(1, 10));
        let looking = sent.noted();
        sent.note(request(1, 10));
        assert!(sent.settle(&ada, looking, Some(epoch(1))).is_empty());
        assert_eq!(
            epochs(&sent.settle(&ada, sent.noted(), Some(epoch(2)))),
            [1],
            "the one sent during the look"
        );
        assert!(sent.settle(&ada, sent.noted(), Some(epoch(3))).is_empty());
        // A request that ends after the look is of an epoch that is over.
        sent.note(request(1, 10));
        sent.note(request(2, 10));
        assert_eq!(epochs(&sent.settle(&ada, 0, Some(epoch(2)))), [1]);
        assert_eq!(epochs(&sent.settle(&ada, 0, Some(epoch(3)))), [2]);
        // Another user seals nothing again, and neither does a user without a list.
        sent.note(request(1, 10));
        assert!(sent.settle(&"ben".into(), sent.noted(), Some(epoch(2))).is_empty());
        sent.note(request(1, 10));
        assert!(sent.settle(&ada, 0, None).is_empty());
        assert!(sent.settle(&ada, 0, Some(epoch(2))).is_empty());
    }

    #[test]
    fn no_more_is_kept_than_some_megabytes() {
        let (sent, ada) = (RecentlySent::default(), "ada".into());
        for _ in 0..5 {
            sent.note(request(1, MOST_BYTES / 3));
        }
        assert!(sent.fills_up());
        assert_eq!(sent.settle(&ada, 0, Some(epoch(2))).len(), 3);
        assert!(!sent.fills_up());
        sent.note(request(1, MOST_BYTES + 1));
        assert!(sent.settle(&ada, 0, Some(epoch(2))).is_empty());
        sent.note(request(1, 1));
        assert_eq!(sent.settle(&ada, 0, Some(epoch(2))).len(), 1);
    }
}
