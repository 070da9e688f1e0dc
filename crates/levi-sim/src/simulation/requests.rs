//! The requests that Levi sends, and their outcomes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use levi_core::batcher::{BatchId, Input};
use levi_core::engine::Event;
use levi_core::{SendError, SentMessage, SyncError, TakenRow};
use levi_outbox::LaneKey;
use levi_transport::rows::{MessageRow, decode_rows};
use levi_transport::{ApiError, Upsert, Verdict};
use levi_types::UserId;

use super::users::user_of_token;
use super::{ControlFlight, Flight, Gate, Occurrence, Simulation, TokenEvent};
use crate::content::{MARK, session_id, subject_number};
use crate::model::RowVersion;
use crate::rows::Rows;

impl Simulation {
    pub(super) fn send(
        &mut self,
        batch: u64,
        user: Option<&UserId>,
        insert: Upsert,
        messages: Vec<SentMessage>,
        gate_changes: bool,
    ) {
        let rows = match self.decode(&insert) {
            Ok(rows) => rows,
            Err(error) => {
                return self.fail("sealed", format!("a request that the server cannot read: {error}"));
            }
        };
        self.note(|| {
            let names: Vec<_> =
                rows.rows.iter().map(|(s, place, c)| format!("s{s}/{place} v{}", c.version)).collect();
            format!("send {batch}: {}", names.join(", "))
        });
        self.model(|model| model.request_sent(&rows.rows));
        self.check_request(batch, &rows);
        self.check_may_send(gate_changes);
        let flight = Flight { rows, insert, messages, token: 0, epoch: self.epoch, arrived: false };
        // Like the worker: with the user's own token, or not at all.
        let Some(token) = self.token.filter(|token| user == Some(&user_of_token(*token))) else {
            self.flights.insert(batch, Flight { arrived: true, ..flight });
            let result = Err(ApiError::new(Verdict::SignedOut, "signed_out", ""));
            return self.schedule(Duration::ZERO, Occurrence::Answered(batch, result));
        };
        let lanes: Vec<_> =
            flight.rows.rows.iter().map(|(s, ..)| LaneKey::Messages(session_id(*s))).collect();
        self.check_whose(token, &lanes);
        self.flights.insert(batch, Flight { token, ..flight });
        let latency = self.latency();
        self.schedule(latency, Occurrence::Arrives(batch));
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
        // Levi may ask whether anything gets through, after something did not.
        let may_be_empty = self.model(|model| model.has_failed());
        self.expect((count > 0 || may_be_empty) && count <= config.catch_up_batch_size, "bounds", || {
            format!("{count} rows in one request")
        });
        self.expect(count <= 1 || rows.bytes <= config.max_batch_bytes, "bounds", || {
            format!("{} bytes in one request of {count} rows", rows.bytes)
        });
        self.check_in_flight();
        let sessions: BTreeSet<usize> = rows.rows.iter().map(|(session, ..)| *session).collect();
        self.model(|model| {
            for number in sessions {
                let Some(session) = model.sessions.get_mut(number) else { continue };
                if let Some(other) = session.in_flight.replace(batch) {
                    model.fail("order", format!("s{number} is in requests {other} and {batch} at once"));
                }
            }
        });
    }

    /// The request reaches the server.
    pub(super) fn arrives(&mut self, batch: u64) {
        let Some(flight) = self.flights.get_mut(&batch) else { return };
        flight.arrived = true;
        let served = {
            let model = &mut self.disk.inner().model;
            self.server.messages(model, &mut self.random, flight.token, flight)
        };
        self.note(|| format!("server: {batch} -> {}, taken: {:?}", shown(&served.result), served.taken));
        let latency = self.latency() + served.delay;
        let answer = served.result.map(|()| served.taken);
        self.schedule(latency, Occurrence::Answered(batch, answer));
    }

