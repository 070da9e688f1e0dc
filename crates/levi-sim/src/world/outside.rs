//! What Levi wants done outside, and what comes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use levi_core::batcher::{BatchId, TaskEnd};
use levi_core::engine::Event;
use levi_outbox::{DueTask, Reason};
use levi_transport::rows::{MessageRow, decode_rows};
use levi_transport::{ApiError, Upsert, Verdict};

use super::{Coming, Flight, Gate, World};
use crate::content::MARK;
use crate::server::Rows;

impl World {
    pub(super) fn send(&mut self, batch: u64, upsert: &Upsert, gate_changes: bool) {
        let rows = match self.decode(upsert) {
            Ok(rows) => rows,
            Err(error) => {
                return self.fail("G7 sealed", format!("a request that the server cannot read: {error}"));
            }
        };
        self.note(|| {
            let names: Vec<_> =
                rows.rows.iter().map(|(s, place, c)| format!("s{s}/{place} v{}", c.version)).collect();
            format!("send {batch}: {}", names.join(", "))
        });
        self.check_request(batch, &rows);
        let early = self.silence.saturating_sub(self.now);
        self.expect(early.is_zero() || self.asked_now, "backoff", || {
            format!("sent {early:?} before the server's Retry-After is over")
        });
        let Some(token) = self.token else {
            self.expect(gate_changes || self.gate == Gate::Open, "G5 sign-in", || {
                "sent while signed out".to_owned()
            });
            self.flights.insert(batch, Flight { rows, token: 0, arrived: true });
            let result = Err(ApiError::new(Verdict::SignedOut, "signed_out", ""));
            return self.schedule(Duration::ZERO, Coming::Answered(batch, result));
        };
        self.expect(gate_changes || self.gate == Gate::Open, "G5 sign-in", || {
            format!("a request is sent while {:?}", self.gate)
        });
        self.flights.insert(batch, Flight { rows, token, arrived: false });
        let latency = self.latency();
        self.schedule(latency, Coming::Arrives(batch));
    }

