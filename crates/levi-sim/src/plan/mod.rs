//! The events of a simulation as a list. It is generated from a seed, and can be replayed, and
//! shrunk by leaving events out.

mod generate;

use std::fmt;
use std::time::Duration;

use levi_core::LeviConfig;
use levi_outbox::Overwrite;
use levi_testkit::outbox::OutboxFailure;

pub use crate::content::MessageKind;

/// The setup of a simulation and its events.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the plan. Latencies and jitter are drawn from it during the run.
    pub seed: u64,
    /// The parts of the simulation.
    pub setup: Setup,
    /// What happens, by time.
    pub events: Vec<ScheduledEvent>,
    /// When every fault ends. From then on every good message must arrive.
    pub heal_at: Duration,
}

/// The parts of a simulation.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How Levi is set up.
    pub config: LeviConfig,
    /// Where rows wait.
    pub store: StoreKind,
    /// The sessions.
    pub sessions: Vec<SessionSetup>,
    /// Whether Levi has a database key, so that it can take messages before their session's key.
    pub database_key: bool,
    /// The most milliseconds that a request takes in each direction.
    pub latency: u64,
    /// Timers fire up to so many milliseconds late.
    pub lateness: u64,
    /// Whether Levi starts signed in.
    pub signed_in: bool,
    /// Whether the server knows the repositories' folders under other ids.
    pub taken_folders: bool,
}

/// Which outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// The one in memory, which survives the engine as a file would.
    #[default]
    Memory,
    /// SQLite in memory, likewise.
    Sqlite,
    /// SQLite in a file, opened anew after every crash.
    SqliteFile,
}

/// One session.
#[derive(Clone, Copy, Debug)]
pub struct SessionSetup {
    /// Whether its key is there from the start.
    pub key: bool,
    /// How the server knows it.
    pub state: SessionState,
    /// The number of the repository, among its user's, that it works in.
    pub repository: u8,
    /// Whether it belongs to the first user or the second.
    pub user: u8,
}

impl SessionSetup {
    /// No two users share a repository.
    pub(crate) fn repository_number(&self) -> u8 {
        self.repository + 2 * self.user
    }
}

/// Whether the server accepts a session's messages at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionState {
    /// As it should.
    #[default]
    Known,
    /// The server does not know it, nor does the daemon's store: another device will record it.
    Foreign,
    /// The server does not know it; the daemon's store does, so Levi can record it.
    Local,
    /// Row level security refuses it for now.
    Forbidden,
    /// Its id is another user's.
    OwnedByAnother,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct ScheduledEvent {
    /// When, from the start.
    pub at: Duration,
    /// What.
    pub what: SimEvent,
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub enum SimEvent {
    /// The daemon enqueues a message; a second one with the same sequence number replaces the
    /// first.
    Enqueue {
        /// Of which session.
        session: usize,
        /// At which place.
        sequence_number: i64,
        /// How the server will take it.
        kind: MessageKind,
        /// Length of the content.
        size: usize,
        /// Whether the daemon waits for the disk.
        durable: bool,
    },
    /// The server, or the way to it, misbehaves for a while.
    Server(ServerFault, Duration),
    /// The token is refused from now on.
    TokenExpires,
    /// From now on a refresh ends like this.
    Refresh(RefreshEnd),
    /// The sign-in server stumbles for a while.
    SignInServer(SignInFault, Duration),
    /// For a while the project's clock is this many seconds behind that of the sign-in server, so
    /// it refuses younger tokens.
    Skew(u64, Duration),
    /// The machine sleeps for this many seconds: its monotonic clock stops, and all other clocks
    /// advance.
    Sleep(u64),
    /// The user signs out.
    SignOut,
    /// The user signs in.
    SignIn,
    /// The other user of the device signs in.
    OtherUserSignsIn,
    /// The disk misbehaves for a while.
    Disk(DiskFault, Duration),
    /// The process dies.
    Crash(Moment),
    /// The daemon shuts Levi down, and starts it again later.
    Stop {
        /// How long it waits.
        within: Duration,
    },
    /// The wall clock jumps by this many milliseconds.
    JumpWall(i64),
    /// Another device records the session, or its permissions are corrected.
    SessionAppears(usize),
    /// Another device writes the message that this one is about to write.
    WrittenByAnother(usize),
    /// Another device deletes the session.
    SessionDeleted(usize),
    /// The daemon restores a session that was deleted elsewhere.
    SessionRestored(usize),
    /// The daemon syncs a session: repository, session and secret.
    SyncSession(usize),
    /// The session's key arrives.
    KeyArrives {
        /// Whose.
        session: usize,
        /// Whether Levi is notified.
        notified: bool,
    },
    /// The network may be back.
    NetworkChanged,
    /// Levi is notified that the outbox was written to.
    WrittenElsewhere,
    /// The daemon's own store does not answer for a while.
    DaemonStore(Duration),
    /// The operator unparks every parked row.
    RetryParked {
        /// Whether Levi is notified.
        notified: bool,
    },
    /// The operator discards the first pending message of a session.
    Discard(usize),
    /// Another process replaces the first pending message of a session with a newer text.
    EditElsewhere(usize),
}

/// What a server can do wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerFault {
    /// Nothing gets there.
    #[default]
    Outage,
    /// The write happens, the answer is lost.
    LostAnswer,
    /// 503.
    Busy,
    /// 429 or 503 with `Retry-After` in seconds.
    RetryAfter(u64),
    /// Something nobody knows.
    Unexpected,
    /// A column is missing.
    Schema,
    /// A column is missing in the table of sessions, and in no other.
    SessionsSchema,
    /// Read-only, restricted or paused.
    ProjectDown,
    /// Every row is refused, always for the same reason.
    RejectAll,
    /// A rule of the project refuses every message and secret, though their sessions are there.
    OwnRule(OwnRule),
    /// Every token is refused, fresh ones too.
    Unauthorized,
    /// Some requests are refused for their token and others are not, as when one of several nodes
    /// restarts.
    SomeUnauthorized,
    /// Bodies over so many bytes are refused.
    BodyLimit(usize),
    /// Answers take up to so many seconds.
    Slow(u64),
    /// Any of the passing failures, each request its own.
    Flaky,
}

