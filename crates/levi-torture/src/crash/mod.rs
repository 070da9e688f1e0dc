//! Children over the same files, one after another, each killed with SIGKILL.

mod ack_log;
mod kill_point;
mod process;
mod server_faults;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use levi::SessionId;
use levi::outbox::sqlite::Inspector;
use levi_testkit::fixtures::SeededRandom;

use self::ack_log::AckLog;
pub use self::kill_point::KillPoint;
use self::process::Running;
use crate::Error;
use crate::child::{End, Job, Lane};
use crate::environment::{TestEnvironment, session_id};

/// How many sessions every child writes to.
const SHARED_SESSIONS: usize = 6;

/// The size of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many children to kill.
    pub kills: usize,
    /// Determines kill points, faults and sizes. The exact instants depend on the machine.
    pub seed: u64,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Figures {
    /// Kills by kill point.
    pub kills: BTreeMap<KillPoint, u64>,
    /// Children that exited before they were killed.
    pub missed: u64,
    /// Messages whose `enqueue_durable` returned.
    pub acknowledged: u64,
    /// Messages on the server.
    pub delivered: u64,
    /// Messages that were upserted again, because the first answer was lost.
    pub rewritten: u64,
    /// Token refreshes.
    pub refreshes: u64,
    /// Requests that arrived complete.
    pub requests: u64,
    /// Requests that met a planned fault.
    pub faults: u64,
    /// Wall-clock time of the run.
    pub took: Duration,
    /// Broken promises, one sentence each.
    pub violations: Vec<String>,
}

/// Runs `program` as a child and kills it, `options.kills` times, then compares the server with
/// what the children reported.
///
/// # Errors
/// When a child cannot be started or the server cannot be read.
pub async fn run(program: &Path, options: Options) -> Result<Figures, Error> {
    let started = Instant::now();
    let mut test = CrashTest::new(options).await?;
    let mut figures = Figures::default();
    let mut kills = 0;
    while kills < options.kills {
        let point = KillPoint::choose(&mut test.random);
        if test.kill(program, point)? {
            kills += 1;
            *figures.kills.entry(point).or_default() += 1;
        } else {
            figures.missed += 1;
        }
    }
    test.drain(program)?;
    figures.delivered = test.log.compare(&test.environment)?;
    figures.acknowledged = test.log.acknowledged;
    figures.rewritten = test.environment.server.messages_rewritten();
    let stats = test.environment.server.stats();
    (figures.refreshes, figures.requests) = (stats.refreshes, stats.requests);
    figures.faults = test.environment.server.faults().fired();
    figures.violations = test.log.violations;
    figures.took = started.elapsed();
    Ok(figures)
}

struct CrashTest {
    environment: TestEnvironment,
    log: AckLog,
    random: SeededRandom,
    /// Sessions that every child writes to.
    shared: Vec<SessionId>,
    /// Sessions for one child each that are not used yet.
    fresh: Vec<SessionId>,
    /// Sessions whose secret is missing from the session store.
    without_secret: Vec<SessionId>,
    /// Every folder that holds an outbox, the shared one first.
    folders: Vec<PathBuf>,
}

impl CrashTest {
    async fn new(options: Options) -> Result<Self, Error> {
        let shared: Vec<SessionId> =
            (0..SHARED_SESSIONS).map(|n| session_id(&format!("shared {n}"))).collect();
        // Spare ones, because a child that exits before its kill uses up its session too.
        let fresh: Vec<SessionId> =
            (0..options.kills * 2 + 20).map(|n| session_id(&format!("fresh {n}"))).collect();
        let sessions: Vec<SessionId> = shared.iter().chain(&fresh).cloned().collect();
        let environment = TestEnvironment::new(&sessions).await?;
        let main = environment.data_dir().join("main");
        std::fs::create_dir(&main)?;
        Ok(Self {
            environment,
            log: AckLog::default(),
            random: SeededRandom::new(options.seed),
            shared,
            fresh,
            without_secret: Vec::new(),
            folders: vec![main],
        })
    }

    /// Starts one child and kills it at `point`. `false` if the child exited before.
    fn kill(&mut self, program: &Path, point: KillPoint) -> Result<bool, Error> {
        server_faults::plan(&self.environment.server, &mut self.random)?;
        let job = self.job(point)?;
        let running = Running::start(program, &job)?;
        point.wait(&running, (&job, &self.environment), &mut self.log, &mut self.random);
        let killed = running.kill(&mut self.log)?;
        self.without_secret.retain(|session| !self.log.arrived.contains(session));
        self.check_files(&job.folder);
        Ok(killed)
    }

