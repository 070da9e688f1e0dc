//! A Supabase project that fails as planned: it gives every answer of the verdict table.

use std::time::Duration;

use levi_core::{ControlSender, SendError, SyncError, TakenRow, write_messages};
use levi_outbox::LaneKey;
use levi_transport::{ApiError, Verdict};
use levi_types::AccessToken;

use crate::content::{Content, MessageKind, session_number, subject_number};
use crate::model::Model;
use crate::plan::{OwnRule, ServerFault, SessionSetup, SessionState};
use crate::random::Random;
use crate::rows::Rows;
use crate::sender::at_once;
use crate::served::{Served, late};
use crate::simulation::{ControlFlight, Flight, USERS};
use crate::tables::{Tables, folder};

pub(crate) const REJECT_ALL: &str = "P0001";
pub(crate) const POISON: &str = "22P02";

pub(crate) struct Server {
    /// The one token of each user that is valid. Its remainder says whose it is.
    tokens: [u32; USERS],
    /// When the newest token was granted, by this server's clock.
    granted_at: Duration,
    /// How long the device slept.
    slept: Duration,
    /// How far this server's clock is behind that of the sign-in server, and until when.
    behind: Option<(Duration, Duration)>,
    /// What is wrong, until when.
    faults: Vec<(ServerFault, Duration)>,
    pub(crate) tables: Tables,
    pub(crate) requests: u64,
}

impl Server {
    pub(crate) fn new(sessions: &[SessionSetup], taken_folders: bool) -> Self {
        Self {
            tokens: [2, 3],
            granted_at: Duration::ZERO,
            slept: Duration::ZERO,
            behind: None,
            faults: Vec::new(),
            tables: Tables::new(sessions, taken_folders),
            requests: 0,
        }
    }

    /// The token that a user gets now.
    pub(crate) fn token_of(&self, user: usize) -> u32 {
        self.tokens.get(user).copied().unwrap_or_default()
    }

    /// Refuses the tokens that a user has from now on.
    pub(crate) fn expire_tokens_of(&mut self, user: usize) {
        self.tokens.get_mut(user).into_iter().for_each(|token| *token += USERS as u32);
    }

    pub(crate) fn misbehave(&mut self, fault: ServerFault, until: Duration) {
        self.faults.push((fault, until));
    }

    /// The sign-in server grants the valid token.
    pub(crate) fn granted(&mut self, now: Duration) {
        self.granted_at = now + self.slept;
    }

    /// Time passes here while the device sleeps.
    pub(crate) fn sleep(&mut self, time: Duration) {
        self.slept += time;
    }

    pub(crate) fn clock_is_behind(&mut self, by: Duration, until: Duration) {
        self.behind = Some((by, until));
    }

    /// Whether a token that was granted a moment ago seems to come from the future.
    fn is_from_the_future(&self, now: Duration) -> bool {
        self.behind.is_some_and(|(by, until)| until > now && now + self.slept < self.granted_at + by)
    }

    pub(crate) fn session_appears(&mut self, session: usize) {
        self.tables.change(session, |session| (session.known, session.forbidden) = (true, false));
    }

    /// Another device deletes the session, and with it its messages and secrets.
    pub(crate) fn session_deleted(&mut self, session: usize) {
        self.tables.delete(session);
    }

    /// Ends every fault. Sessions that Levi itself can send are left to Levi.
    pub(crate) fn heal(&mut self, sessions: &[SessionSetup], deleted: impl Fn(usize) -> bool) {
        self.faults.clear();
        self.behind = None;
        for (number, session) in sessions.iter().enumerate() {
            let is_left_to_levi = matches!(session.state, SessionState::Local | SessionState::OwnedByAnother);
            if !is_left_to_levi && !deleted(number) {
                self.session_appears(number);
            }
        }
    }

    /// The fault in force, if any.
    fn fault(&self, now: Duration, matches: impl Fn(&ServerFault) -> bool) -> Option<ServerFault> {
        self.faults.iter().filter(|(_, until)| *until > now).map(|(fault, _)| *fault).find(matches)
    }