    fn decode(&self, upsert: &Upsert) -> Result<Rows, String> {
        let leaks = upsert.body.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes());
        if leaks {
            return Err("plaintext in a body".to_owned());
        }
        let rows: Vec<MessageRow> = decode_rows(&upsert.body).map_err(|error| error.to_string())?;
        let rows = rows.iter().map(|row| self.keys.open(row)).collect::<Result<_, _>>()?;
        Ok(Rows { rows, bytes: upsert.body.len() })
    }

    /// One session, one request at a time; never more than the limits.
    fn check_request(&mut self, batch: u64, rows: &Rows) {
        let config = self.plan.setup.config.clone();
        let count = rows.rows.len();
        self.expect(count > 0 && count <= config.catch_up_batch_size, "G6 bounds", || {
            format!("{count} rows in one request")
        });
        self.expect(count == 1 || rows.bytes <= config.max_batch_bytes, "G6 bounds", || {
            format!("{} bytes in one request of {count} rows", rows.bytes)
        });
        let under_way = self.flights.len() + 1;
        self.expect(under_way <= config.max_in_flight, "G6 bounds", || {
            format!("{under_way} requests under way")
        });
        let sessions: BTreeSet<usize> = rows.rows.iter().map(|(session, ..)| *session).collect();
        self.truth(|truth| {
            for number in sessions {
                let Some(session) = truth.sessions.get_mut(number) else { continue };
                if let Some(other) = session.in_flight.replace(batch) {
                    truth.fail("G3 order", format!("s{number} is in requests {other} and {batch} at once"));
                }
            }
        });
    }

    /// The request reaches the server.
    pub(super) fn arrives(&mut self, batch: u64) {
        let Some(flight) = self.flights.get_mut(&batch) else { return };
        flight.arrived = true;
        let served = {
            let truth = &mut self.disk.inner().truth;
            self.server.messages(truth, &mut self.random, flight.token, &flight.rows)
        };
        self.note(|| format!("server: {batch} -> {}", shown(&served.result)));
        let latency = self.latency() + served.delay;
        self.schedule(latency, Coming::Answered(batch, served.result));
    }

    pub(super) fn answered(&mut self, batch: u64, result: Result<(), ApiError>) {
        let Some(flight) = self.flights.remove(&batch) else { return };
        self.note(|| format!("answer to {batch}: {}", shown(&result)));
        let verdict = result.as_ref().err().map(|error| error.verdict);
        let deferring = matches!(
            verdict,
            Some(
                Verdict::Unreachable
                    | Verdict::Busy
                    | Verdict::Unexpected
                    | Verdict::MissingParent
                    | Verdict::Forbidden
            )
        );
        let refused = verdict == Some(Verdict::Forbidden) && flight.rows.rows.len() == 1;
        let sessions: BTreeSet<usize> = flight.rows.rows.iter().map(|(session, ..)| *session).collect();
        self.truth(|truth| {
            for number in sessions {
                if let Some(session) = truth.sessions.get_mut(number) {
                    session.in_flight = None;
                    session.causes += u32::from(deferring);
                    session.refusals += u32::from(refused);
                }
            }
        });
        match &result {
            Ok(()) => (self.refreshed_at, self.blamed) = (None, false),
            Err(error) if error.verdict == Verdict::SignedOut => self.token_refused(flight.token),
            Err(error) => {
                if let Some(asked) = error.retry_after {
                    self.silence = self.silence.max(self.now + asked);
                    self.asked_now = true;
                }
            }
        }
        self.tell(Event::Outcome { batch: BatchId(batch), result });
    }

    /// A refusal counts where it was about the token that is in use.
    fn token_refused(&mut self, token: u32) {
        if Some(token) == self.token {
            self.refused = true;
            if self.refreshed_at.is_some() && token == self.server.token {
                // A token fresh from the server is refused: that is for a person to look at.
                self.needs_person = true;
                if self.healed {
                    self.schedule_at(self.now + Duration::from_secs(1), 0, Coming::Person);
                }
            }
        }
    }

    pub(super) fn run_task(&mut self, task: DueTask) {
        self.note(|| format!("run task {} version {}", task.name, task.version));
        let running = std::mem::replace(&mut self.task_running, true);
        self.expect(!running, "tasks", || "two tasks run at once".to_owned());
        self.expect(self.gate == Gate::Open || self.token.is_none() || self.refused, "G5 sign-in", || {
            format!("a task runs while {:?}", self.gate)
        });
        let latency = self.latency();
        // It takes the token that is there when it starts.
        self.schedule(latency, Coming::TaskArrives(task, self.token));
    }

    pub(super) fn task_arrives(&mut self, task: DueTask, token: Option<u32>) {
        let now = self.now;
        let (end, delay) = match token {
            None => {
                let reason = Reason { code: "signed_out".into(), detail: String::new() };
                (TaskEnd::Waiting(reason), Duration::ZERO)
            }
            Some(token) => {
                let sessions = &self.plan.setup.sessions;
                let served = self.server.task(now, &mut self.random, token, &task.name, sessions);
                (served.result.map_or_else(TaskEnd::Answered, |()| TaskEnd::Done), served.delay)
            }
        };
        self.note(|| format!("server: task {} -> {end:?}", task.name));
        let latency = self.latency() + delay;
        self.schedule(latency, Coming::TaskEnded(task, end, token));
    }

    pub(super) fn task_ended(&mut self, task: DueTask, end: TaskEnd, token: Option<u32>) {
        self.task_running = false;
        let most = self.plan.setup.config.max_attempts_rejected;
        self.truth(|truth| {
            let Some(known) = truth.tasks.get_mut(&task.name).filter(|known| known.version == task.version)
            else {
                return;
            };
            known.done |= end == TaskEnd::Done;
            let passing = match &end {
                TaskEnd::Waiting(_) => true,
                TaskEnd::Answered(error) => !matches!(
                    error.verdict,
                    Verdict::SignedOut | Verdict::SchemaMismatch | Verdict::ProjectUnavailable
                ),
                TaskEnd::Done | TaskEnd::Impossible(_) => false,
            };
            known.causes += u32::from(passing);
            known.hopeless = match &end {
                TaskEnd::Impossible(_) => true,
                TaskEnd::Answered(error) => match error.verdict {
                    Verdict::Rejected | Verdict::TooLarge | Verdict::DuplicateInBatch => true,
                    Verdict::Forbidden => known.attempts + 1 >= most,
                    _ => false,
                },
                TaskEnd::Done | TaskEnd::Waiting(_) => false,
            };
        });
        if let TaskEnd::Answered(error) = &end
            && error.verdict == Verdict::SignedOut
            && let Some(token) = token
        {
            self.token_refused(token);
        }
        self.tell(Event::TaskEnded { task, end });
    }
}

/// A result, for the trace.
fn shown(result: &Result<(), ApiError>) -> String {
    match result {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("{:?} {}", error.verdict, error.code),
    }
}
