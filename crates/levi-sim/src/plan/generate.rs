//! Plans from seeds.

use std::time::Duration;

use levi_core::{Flush, LeviConfig};
use levi_testkit::outbox::OutboxFailure;

use super::{
    DiskFault, MessageKind, Moment, OwnRule, Plan, RefreshEnd, ScheduledEvent, ServerFault, SessionSetup,
    SessionState, Setup, SignInFault, SimEvent, StoreKind,
};
use crate::random::Random;

/// One seed in this many has a message that is too large for the connection.
const ONE_THAT_NEVER_FITS: u64 = 251;

/// One seed in this many runs on SQLite, and one in four of those in a file.
const ONE_IN_SQLITE: u64 = 40;

const DAY: i64 = 86_400_000;

impl Plan {
    /// The plan of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let mut setup = setup(seed, &mut random);
        if seed % ONE_THAT_NEVER_FITS == 11 {
            return never_fits(seed, setup, random);
        }
        // Most faults happen close together, because that is where they interact.
        let span = random.pick(&[2_000, 20_000, 60_000, 600_000]).max(2_000);
        let mut events = Vec::new();
        let mut draft = Draft { random, span, sessions: setup.sessions.len(), events: &mut events };
        draft.messages();
        draft.trouble();
        take_turns(&mut setup, span, &mut events, &mut Random::new(seed, 5));
        own_rules(span, &mut events, &mut Random::new(seed, 6));
        events.sort_by_key(|planned| planned.at);
        let heal_at = Duration::from_millis(span + 1_000);
        Self { seed, setup, events, heal_at }
    }
}

/// One session has a row among others that never gets through. While a second session's do, that is
/// seen soon; in half of these plans there is none, and the process dies again and again.
fn never_fits(seed: u64, setup: Setup, random: Random) -> Plan {
    let calm = SessionSetup { key: true, state: SessionState::Known, repository: 0, user: 0 };
    let config = LeviConfig { max_pending_bytes: 1 << 30, max_queued_bytes: 100_000, ..setup.config };
    // Each step of the search for the row, and each attempt at it alone, may take the longest
    // delay.
    let delay = config.longest_delay().as_millis() as u64;
    let span = 40 * delay + 1_200_000;
    let mut events = Vec::new();
    let is_alone = seed / ONE_THAT_NEVER_FITS % 2 == 1;
    let sessions = if is_alone { 1 } else { 2 };
    let mut draft = Draft { random, span, sessions, events: &mut events };
    let before = draft.random.below(5) as i64;
    let after = draft.random.below(8) as i64;
    for place in 0..=before + after {
        let (kind, size) =
            if place == before { (MessageKind::NeverFits, 1_500) } else { (MessageKind::Good, 30) };
        let what = SimEvent::Enqueue { session: 0, sequence_number: place, kind, size, durable: false };
        let at = draft.random.below(2_000);
        draft.push(at, what);
    }
    for (place, at) in (0..span).step_by((delay / 3) as usize).enumerate() {
        if is_alone {
            // Each process has time for a failure or two, which take ten seconds each.
            if place % (9 + 180_000 / delay as usize) == 8 {
                draft.push(at, SimEvent::Crash(Moment::Now));
            }
            continue;
        }
        let (kind, sequence_number) = (MessageKind::Good, place as i64);
        draft.push(at, SimEvent::Enqueue { session: 1, sequence_number, kind, size: 30, durable: false });
    }
    events.sort_by_key(|planned| planned.at);
    let setup = Setup { config, sessions: vec![calm; sessions], signed_in: true, ..setup };
    Plan { seed, setup, events, heal_at: Duration::from_millis(span + 1_000) }
}

/// In a third of the plans two users share the device. This is drawn from a stream of its own, so
/// that the rest of the plan is the same as with one user.
fn take_turns(setup: &mut Setup, span: u64, events: &mut Vec<ScheduledEvent>, random: &mut Random) {
    if !random.chance(33) {
        return;
    }
    setup.signed_in = true;
    for session in &mut setup.sessions {
        session.user = u8::from(random.chance(50));
    }
    for _ in 0..random.between(1, 6) {
        let at = Duration::from_millis(random.below(span));
        events.push(ScheduledEvent { at, what: SimEvent::OtherUserSignsIn });
    }
}

/// In a quarter of the plans the project has rules of its own for a while. This too is drawn from a
/// stream of its own.
fn own_rules(span: u64, events: &mut Vec<ScheduledEvent>, random: &mut Random) {
    if !random.chance(25) {
        return;
    }
    for _ in 0..random.between(1, 3) {
        let at = Duration::from_millis(random.below(span));
        let rule = if random.chance(50) { OwnRule::Policy } else { OwnRule::ForeignKey };
        let most = random.pick(&[500, 60_000, 600_000]);
        let lasts = Duration::from_millis(random.below(most.max(500)));
        events.push(ScheduledEvent { at, what: SimEvent::Server(ServerFault::OwnRule(rule), lasts) });
    }
}