    pub(super) fn answered(&mut self, batch: u64, answer: Result<Vec<TakenRow>, ApiError>) {
        let Some(flight) = self.flights.remove(&batch) else { return };
        let (result, taken) = match answer {
            Ok(taken) => (Ok(()), taken),
            Err(error) => (Err(error), Vec::new()),
        };
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
        let may_miss_parent = matches!(verdict, Some(Verdict::Forbidden | Verdict::MissingParent));
        let alone = match flight.rows.rows.as_slice() {
            [(session, number, content)] if may_miss_parent => {
                let row = RowVersion { sequence_number: *number, version: content.version };
                Some((*session, row))
            }
            _ => None,
        };
        let refused = alone.is_some();
        let sessions: BTreeSet<usize> = flight.rows.rows.iter().map(|(session, ..)| *session).collect();
        self.model(|model| {
            if flight.rows.rows.is_empty() && deferring {
                model.probe_failed();
            }
            if let Some((session, row)) = alone {
                model.refused_alone(LaneKey::Messages(session_id(session)), row);
            }
            for number in sessions {
                if let Some(session) = model.sessions.get_mut(number) {
                    session.in_flight = None;
                    session.causes += u32::from(deferring);
                    session.refusals += u32::from(refused);
                    session.refused_while_missing += u32::from(refused && session.is_missing);
                }
            }
        });
        match &result {
            Ok(()) => self.request_accepted(flight.epoch),
            Err(error) => self.messages_refused(error, &flight),
        }
        self.model(|model| model.ended(&flight.rows.rows, &result));
        let (batch, result) = (BatchId(batch), result.map_err(SendError::Api));
        let input = if taken.is_empty() {
            Input::Outcome { batch, result }
        } else {
            Input::Taken { batch, rows: taken }
        };
        self.tell(Event::Input(input));
    }

    fn request_accepted(&mut self, epoch: u64) {
        self.blamed = false;
        self.token_events.push(TokenEvent::Accepted { epoch });
    }

    fn request_refused(&mut self, error: &ApiError, epoch: u64, lanes: Vec<LaneKey>) {
        if error.verdict == Verdict::SignedOut {
            self.token_events.push(TokenEvent::Refused { epoch, lanes });
        } else {
            self.note_retry_after(error);
        }
    }

    /// One row's own trouble is no reason for silence.
    fn messages_refused(&mut self, error: &ApiError, flight: &Flight) {
        let rows = &flight.rows.rows;
        let is_silent = matches!(error.verdict, Verdict::Unreachable | Verdict::Busy | Verdict::Unexpected);
        if is_silent && !error.is_rate_limit() && self.model(|model| model.is_alone(rows)) {
            return;
        }
        let lane = |session: usize| LaneKey::Messages(session_id(session));
        if !rows.is_empty() {
            let lanes = rows.iter().map(|(session, ..)| lane(*session)).collect();
            return self.request_refused(error, flight.epoch, lanes);
        }
        // A request without rows stands for one of these, and does not say for which.
        let doubtful = self.model(|model| model.sessions_that_failed());
        for session in doubtful {
            self.request_refused(error, flight.epoch, vec![lane(session)]);
        }
    }

    /// The request takes the token that is present when it starts.
    pub(super) fn send_control(
        &mut self,
        batch: u64,
        user: Option<&UserId>,
        flight: ControlFlight,
        gate_changes: bool,
    ) {
        let lane = flight.lane.clone();
        self.note(|| format!("send {batch}: {lane}"));
        self.check_in_flight();
        self.expect(self.has_sender_for(user), "control rows", || {
            format!("{lane} is sent, and nobody can send it")
        });
        self.check_may_send(gate_changes);
        let flight = ControlFlight { epoch: self.epoch, ..flight };
        if self.token.is_some_and(|token| user != Some(&user_of_token(token))) {
            self.control_flights.insert(batch, ControlFlight { token: None, ..flight });
            let refused = SendError::Api(ApiError::new(Verdict::SignedOut, "other_user", ""));
            return self.schedule(Duration::ZERO, Occurrence::ControlEnded(batch, Err(refused)));
        }
        if let Some(token) = self.token {
            self.check_whose(token, [&lane]);
        }
        self.control_flights.insert(batch, flight);
        let latency = self.latency();
        self.schedule(latency, Occurrence::ControlArrives(batch));
    }

