use std::collections::BTreeSet;
use std::time::Duration;

use levi_core::batcher::{Action, Batch, Batcher, Input, LaneRows, Parent, SealResult, Written, WrittenLane};
use levi_core::{LeviConfig, SendError};
use levi_outbox::memory::MemoryOutbox;
use levi_outbox::{Change, DueQuery, Encryption, NewRow, OutboxStore as _, Reason};
use levi_transport::{ApiError, Verdict};
use levi_types::{Monotonic, Now, Wall};

const SESSIONS: u8 = 4;
const START: Wall = Wall::from_millis(1_700_000_000_000);

/// More steps than any input needs to be drained, once nothing fails any more.
const MAX_STEPS: usize = 100_000;

/// A batcher over an outbox in memory; each byte is one event, or the response to one request.
///
/// A lane is in one request at most and its rows leave in order. Once everything succeeds, nothing
/// that is not parked stays behind.
pub(crate) fn batcher(input: &[u8]) {
    let mut harness = Harness::new();
    for byte in input.iter().take(2_000) {
        harness.event(*byte);
        harness.perform();
    }
    harness.drain();
}

struct Harness {
    batcher: Batcher,
    outbox: MemoryOutbox,
    now: Duration,
    /// The next sequence number of each session.
    next: [i64; SESSIONS as usize],
    /// Requests without a response.
    sent: Vec<Batch>,
}

impl Harness {
    fn new() -> Self {
        Self {
            batcher: Batcher::new(LeviConfig::default(), 1),
            outbox: MemoryOutbox::default(),
            now: Duration::ZERO,
            next: [0; SESSIONS as usize],
            sent: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { monotonic: Monotonic::from_start(self.now), wall: START.after(self.now) }
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.batcher.handle(now, input);
    }

    fn event(&mut self, byte: u8) {
        match byte {
            0..=63 => self.enqueue(byte % SESSIONS),
            64..=127 => self.wait(Duration::from_millis(1 << (byte % 20))),
            128..=199 => self.respond(byte - 128),
            200..=215 => self.handle(Input::SignedIn),
            216..=223 => self.handle(Input::SignedOut),
            224..=231 => self.handle(Input::NetworkChanged),
            232..=239 => self.handle(Input::RefreshUnavailable { retry_after: None }),
            240..=247 => self.handle(Input::StoreFailed(reason("full"))),
            248..=253 => self.handle(Input::Wake(Written::Unknown)),
            254 | 255 => self.handle(Input::ControlSenderReady(None)),
        }
    }

    fn enqueue(&mut self, session: u8) {
        let number = &mut self.next[usize::from(session)];
        let id = format!("{session}/{number}").into();
        let session = format!("session-{session}");
        let now = START.after(self.now);
        let row = NewRow::message(session.into(), *number, id, vec![0; 100], Encryption::SessionKey, now);
        let written = Written::Lanes(vec![WrittenLane { lane: row.lane.clone(), lowest: *number }]);
        *number += 1;
        assert!(self.outbox.commit(&[], &[row]).is_ok(), "the outbox in memory fails");
        self.handle(Input::Wake(written));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let now = self.now();
        self.batcher.handle_timeout(now);
    }

    /// The oldest request is answered: `byte` says how.
    fn respond(&mut self, byte: u8) {
        if self.sent.is_empty() {
            return;
        }
        let batch = self.sent.remove(0);
        let verdict = match byte % 12 {
            0..=4 => None,
            5 => Some(Verdict::Rejected),
            6 => Some(Verdict::Busy),
            7 => Some(Verdict::Unreachable),
            8 => Some(Verdict::TooLarge),
            9 => Some(Verdict::MissingParent),
            10 => Some(Verdict::ProjectUnavailable),
            _ => Some(Verdict::SignedOut),
        };
        let result = match verdict {
            None => Ok(()),
            Some(verdict) => {
                let error = ApiError::new(verdict, "code", "detail");
                let asks_to_wait = byte >= 36;
                let wait = Duration::from_secs(u64::from(byte));
                Err(SendError::Api(if asks_to_wait { error.with_retry_after(wait) } else { error }))
            }
        };
        self.handle(Input::Outcome { batch: batch.id, result });
    }

    /// Does what the batcher asks for.
    fn perform(&mut self) {
        while let Some(action) = self.batcher.poll_action() {
            match action {
                Action::Load { max_lanes, heads_per_lane, max_heads } => {
                    let except = self.batcher.lanes_at_hand();
                    let now = START.after(self.now);
                    let due = self.outbox.due(DueQuery {
                        user: None,
                        now,
                        horizon: now.after(Duration::from_secs(86_400)),
                        except: &except,
                        max_lanes,
                        heads_per_lane,
                        max_heads,
                    });
                    let Ok(due) = due else { unreachable!("the outbox in memory fails") };
                    self.handle(Input::Loaded(due));
                }
                Action::LoadLane { lane, after, limit } => {
                    let rows = self.outbox.heads(lane, after, limit).unwrap_or_default();
                    let complete = rows.len() < limit;
                    self.handle(Input::LaneLoaded(LaneRows { lane, after, rows, complete }));
                }
                Action::Send(batch) | Action::SendControl(batch) => self.send(batch),
                Action::Commit(change) => self.commit(change),
                Action::Seal { lane, .. } => self.handle(Input::Sealed { lane, result: SealResult::Sealed }),
                Action::EnsureParent { key, .. } => {
                    self.handle(Input::ParentEnsured { key, parent: Parent::Unknown });
                }
                Action::RetryCommit => self.handle(Input::Committed),
                Action::Refresh | Action::Notice(_) => {}
            }
        }
    }

    fn send(&mut self, batch: Batch) {
        assert!(self.batcher.is_open(), "a request while nothing may be sent");
        assert!(batch.rows() > 0, "an empty request");
        let busy: BTreeSet<_> = self.sent.iter().flat_map(|sent| &sent.parts).map(|part| part.lane).collect();
        let mut lanes = BTreeSet::new();
        for part in &batch.parts {
            assert!(!busy.contains(&part.lane) && lanes.insert(part.lane), "a lane in two requests");
            let waiting = self.outbox.heads(part.lane, None, part.rows.len()).unwrap_or_default();
            assert_eq!(waiting, part.rows, "rows that are not the lane's first");
        }
        self.sent.push(batch);
    }

    fn commit(&mut self, change: Change) {
        assert!(self.outbox.commit(&[change], &[]).is_ok(), "the outbox in memory fails");
        self.handle(Input::Committed);
    }

    /// Signs in, lets every request succeed, and waits as long as the batcher wants to.
    fn drain(&mut self) {
        self.handle(Input::Committed);
        self.handle(Input::ControlSenderReady(None));
        self.handle(Input::SignedIn);
        for _ in 0..MAX_STEPS {
            self.perform();
            let waiting = self.outbox.totals().map_or(0, |totals| totals.pending_rows);
            if waiting == 0 && self.sent.is_empty() {
                return;
            }
            if self.sent.is_empty() {
                let now = Monotonic::from_start(self.now);
                let timeout = self.batcher.poll_timeout();
                assert!(timeout.is_some(), "{waiting} rows wait for nothing");
                let wait = timeout.map_or(Duration::ZERO, |at| at.since(now));
                self.wait(wait.max(Duration::from_millis(1)));
            } else {
                self.respond(0);
            }
        }
        unreachable!("rows that never leave");
    }
}

fn reason(code: &str) -> Reason {
    Reason { code: code.to_owned(), detail: String::new() }
}