fn setup(seed: u64, random: &mut Random) -> Setup {
    let store = match seed % ONE_IN_SQLITE {
        7 if seed % (4 * ONE_IN_SQLITE) == 7 => StoreKind::SqliteFile,
        7 => StoreKind::Sqlite,
        _ => StoreKind::Memory,
    };
    let sessions = random.between(1, 5);
    let calm = random.chance(25);
    let sessions = (0..sessions).map(|_| session(random, calm)).collect();
    Setup {
        config: config(random),
        store,
        sessions,
        database_key: random.chance(85),
        latency: random.pick(&[1, 30, 200, 2_000]).max(1),
        lateness: random.pick(&[0, 0, 3, 50]),
        signed_in: random.chance(90),
        taken_folders: !calm && random.chance(20),
    }
}

fn session(random: &mut Random, calm: bool) -> SessionSetup {
    let state = match random.below(20) {
        _ if calm => SessionState::Known,
        0 | 1 => SessionState::Foreign,
        2..=5 => SessionState::Local,
        6 | 7 => SessionState::Forbidden,
        8 => SessionState::OwnedByAnother,
        _ => SessionState::Known,
    };
    let repository = u8::try_from(random.below(2)).unwrap_or(0);
    SessionSetup { key: calm || random.chance(80), state, repository, user: 0 }
}

fn config(random: &mut Random) -> LeviConfig {
    let batch_size = random.between(1, 8) as usize;
    let (base, max) = random.pick(&[(2, 300), (2, 300), (1, 10), (1, 60)]);
    LeviConfig {
        batch_size,
        flush_interval: Duration::from_millis(random.pick(&[0, 100, 500])),
        flush: random.pick(&[Flush::Leading, Flush::Trailing]),
        backoff_base: Duration::from_secs(base.max(1)),
        backoff_max: Duration::from_secs(max.max(10)),
        backoff_jitter: random.pick(&[0.0, 0.1, 1.0]),
        max_batch_bytes: random.pick(&[600, 1_500, 100_000]).max(600),
        catch_up_batch_size: batch_size * random.between(1, 4) as usize,
        max_in_flight: random.between(1, 4) as usize,
        max_attempts_rejected: random.pick(&[3, 8, 8]).max(3),
        max_message_bytes: 2_000,
        max_queued_bytes: random.pick(&[8_000, 100_000]).max(8_000),
        max_pending_bytes: random.pick(&[6_000, 1 << 30, 1 << 30, 1 << 30]).max(6_000),
        data_dir: None,
    }
}

struct Draft<'a> {
    random: Random,
    span: u64,
    sessions: usize,
    events: &'a mut Vec<ScheduledEvent>,
}

