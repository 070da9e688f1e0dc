//! Killed for real: children over the same files, one after another, each ended by SIGKILL.

mod aim;
mod chaos;
mod ledger;
mod process;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use levi::{Inspector, SessionId};
use levi_testkit::fixtures::SeededRandom;

pub use self::aim::Aim;
use self::ledger::Ledger;
use self::process::Running;
use crate::Trouble;
use crate::child::{End, Job, Lane};
use crate::scene::{Scene, session_id};

/// Sessions that every child writes to.
const STEADY: usize = 6;

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often to kill.
    pub kills: usize,
    /// What aims, faults and sizes follow from. The instants themselves do not: they are the machine's.
    pub seed: u64,
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Figures {
    /// Kills, by what they were aimed at.
    pub kills: BTreeMap<Aim, u64>,
    /// Children that had ended by themselves before the kill came.
    pub missed: u64,
    /// Messages whose `enqueue_durable` returned.
    pub acknowledged: u64,
    /// Messages on the server.
    pub delivered: u64,
    /// Messages that were written to the server again, after an answer that nobody heard.
    pub rewritten: u64,
    /// Refreshes of the token.
    pub refreshes: u64,
    /// Requests that the server read whole.
    pub requests: u64,
    /// Requests that met a fault.
    pub faults: u64,
    /// How long it took.
    pub took: Duration,
    /// Broken promises. None, if Levi is right.
    pub violations: Vec<String>,
}

/// Kills `options.kills` children of `program` and says what was left on the server.
///
/// # Errors
/// When the run itself could not be carried out.
pub async fn run(program: &Path, options: Options) -> Result<Figures, Trouble> {
    let started = Instant::now();
    let mut range = Range::new(options).await?;
    let mut figures = Figures::default();
    let mut kills = 0;
    while kills < options.kills {
        let aim = Aim::choose(&mut range.random);
        if range.kill(program, aim)? {
            kills += 1;
            *figures.kills.entry(aim).or_default() += 1;
        } else {
            figures.missed += 1;
        }
    }
    range.drain(program)?;
    figures.delivered = range.ledger.settle(&range.scene)?;
    figures.acknowledged = range.ledger.acknowledged;
    figures.rewritten = range.scene.server.messages_rewritten();
    let stats = range.scene.server.stats();
    (figures.refreshes, figures.requests) = (stats.refreshes, stats.requests);
    figures.faults = range.scene.server.faults().fired();
    figures.violations = range.ledger.violations;
    figures.took = started.elapsed();
    Ok(figures)
}

/// The place where it happens.
struct Range {
    scene: Scene,
    ledger: Ledger,
    random: SeededRandom,
    steady: Vec<SessionId>,
    /// Sessions for one child each, not used yet.
    fresh: Vec<SessionId>,
    /// Sessions whose secret has not arrived.
    waiting: Vec<SessionId>,
    /// Every folder with an outbox.
    folders: Vec<PathBuf>,
}

impl Range {
    async fn new(options: Options) -> Result<Self, Trouble> {
        let steady: Vec<SessionId> = (0..STEADY).map(|n| session_id(&format!("steady {n}"))).collect();
        // Some kills miss, and what they used up is used up.
        let fresh: Vec<SessionId> =
            (0..options.kills * 2 + 20).map(|n| session_id(&format!("fresh {n}"))).collect();
        let sessions: Vec<SessionId> = steady.iter().chain(&fresh).cloned().collect();
        let scene = Scene::new(&sessions).await?;
        let main = scene.home().join("main");
        std::fs::create_dir(&main)?;
        Ok(Self {
            scene,
            ledger: Ledger::default(),
            random: SeededRandom::new(options.seed),
            steady,
            fresh,
            waiting: Vec::new(),
            folders: vec![main],
        })
    }

    /// One child, killed. `false` if it ended before.
    fn kill(&mut self, program: &Path, aim: Aim) -> Result<bool, Trouble> {
        chaos::misbehave(&self.scene.server, &mut self.random)?;
        let job = self.job(aim)?;
        let running = Running::start(program, &job)?;
        aim.take(&running, (&job, &self.scene), &mut self.ledger, &mut self.random);
        let killed = running.kill(&mut self.ledger)?;
        self.waiting.retain(|session| !self.ledger.arrived.contains(session));
        self.look_at(&job.folder);
        Ok(killed)
    }