    /// Serves one upsert of messages.
    pub(crate) fn messages(
        &mut self,
        model: &mut Model,
        random: &mut Random,
        token: u32,
        flight: &Flight,
    ) -> Served {
        let request = &flight.rows;
        let now = model.now.monotonic.since_start();
        self.requests += 1;
        if let Some(served) = self.before_the_table(now, random, token) {
            return served;
        }
        if request.rows.iter().any(|(_, _, content)| content.kind == MessageKind::NeverFits) {
            let late = self.refuse(model, request, Verdict::Unreachable, "timeout", String::new(), true);
            return Served { delay: Duration::from_secs(10), ..late };
        }
        let limit = self.fault(now, |fault| matches!(fault, ServerFault::BodyLimit(_)));
        if let Some(ServerFault::BodyLimit(limit)) = limit
            && request.bytes > limit
        {
            return self.refuse(model, request, Verdict::TooLarge, "413", String::new(), true);
        }
        if self.fault(now, |fault| *fault == ServerFault::RejectAll).is_some() {
            let detail = "a trigger says no".to_owned();
            return self.refuse(model, request, Verdict::Rejected, REJECT_ALL, detail, false);
        }
        if let Some(served) = self.refused_rows(model, request) {
            return served;
        }
        if request.has_duplicates() {
            model.fail("once", "one request has the same sequence number twice");
        }
        self.write(model, random, flight)
    }

    /// Levi's own way of writing a batch: several requests, answered at once.
    fn write(&self, model: &mut Model, random: &mut Random, flight: &Flight) -> Served {
        let (now, rows) = (model.now.monotonic.since_start(), &flight.rows.rows);
        let token = AccessToken::from("token");
        let (insert, messages) = (flight.insert.clone(), &flight.messages);
        // No session gets another secret here.
        let taken = at_once(write_messages(&self.tables, &token, insert, messages, &|_, _| Ok(false)));
        for write in self.tables.take_written() {
            let row = rows.iter().find(|(session, number, _)| (*session, *number) == write.place());
            if let Some((session, number, content)) = row {
                show(model, *session, *number, *content);
            }
            if write.over_another {
                model.check_overwritten(write.session, write.number);
            }
        }
        match taken {
            Some(Ok(taken)) => {
                taken.iter().for_each(|row| note_taken(model, row));
                Served { taken, ..self.written(now, random) }
            }
            Some(Err(SendError::Api(error))) => Served::refused(error),
            Some(Err(_)) | None => late(Verdict::Unexpected, "a request that waits", Duration::ZERO),
        }
    }

    /// Serves one control row, which Levi's own sender sends.
    pub(crate) fn control_row(
        &mut self,
        now: Duration,
        random: &mut Random,
        token: u32,
        row: &ControlFlight,
        sender: &dyn ControlSender,
    ) -> (Result<(), SendError>, Duration) {
        let refused = |served: Served| (served.result.map_err(SendError::Api), served.delay);
        if let Some(served) = self.before_the_table(now, random, token) {
            return refused(served);
        }
        if self.fault(now, |fault| *fault == ServerFault::RejectAll).is_some() {
            return refused(late(Verdict::Rejected, REJECT_ALL, Duration::ZERO));
        }
        if matches!(row.lane, LaneKey::Session(_))
            && self.fault(now, |fault| *fault == ServerFault::SessionsSchema).is_some()
        {
            return refused(late(Verdict::SchemaMismatch, "PGRST204", Duration::ZERO));
        }
        let result = match &row.lane {
            LaneKey::Secret(session) => self.secret(now, session_number(session)),
            lane => at_once(sender.send(None, lane, &row.payload, row.presence))
                .unwrap_or(Err(SyncError::UnknownRow))
                .map_err(SendError::from),
        };
        match result {
            Ok(()) => refused(self.written(now, random)),
            Err(error) => (Err(error), Duration::ZERO),
        }
    }