impl Draft<'_> {
    fn push(&mut self, at: u64, what: SimEvent) {
        self.events.push(ScheduledEvent { at: Duration::from_millis(at), what });
    }

    fn moment(&mut self) -> u64 {
        self.random.below(self.span)
    }

    fn session(&mut self) -> usize {
        self.random.below(self.sessions as u64) as usize
    }

    fn for_a_while(&mut self) -> Duration {
        let most = self.random.pick(&[500, 5_000, 60_000, 400_000]);
        Duration::from_millis(self.random.below(most.max(500)))
    }

    /// Bursts of messages, mostly in order, with gaps, late messages and second versions.
    fn messages(&mut self) {
        let mut next = vec![0_i64; self.sessions];
        let poison = self.random.pick(&[0, 0, 0, 2, 10]);
        let bursts = self.random.between(1, 8);
        for _ in 0..bursts {
            let (session, start) = (self.session(), self.moment());
            let gap = self.random.pick(&[0, 1, 50, 700]);
            for nth in 0..self.random.between(1, 12) {
                let place = next.get(session).copied().unwrap_or(0);
                let sequence_number = match self.random.below(20) {
                    0 if place > 0 => self.random.below(place.unsigned_abs()) as i64,
                    1 => place + 2,
                    _ => place,
                };
                if let Some(next) = next.get_mut(session) {
                    *next = place.max(sequence_number + 1);
                }
                let kind = match self.random.chance(poison) {
                    false => MessageKind::Good,
                    true => self.random.pick(&[MessageKind::Poison, MessageKind::NamedPoison]),
                };
                let size = self.random.pick(&[0, 30, 100, 400]);
                let durable = self.random.chance(70);
                let what = SimEvent::Enqueue { session, sequence_number, kind, size, durable };
                self.push((start + nth * gap).min(self.span), what);
            }
        }
    }

    fn trouble(&mut self) {
        let most = self.random.pick(&[0, 3, 8, 15]);
        for _ in 0..self.random.below(most + 1) {
            let at = self.moment();
            let what = self.happening();
            self.push(at, what);
        }
    }

    fn happening(&mut self) -> SimEvent {
        match self.random.below(55) {
            0..=11 => {
                let fault = self.server_fault();
                SimEvent::Server(fault, self.for_a_while())
            }
            12 | 13 => SimEvent::TokenExpires,
            14 => SimEvent::Refresh(self.random.pick(&[
                RefreshEnd::Unavailable,
                RefreshEnd::Refused,
                RefreshEnd::Fresh,
            ])),
            15 => SimEvent::SignOut,
            16 => SimEvent::SignIn,
            17..=19 => {
                let fault = self.disk_fault();
                SimEvent::Disk(fault, self.for_a_while())
            }
            20..=23 => SimEvent::Crash(self.moment_of_death()),
            24 => {
                SimEvent::Stop { within: Duration::from_millis(self.random.pick(&[0, 300, 5_000, 60_000])) }
            }
            25 | 26 => {
                SimEvent::JumpWall(self.random.pick(&[-DAY, DAY, -3_600_000, -10_000, 10_000, 365 * DAY]))
            }
            27 | 28 => SimEvent::SessionAppears(self.session()),
            29 | 30 => SimEvent::SyncSession(self.session()),
            31 | 32 => SimEvent::KeyArrives { session: self.session(), notified: self.random.chance(60) },
            33 | 34 => SimEvent::NetworkChanged,
            35 => SimEvent::WrittenElsewhere,
            36 => SimEvent::DaemonStore(self.for_a_while()),
            37 => SimEvent::RetryParked { notified: self.random.chance(70) },
            38 => SimEvent::Discard(self.session()),
            39 => SimEvent::EditElsewhere(self.session()),
            40 | 41 => SimEvent::SessionDeleted(self.session()),
            42 => SimEvent::SessionRestored(self.session()),
            45 | 46 => SimEvent::WrittenByAnother(self.session()),
            47..=49 => {
                let fault = self.sign_in_fault();
                SimEvent::SignInServer(fault, self.for_a_while())
            }
            50 | 51 => SimEvent::Skew(self.random.pick(&[3, 10, 100]), self.for_a_while()),
            52 | 53 => SimEvent::Sleep(self.random.pick(&[20, 600, 7_200, 86_400])),
            _ => SimEvent::Server(ServerFault::LostAnswer, self.for_a_while()),
        }
    }

    fn server_fault(&mut self) -> ServerFault {
        let seconds = self.random.pick(&[0, 1, 30, 1_000]);
        match self.random.below(14) {
            0 | 1 => ServerFault::Outage,
            2 => ServerFault::LostAnswer,
            3 => ServerFault::Busy,
            4 => ServerFault::RetryAfter(seconds),
            5 => ServerFault::Unexpected,
            6 if self.random.chance(50) => ServerFault::SessionsSchema,
            6 => ServerFault::Schema,
            7 => ServerFault::ProjectDown,
            8 => ServerFault::RejectAll,
            9 => ServerFault::Unauthorized,
            10 => ServerFault::BodyLimit(self.random.pick(&[400, 800, 1_200]).max(400)),
            11 => ServerFault::Slow(self.random.between(1, 25)),
            12 => ServerFault::SomeUnauthorized,
            _ => ServerFault::Flaky,
        }
    }

    fn sign_in_fault(&mut self) -> SignInFault {
        match self.random.below(7) {
            0 => SignInFault::Outage,
            1 => SignInFault::Hook,
            2 => SignInFault::ServerError,
            3 => SignInFault::Gateway,
            4 => SignInFault::Page,
            _ => SignInFault::TooMany(self.random.pick(&[1, 60, 1_000])),
        }
    }

    fn disk_fault(&mut self) -> DiskFault {
        let failure = match self.random.below(4) {
            0 => OutboxFailure::DiskFull,
            1 => OutboxFailure::ReadOnly,
            2 => OutboxFailure::Locked,
            _ => OutboxFailure::Other,
        };
        match self.random.below(4) {
            0 => DiskFault::Writes(failure),
            1 => DiskFault::Everything(failure),
            2 => DiskFault::FewWrites(self.random.between(1, 3)),
            _ => DiskFault::FewReads(self.random.between(1, 3)),
        }
    }

    fn moment_of_death(&mut self) -> Moment {
        match self.random.below(5) {
            0 => Moment::Now,
            1 => Moment::BeforeCommit(self.random.below(3) as u32),
            2 | 3 => Moment::AfterCommit(self.random.between(1, 3) as u32),
            _ => Moment::BeforeEffects,
        }
    }
}