    fn job(&mut self, aim: Aim) -> Result<Job, Trouble> {
        let mut job = self.empty_job(&self.folders[0].clone(), End::Linger);
        match aim {
            Aim::Migration => {
                job.folder = self.scene.home().join(format!("new-{}", self.folders.len()));
                std::fs::create_dir(&job.folder)?;
                self.folders.push(job.folder.clone());
                let session = self.fresh_session()?;
                job.lanes = vec![self.lane(session, 20, 200, true)];
                return Ok(job);
            }
            Aim::SecretArrival => {
                let session = self.fresh_session()?;
                self.waiting.push(session.clone());
                job.lanes.push(self.lane(session, 300, 400, false));
                job.arriving.clone_from(&self.waiting);
            }
            Aim::Shutdown => job.end = End::ShutDown,
            Aim::AnyInstant | Aim::Checkpoint | Aim::Refresh => {}
        }
        let (count, bytes) = if aim == Aim::Checkpoint { (120, 24_000) } else { (30, 1_500) };
        for session in self.steady.clone() {
            let (count, bytes) = (1 + self.random.below(count), self.random.below(bytes));
            job.lanes.push(self.lane(session, count, bytes, true));
        }
        Ok(job)
    }

    fn empty_job(&self, folder: &Path, end: End) -> Job {
        Job {
            url: self.scene.server.url(),
            key: self.scene.server.publishable_key().to_owned(),
            home: self.scene.home().to_owned(),
            folder: folder.to_owned(),
            lanes: Vec::new(),
            arriving: Vec::new(),
            end,
        }
    }

    fn lane(&mut self, session: SessionId, count: u64, bytes: u64, has_secret: bool) -> Lane {
        Lane {
            first: self.ledger.next(&session),
            session,
            count: i64::try_from(count).unwrap_or(1),
            burst: 1 + i64::try_from(self.random.below(12)).unwrap_or(0),
            bytes: usize::try_from(bytes).unwrap_or(0),
            has_secret,
        }
    }

    fn fresh_session(&mut self) -> Result<SessionId, Trouble> {
        Ok(self.fresh.pop().ok_or("more children than sessions were made for: most kills missed")?)
    }

    /// What a kill left behind must add up.
    fn look_at(&mut self, folder: &Path) {
        let path = folder.join("outbox.sqlite");
        // Killed before the tables were there.
        let Ok(inspector) = Inspector::open(&path) else { return };
        match inspector.problems() {
            Ok(problems) => self.ledger.violations.extend(problems),
            Err(error) => self.ledger.violations.push(format!("{}: {error}", path.display())),
        }
    }

    /// The server is well again; a last child for each folder sends what is left.
    fn drain(&mut self, program: &Path) -> Result<(), Trouble> {
        chaos::behave(&self.scene.server)?;
        for folder in self.folders.clone() {
            let mut job = self.empty_job(&folder, End::Drain);
            job.arriving.clone_from(&self.waiting);
            let running = Running::start(program, &job)?;
            if !running.finish(&mut self.ledger)? {
                self.ledger.violations.push(format!("{}: the last child did not end well", folder.display()));
            }
            self.look_at(&folder);
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let killed: u64 = self.kills.values().sum();
        writeln!(
            f,
            "{killed} kills in {:.1} s ({} more had ended before)",
            self.took.as_secs_f64(),
            self.missed
        )?;
        for (aim, count) in &self.kills {
            writeln!(f, "  {count:>6}  aimed at {}", aim.name())?;
        }
        writeln!(f, "{:>8}  messages acknowledged", self.acknowledged)?;
        writeln!(f, "{:>8}  messages on the server, each once, in order", self.delivered)?;
        writeln!(f, "{:>8}  writes of messages that were there already", self.rewritten)?;
        writeln!(f, "{:>8}  token refreshes", self.refreshes)?;
        writeln!(f, "{:>8}  requests, {} of which met a fault", self.requests, self.faults)?;
        writeln!(f, "{:>8}  violations", self.violations.len())?;
        for violation in self.violations.iter().take(20) {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}