    /// Envelopes are not sealed here, which would take most of the simulation's time.
    fn secret(&self, now: Duration, number: usize) -> Result<(), SendError> {
        let session = self.tables.session(number);
        let refusal = |verdict, code| Err(SendError::Api(ApiError::new(verdict, code, "")));
        if session.forbidden || session.owned_by_another {
            return refusal(Verdict::Forbidden, "42501");
        }
        if !session.known {
            return refusal(Verdict::MissingParent, "23503");
        }
        self.own_rule(now).map_or(Ok(()), |(verdict, code)| refusal(verdict, code))
    }

    /// Whether the server has the row; it keeps no secrets.
    pub(crate) fn has(&self, lane: &LaneKey) -> bool {
        match lane {
            LaneKey::Repository(id) => {
                let folder = folder(id.as_str());
                self.tables.state().repositories.values().any(|known| *known == folder)
            }
            _ => self.tables.session(subject_number(lane.subject())).known,
        }
    }

    /// The write happened; the response may be lost.
    fn written(&self, now: Duration, random: &mut Random) -> Served {
        match self.fault(now, |fault| matches!(fault, ServerFault::LostAnswer)) {
            Some(_) => late(Verdict::Unreachable, "timeout", Duration::from_secs(10)),
            None if self.flaky(now) && random.chance(30) => {
                late(Verdict::Unreachable, "reset", Duration::ZERO)
            }
            None => self.in_time(now, random),
        }
    }

    /// What goes wrong before a row is looked at.
    fn before_the_table(&self, now: Duration, random: &mut Random, token: u32) -> Option<Served> {
        let found = self.fault(now, |fault| {
            matches!(
                fault,
                ServerFault::Outage
                    | ServerFault::Busy
                    | ServerFault::RetryAfter(_)
                    | ServerFault::Unexpected
            )
        });
        let zero = Duration::ZERO;
        match found {
            Some(ServerFault::Outage) => return Some(late(Verdict::Unreachable, "connect", zero)),
            Some(ServerFault::Busy) => return Some(late(Verdict::Busy, "503", zero)),
            Some(ServerFault::RetryAfter(seconds)) => {
                let busy = ApiError::new(Verdict::Busy, "429", "");
                let result = Err(busy.with_retry_after(Duration::from_secs(seconds)));
                return Some(Served { result, taken: Vec::new(), delay: zero });
            }
            Some(_) => return Some(late(Verdict::Unexpected, "418", zero)),
            None => {}
        }
        if self.flaky(now) && random.chance(50) {
            let verdict = match random.below(3) {
                0 => Verdict::Unreachable,
                1 => Verdict::Unexpected,
                _ => Verdict::Busy,
            };
            let mut error = ApiError::new(verdict, "flaky", "");
            if verdict == Verdict::Busy && random.chance(30) {
                error.retry_after = Some(Duration::from_secs(3));
            }
            return Some(Served::refused(error));
        }
        if !self.tokens.contains(&token)
            || self.fault(now, |fault| *fault == ServerFault::Unauthorized).is_some()
        {
            return Some(late(Verdict::SignedOut, "PGRST301", zero));
        }
        if self.fault(now, |fault| *fault == ServerFault::SomeUnauthorized).is_some() && random.chance(50) {
            return Some(late(Verdict::SignedOut, "PGRST301", zero));
        }
        if self.is_from_the_future(now) {
            return Some(late(Verdict::SignedOut, "PGRST303", zero));
        }
        if self.fault(now, |fault| *fault == ServerFault::Schema).is_some() {
            return Some(late(Verdict::SchemaMismatch, "PGRST204", zero));
        }
        if self.fault(now, |fault| *fault == ServerFault::ProjectDown).is_some() {
            return Some(late(Verdict::ProjectUnavailable, "25006", zero));
        }
        None
    }