    pub(super) fn control_arrives(&mut self, batch: u64) {
        let Some(flight) = self.control_flights.remove(&batch) else { return };
        let (result, delay) = self.serve_control_row(&flight);
        let lane = flight.lane.clone();
        self.control_flights.insert(batch, flight);
        self.note(|| format!("server: {lane} -> {}", code(&result)));
        let latency = self.latency() + delay;
        self.schedule(latency, Occurrence::ControlEnded(batch, result));
    }

    /// The row reaches the server. A session that was deleted elsewhere is not written again by
    /// itself.
    pub(super) fn serve_control_row(&mut self, flight: &ControlFlight) -> (Result<(), SendError>, Duration) {
        let Some(token) = flight.token else {
            return (Err(SendError::Wait(SyncError::NotAuthenticated)), Duration::ZERO);
        };
        let number = subject_number(flight.lane.subject());
        let is_session = matches!(flight.lane, LaneKey::Session(_));
        let before = self.server.tables.session(number);
        let sender = Arc::clone(&self.control_sender);
        let served = self.server.control_row(self.now, &mut self.random, token, flight, &*sender);
        let after = self.server.tables.session(number);
        if is_session && after.inserted > before.inserted {
            self.model(|model| model.session_inserted(number));
        }
        served
    }

    pub(super) fn control_ended(&mut self, batch: u64, result: Result<(), SendError>) {
        let Some(ControlFlight { lane, key, epoch, .. }) = self.control_flights.remove(&batch) else {
            return;
        };
        self.model(|model| match (&result, key) {
            (Ok(()), Some(key)) => model.control_row_ended(&lane, key, Ok(())),
            (Err(SendError::Api(error)), Some(key)) => model.control_row_ended(&lane, key, Err(error)),
            (Err(SendError::Never(error)), Some(key)) => model.control_row_never(&lane, key, error.code()),
            _ => model.control_row_waits(&lane),
        });
        match &result {
            Ok(()) => self.request_accepted(epoch),
            Err(SendError::Api(error)) => self.request_refused(error, epoch, vec![lane]),
            Err(_) => {}
        }
        self.tell(Event::Input(Input::Outcome { batch: BatchId(batch), result }));
    }

    fn note_retry_after(&mut self, error: &ApiError) {
        if let Some(asked) = error.retry_after {
            let asked = asked.min(self.plan.setup.config.longest_delay());
            self.silence = self.silence.max(self.elapsed() + asked);
            self.asked_now = true;
        }
    }

    /// Requests of both kinds are bounded together.
    fn check_in_flight(&mut self) {
        let most = self.plan.setup.config.max_in_flight;
        let in_flight = self.flights.len() + self.control_flights.len() + 1;
        self.expect(in_flight <= most, "bounds", || format!("{in_flight} requests in flight"));
    }

    /// Nothing is sent without a token, nor during a wait that the server asked for.
    fn check_may_send(&mut self, gate_changes: bool) {
        let early = self.silence.saturating_sub(self.elapsed());
        self.expect(early.is_zero() || self.asked_now, "backoff", || {
            format!("sent {early:?} before the server's Retry-After is over")
        });
        if let Gate::UseLater(at) | Gate::UnlessAccepted(at) = self.gate
            && at.since_start() <= self.now
        {
            self.gate = Gate::Open;
            self.epoch += 1;
        }
        self.expect(gate_changes || self.gate == Gate::Open, "sign-in", || {
            format!("a request is sent while {:?}", self.gate)
        });
    }
}

fn code(result: &Result<(), SendError>) -> &str {
    result.as_ref().map_or_else(SendError::code, |()| "accepted")
}

/// A result, for the trace.
fn shown(result: &Result<(), ApiError>) -> String {
    match result {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("{:?} {}", error.verdict, error.code),
    }
}
