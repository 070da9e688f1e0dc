//! A Supabase project that misbehaves as planned: the whole vocabulary of the verdict table.

use std::time::Duration;

use levi_outbox::LaneKey;
use levi_transport::{ApiError, Verdict};

use crate::content::{Content, MessageKind, subject_number};
use crate::model::Model;
use crate::plan::{ServerFault, SessionSetup, SessionState};
use crate::random::Random;

pub(crate) const REJECT_ALL: &str = "P0001";
pub(crate) const POISON: &str = "22P02";

pub(crate) struct Server {
    /// The one token that is valid.
    pub(crate) token: u32,
    /// When the newest token was granted, by this server's own time.
    granted_at: Duration,
    /// How long the device slept.
    slept: Duration,
    /// How far this server's clock is behind that of the sign-in server, until when.
    behind: Option<(Duration, Duration)>,
    /// What is wrong, until when.
    faults: Vec<(ServerFault, Duration)>,
    known: Vec<bool>,
    forbidden: Vec<bool>,
    repositories: [bool; 4],
    pub(crate) requests: u64,
}

/// One request's rows as the server reads them.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<(usize, i64, Content)>,
    pub(crate) bytes: usize,
}

/// The outcome of a request.
pub(crate) struct Served {
    pub(crate) result: Result<(), ApiError>,
    /// How much longer than usual the response takes.
    pub(crate) delay: Duration,
}

impl Server {
    pub(crate) fn new(sessions: &[SessionSetup]) -> Self {
        Self {
            token: 1,
            granted_at: Duration::ZERO,
            slept: Duration::ZERO,
            behind: None,
            faults: Vec::new(),
            known: sessions
                .iter()
                .map(|s| matches!(s.state, SessionState::Known | SessionState::Forbidden))
                .collect(),
            forbidden: sessions.iter().map(|s| s.state == SessionState::Forbidden).collect(),
            repositories: [false; 4],
            requests: 0,
        }
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
        if let (Some(known), Some(forbidden)) = (self.known.get_mut(session), self.forbidden.get_mut(session))
        {
            (*known, *forbidden) = (true, false);
        }
    }

    /// Everything that is wrong is mended. Sessions that Levi itself can send are left to Levi.
    pub(crate) fn heal(&mut self, sessions: &[SessionSetup]) {
        self.faults.clear();
        self.behind = None;
        for (number, session) in sessions.iter().enumerate() {
            if session.state != SessionState::Local {
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
        request: &Rows,
    ) -> Served {
        let now = model.now.monotonic.since_start();
        self.requests += 1;
        if let Some(served) = self.before_the_table(now, random, token) {
            return served;
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
        if has_duplicates(request) {
            model.fail("once", "one request has the same sequence number twice");
        }
        for (session, place, content) in &request.rows {
            show(model, *session, *place, *content);
        }
        self.written(now, random)
    }

    /// Serves one control row.
    pub(crate) fn control_row(
        &mut self,
        now: Duration,
        random: &mut Random,
        token: u32,
        lane: &LaneKey,
        sessions: &[SessionSetup],
    ) -> Served {
        if let Some(served) = self.before_the_table(now, random, token) {
            return served;
        }
        if self.fault(now, |fault| *fault == ServerFault::RejectAll).is_some() {
            return late(Verdict::Rejected, REJECT_ALL, Duration::ZERO);
        }
        let number = subject_number(lane.subject());
        if let LaneKey::Repository(_) = lane {
            self.repositories.get_mut(number).into_iter().for_each(|known| *known = true);
            return self.written(now, random);
        }
        let missing = || late(Verdict::MissingParent, "23503", Duration::ZERO);
        let Some(setup) = sessions.get(number) else { return missing() };
        if self.forbidden.get(number) == Some(&true) {
            return late(Verdict::Forbidden, "42501", Duration::ZERO);
        }
        let has_parent = match lane {
            LaneKey::Session(_) => self.repositories.get(usize::from(setup.repository)).copied(),
            _ => self.known.get(number).copied(),
        };
        if has_parent != Some(true) {
            return missing();
        }
        if let LaneKey::Session(_) = lane {
            self.known.get_mut(number).into_iter().for_each(|known| *known = true);
        }
        self.written(now, random)
    }

    /// Whether the server has the row; it keeps no secrets.
    pub(crate) fn has(&self, lane: &LaneKey) -> bool {
        let number = subject_number(lane.subject());
        match lane {
            LaneKey::Repository(_) => self.repositories.get(number) == Some(&true),
            _ => self.known.get(number) == Some(&true),
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
                return Some(Served { result, delay: zero });
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
            return Some(Served { result: Err(error), delay: zero });
        }
        if token != self.token || self.fault(now, |fault| *fault == ServerFault::Unauthorized).is_some() {
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
        let is = |list: &[bool], session: usize| list.get(session) == Some(&true);
        if rows.iter().any(|(session, ..)| is(&self.forbidden, *session)) {
            return Some(self.refuse(model, request, Verdict::Forbidden, "42501", String::new(), true));
        }
        let (orphan, ..) = rows.iter().find(|(session, ..)| !is(&self.known, *session))?;
        let detail =
            format!("Key (session_id)=(s{orphan}) is not present in table \"agent_coding_sessions\".");
        Some(self.refuse(model, request, Verdict::MissingParent, "23503", detail, false))
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
        Served { result: Err(ApiError::new(verdict, code, detail)), delay: Duration::ZERO }
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
        Served { result: Ok(()), delay }
    }
}

/// Writes a row, as an upsert does.
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

fn has_duplicates(request: &Rows) -> bool {
    let mut places: Vec<_> = request.rows.iter().map(|(session, place, _)| (*session, *place)).collect();
    places.sort_unstable();
    places.windows(2).any(|pair| pair[0] == pair[1])
}

fn late(verdict: Verdict, code: &str, delay: Duration) -> Served {
    Served { result: Err(ApiError::new(verdict, code, "")), delay }
}