    fn refused_rows(&self, model: &mut Model, request: &Rows) -> Option<Served> {
        let rows = &request.rows;
        if let Some((session, _, content)) =
            rows.iter().find(|(_, _, content)| content.kind != MessageKind::Good)
        {
            let detail = match content.kind {
                MessageKind::NamedPoison => format!("invalid input syntax for type uuid: \"s{session}\""),
                _ => "invalid input".to_owned(),
            };
            return Some(self.refuse(model, request, Verdict::Rejected, POISON, detail, true));
        }
        let is_hidden = |number: usize| {
            let session = self.tables.session(number);
            // Row level security does not tell a session that was deleted from one that is not the
            // user's.
            let was_deleted = model.sessions.get(number).is_some_and(|session| session.is_deleted);
            session.forbidden || session.owned_by_another || (was_deleted && !session.known)
        };
        if rows.iter().any(|(session, ..)| is_hidden(*session)) {
            return Some(self.refuse(model, request, Verdict::Forbidden, "42501", String::new(), true));
        }
        let orphan = rows.iter().find(|(session, ..)| !self.tables.session(*session).known);
        if let Some((orphan, ..)) = orphan {
            let detail =
                format!("Key (session_id)=(s{orphan}) is not present in table \"agent_coding_sessions\".");
            return Some(self.refuse(model, request, Verdict::MissingParent, "23503", detail, false));
        }
        let (verdict, code) =
            self.own_rule(model.now.monotonic.since_start()).filter(|_| !rows.is_empty())?;
        Some(self.refuse(model, request, verdict, code, "a rule of the project".to_owned(), true))
    }

    /// The answer of the project's own rule in force.
    fn own_rule(&self, now: Duration) -> Option<(Verdict, &'static str)> {
        match self.fault(now, |fault| matches!(fault, ServerFault::OwnRule(_)))? {
            ServerFault::OwnRule(OwnRule::ForeignKey) => Some((Verdict::MissingParent, "23503")),
            _ => Some((Verdict::Forbidden, "42501")),
        }
    }

    /// Refuses all rows. The model notes a row that was refused by itself.
    fn refuse(
        &self,
        model: &mut Model,
        request: &Rows,
        verdict: Verdict,
        code: &str,
        detail: String,
        deserved: bool,
    ) -> Served {
        if let [(session, place, _)] = request.rows.as_slice()
            && let Some(id) =
                model.sessions.get(*session).and_then(|session| session.pending.get(place)).copied()
            && let Some(row) = model.rows.get_mut(&id)
        {
            row.refused_alone = Some((code.to_owned(), deserved));
        }
        Served::refused(ApiError::new(verdict, code, detail))
    }

    fn flaky(&self, now: Duration) -> bool {
        self.fault(now, |fault| *fault == ServerFault::Flaky).is_some()
    }

    fn in_time(&self, now: Duration, random: &mut Random) -> Served {
        let slow = self.fault(now, |fault| matches!(fault, ServerFault::Slow(_)));
        let delay = match slow {
            Some(ServerFault::Slow(seconds)) => Duration::from_millis(random.below(seconds * 1_000)),
            _ => Duration::ZERO,
        };
        Served { result: Ok(()), taken: Vec::new(), delay }
    }
}

/// The row is refused alone, and it is at fault.
fn note_taken(model: &mut Model, taken: &TakenRow) {
    let (session, number) = (session_number(&taken.place.session_id), taken.place.sequence_number);
    let row = model.sessions.get(session).and_then(|session| session.pending.get(&number)).copied();
    if let Some(row) = row.and_then(|row| model.rows.get_mut(&row)) {
        row.refused_alone = Some((taken.reason.code.clone(), true));
    }
}

/// The server shows a row.
fn show(model: &mut Model, number: usize, place: i64, content: Content) {
    let Some(session) = model.sessions.get_mut(number) else { return };
    let before = session.shown.insert(place, content);
    if let Some(arrival) = model.arrivals.get_mut(&(number, place)) {
        arrival.shown.get_or_insert(model.now.monotonic.since_start());
    }
    model.expect(before.is_none_or(|before| before.version <= content.version), "latest", || {
        format!("s{number}/{place} goes back from {before:?} to v{} on the server", content.version)
    });
}