/// A rule that is the project's own, which its answer does not tell from a missing session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnRule {
    /// A policy: 42501.
    Policy,
    /// A foreign key or a trigger: 23503.
    ForeignKey,
}

/// How a token refresh ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshEnd {
    /// With a fresh token.
    #[default]
    Fresh,
    /// Never again: the user must sign in.
    Refused,
    /// Not now.
    Unavailable,
}

/// The answers of a sign-in server that do not end a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInFault {
    /// Nothing gets there.
    Outage,
    /// A hook of the project does not answer.
    Hook,
    /// 400 with OAuth's `server_error`.
    ServerError,
    /// A gateway that does not know the key.
    Gateway,
    /// A page of HTML.
    Page,
    /// 429 with `Retry-After` in seconds.
    TooMany(u64),
}

/// What a disk can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Writes fail, reads go on.
    Writes(OutboxFailure),
    /// Everything fails.
    Everything(OutboxFailure),
    /// The next few writes fail.
    FewWrites(u64),
    /// The next few reads fail.
    FewReads(u64),
}

/// When exactly a process dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moment {
    /// Between two turns.
    #[default]
    Now,
    /// In the next turn that commits, before this many commits have succeeded.
    BeforeCommit(u32),
    /// In the next turn that commits, after this many commits have succeeded and before anybody is
    /// told.
    AfterCommit(u32),
    /// After the next turn that has effects, before they are carried out.
    BeforeEffects,
}

impl Plan {
    /// What the messages with this sequence number may replace. In a quarter of the plans, every
    /// second one may replace any text.
    pub(crate) const fn overwrite(&self, sequence_number: i64) -> Overwrite {
        if self.seed % 4 == 3 && sequence_number % 2 == 0 { Overwrite::Anything } else { Overwrite::OwnOnly }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { store, database_key, latency, lateness, signed_in, taken_folders, config, sessions } =
            &self.setup;
        writeln!(
            f,
            "seed {}: {store:?}, database key: {database_key}, latency {latency} ms, timers late by {lateness} ms, signed in: {signed_in}, folders taken: {taken_folders}",
            self.seed
        )?;
        writeln!(f, "{config:?}")?;
        for (number, session) in sessions.iter().enumerate() {
            writeln!(f, "s{number}: {session:?}")?;
        }
        for ScheduledEvent { at, what } in &self.events {
            writeln!(f, "{:>9.3} s  {what:?}", at.as_secs_f64())?;
        }
        writeln!(f, "{:>9.3} s  everything is mended", self.heal_at.as_secs_f64())
    }
}