    fn job(&mut self, point: KillPoint) -> Result<Job, Error> {
        let mut job = self.empty_job(&self.folders[0].clone(), End::Linger);
        match point {
            KillPoint::Migration => {
                job.folder = self.environment.data_dir().join(format!("new-{}", self.folders.len()));
                std::fs::create_dir(&job.folder)?;
                self.folders.push(job.folder.clone());
                let session = self.fresh_session()?;
                job.lanes = vec![self.lane(session, 20, 200, true)];
                return Ok(job);
            }
            KillPoint::SecretArrival => {
                let session = self.fresh_session()?;
                self.without_secret.push(session.clone());
                job.lanes.push(self.lane(session, 300, 400, false));
                job.arriving.clone_from(&self.without_secret);
            }
            KillPoint::Shutdown => job.end = End::ShutDown,
            KillPoint::AnyInstant | KillPoint::Checkpoint | KillPoint::Refresh => {}
        }
        let (count, bytes) = if point == KillPoint::Checkpoint { (120, 24_000) } else { (30, 1_500) };
        for session in self.shared.clone() {
            let (count, bytes) = (1 + self.random.below(count), self.random.below(bytes));
            job.lanes.push(self.lane(session, count, bytes, true));
        }
        Ok(job)
    }

    fn empty_job(&self, folder: &Path, end: End) -> Job {
        Job {
            url: self.environment.server.url(),
            key: self.environment.server.publishable_key().to_owned(),
            data_dir: self.environment.data_dir().to_owned(),
            folder: folder.to_owned(),
            lanes: Vec::new(),
            arriving: Vec::new(),
            end,
        }
    }

    fn lane(&mut self, session: SessionId, count: u64, bytes: u64, has_secret: bool) -> Lane {
        Lane {
            first: self.log.next(&session),
            session,
            count: i64::try_from(count).unwrap_or(1),
            burst: 1 + i64::try_from(self.random.below(12)).unwrap_or(0),
            bytes: usize::try_from(bytes).unwrap_or(0),
            has_secret,
        }
    }

    fn fresh_session(&mut self) -> Result<SessionId, Error> {
        Ok(self.fresh.pop().ok_or("no session is left: too many children exited before they were killed")?)
    }

    /// Adds a violation for each inconsistency in the outbox that a child left behind.
    fn check_files(&mut self, folder: &Path) {
        let path = folder.join("outbox.sqlite");
        // The child was killed before it created the tables.
        let Ok(inspector) = Inspector::open(&path) else { return };
        match inspector.problems() {
            Ok(problems) => self.log.violations.extend(problems),
            Err(error) => self.log.violations.push(format!("{}: {error}", path.display())),
        }
    }

    /// Removes all faults and lets a last child for each folder send what is left.
    fn drain(&mut self, program: &Path) -> Result<(), Error> {
        server_faults::clear(&self.environment.server)?;
        for folder in self.folders.clone() {
            let mut job = self.empty_job(&folder, End::Drain);
            job.arriving.clone_from(&self.without_secret);
            let running = Running::start(program, &job)?;
            if !running.finish(&mut self.log)? {
                self.log.violations.push(format!("{}: the last child failed", folder.display()));
            }
            self.check_files(&folder);
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let killed: u64 = self.kills.values().sum();
        writeln!(
            f,
            "{killed} kills in {:.1} s ({} children exited before theirs)",
            self.took.as_secs_f64(),
            self.missed
        )?;
        for (point, count) in &self.kills {
            writeln!(f, "  {count:>6}  at {}", point.name())?;
        }
        writeln!(f, "{:>8}  messages acknowledged", self.acknowledged)?;
        writeln!(f, "{:>8}  messages on the server", self.delivered)?;
        writeln!(f, "{:>8}  messages upserted again", self.rewritten)?;
        writeln!(f, "{:>8}  token refreshes", self.refreshes)?;
        writeln!(f, "{:>8}  requests, {} of which met a fault", self.requests, self.faults)?;
        writeln!(f, "{:>8}  violations", self.violations.len())?;
        for violation in self.violations.iter().take(20) {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}
