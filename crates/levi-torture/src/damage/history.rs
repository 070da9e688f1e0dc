//! An outbox with a history: its file at several moments, and its rows at the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use levi_outbox::rusqlite::Connection;
use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox, Synchronous};
use levi_outbox::{Change, DueQuery, Encryption, LaneKey, NewRow, OutboxStore as _, Reason, RowId, RowKey};
use levi_testkit::fixtures::SeededRandom;
use levi_types::{UserId, Wall};

use crate::Error;

/// The size that SQLite gives to pages.
pub(super) const PAGE: usize = 4096;

/// How often the outbox is closed, which moves its log into the database.
const LIVES: i64 = 5;
const ROUNDS: i64 = 12;

/// The files of an outbox at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) database: Vec<u8>,
    pub(super) log: Vec<u8>,
}

impl Files {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let log = path.with_extension("sqlite-wal");
        Ok(Self { database: fs::read(path)?, log: if log.exists() { fs::read(log)? } else { Vec::new() } })
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        fs::write(path, &self.database)?;
        if !self.log.is_empty() {
            fs::write(path.with_extension("sqlite-wal"), &self.log)?;
        }
        Ok(())
    }

    pub(super) fn pages(&self) -> usize {
        self.database.len() / PAGE
    }

    pub(super) fn page(&self, page: usize) -> Option<&[u8]> {
        self.database.get(page * PAGE..(page + 1) * PAGE)
    }

    pub(super) fn page_mut(&mut self, page: usize) -> Option<&mut [u8]> {
        self.database.get_mut(page * PAGE..(page + 1) * PAGE)
    }
}

pub(super) struct History {
    /// The files after each time that the outbox was closed, and at last.
    pub(super) closed: Vec<Files>,
    /// The files as a kill leaves them at the end, with a log.
    pub(super) killed: Files,
    /// A log of the life before.
    pub(super) older_log: Vec<u8>,
    /// The payloads of the rows that are there at the end: those that must not be lost.
    pub(super) live: HashSet<Vec<u8>>,
    /// The payloads that ever were.
    pub(super) ever: HashSet<Vec<u8>>,
    /// The user for whom the rows wait; `None`: nobody signed in.
    pub(super) user: Option<UserId>,
    /// The first page (from 0) of each table and index at the end.
    pub(super) roots: BTreeMap<String, usize>,
}

impl History {
    pub(super) fn make(seed: u64) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("outbox.sqlite");
        let mut life = Life {
            random: SeededRandom::new(seed),
            ever: HashSet::new(),
            next: 0,
            numbers: HashMap::new(),
            user: None,
        };
        let (mut closed, mut older_log) = (Vec::new(), Vec::new());
        let user = seed.is_multiple_of(2).then(|| UserId::from("ada"));
        if let Some(user) = user.clone() {
            open(&path)?.commit(&[Change::SignedIn { user }], &[])?;
        }
        life.user.clone_from(&user);
        for number in 0..LIVES {
            let mut outbox = open(&path)?;
            for round in 0..ROUNDS {
                life.round(&mut outbox, number * ROUNDS + round)?;
            }
            if number == LIVES - 2 {
                older_log = Files::read(&path)?.log;
            }
            drop(outbox);
            closed.push(Files::read(&path)?);
        }
        let mut outbox = open(&path)?;
        for round in 0..ROUNDS {
            life.round(&mut outbox, LIVES * ROUNDS + round)?;
        }
        let killed = Files::read(&path)?;
        let live = payloads(&outbox)?;
        drop(outbox);
        closed.push(Files::read(&path)?);
        Ok(Self { closed, killed, older_log, live, ever: life.ever, user, roots: roots(&path)? })
    }

    /// The files after the outbox was closed in order.
    pub(super) fn last(&self) -> Files {
        self.closed.last().cloned().unwrap_or_default()
    }
}

pub(super) fn open(path: &Path) -> Result<SqliteOutbox, Error> {
    let options = SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() };
    Ok(SqliteOutbox::open(path, options)?)
}

fn roots(path: &Path) -> Result<BTreeMap<String, usize>, Error> {
    let conn = Connection::open(path)?;
    let mut roots = conn.prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0")?;
    let root = |row: &levi_outbox::rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?));
    let roots = roots.query_map([], root)?.collect::<Result<Vec<(String, i64)>, _>>()?;
    roots.into_iter().map(|(name, page)| Ok((name, usize::try_from(page - 1)?))).collect()
}

/// The payload of every row.
pub(super) fn payloads(outbox: &SqliteOutbox) -> Result<HashSet<Vec<u8>>, Error> {
    let (mut after, mut payloads) = (None::<RowId>, HashSet::new());
    loop {
        let rows = outbox.list(after, 500)?;
        let Some(last) = rows.last() else { return Ok(payloads) };
        after = Some(last.id);
        let keys: Vec<RowKey> = rows.iter().map(|row| RowKey { id: row.id, version: row.version }).collect();
        outbox.payloads(&keys, &mut |_, _, payload| payloads.extend([payload.to_vec()]))?;
    }
}

/// What happens to an outbox.
struct Life {
    random: SeededRandom,
    ever: HashSet<Vec<u8>>,
    next: u64,
    /// The next sequence number of each session.
    numbers: HashMap<u64, i64>,
    user: Option<UserId>,
}

impl Life {
    fn round(&mut self, outbox: &mut SqliteOutbox, round: i64) -> Result<(), Error> {
        let now = Wall::from_millis(1_000_000 + round * 1_000);
        let changes = self.changes(outbox, now)?;
        let mut rows: Vec<NewRow> = (0..self.random.below(18)).map(|_| self.message(now)).collect();
        if self.random.below(3) == 0 {
            rows.extend(self.control_rows(now));
        }
        if !changes.is_empty() || !rows.is_empty() {
            outbox.commit(&changes, &rows)?;
        }
        Ok(())
    }

    fn changes(&mut self, outbox: &SqliteOutbox, now: Wall) -> Result<Vec<Change>, Error> {
        let horizon = Wall::from_millis(i64::MAX);
        let user = self.user.clone();
        let query = DueQuery {
            user: user.as_ref(),
            now,
            horizon,
            except: &[],
            max_lanes: 6,
            heads_per_lane: 5,
            max_heads: 30,
        };
        let reason = Reason { code: "503".into(), detail: "the server is busy".into() };
        let mut changes = Vec::new();
        for lane in outbox.due(query)?.lanes {
            let rows: Vec<RowKey> = lane.heads.iter().map(|head| head.key).collect();
            let (lane, at, reason) = (lane.lane, now, reason.clone());
            match (self.random.below(8), rows.first()) {
                (0..=3, Some(_)) => changes.push(Change::Acknowledge { lane, rows, at }),
                (4, Some(_)) => {
                    let due_at = Wall::from_millis(now.as_millis() + 3_000);
                    changes.push(Change::Defer { lane, due_at, attempts: 2, reason });
                }
                (5, Some(row)) => changes.push(Change::Park { lane, row: *row, reason, at }),
                _ => {}
            }
        }
        Ok(changes)
    }

    fn message(&mut self, now: Wall) -> NewRow {
        let session = self.random.below(12);
        let number = self.numbers.entry(session).or_insert(0);
        // Now and then a message is written again.
        let again = *number > 0 && self.random.below(10) == 0;
        let number = if again { *number - 1 } else { *number };
        self.numbers.insert(session, number + 1);
        // Some payloads are longer than a page.
        let length = if self.random.below(12) == 0 { 6_000 } else { 40 + self.random.below(500) };
        let payload = self.payload(length);
        let session = format!("5e55104d-0000-4000-8000-{session:012}");
        let id = format!("message-{number}");
        NewRow::message(session.into(), number, id.as_str().into(), payload, Encryption::SessionKey, now)
    }

    fn control_rows(&mut self, now: Wall) -> Vec<NewRow> {
        let number = self.random.below(12);
        let repository = LaneKey::Repository(format!("4e705170-0000-4000-8000-{number:012}").into());
        let session = LaneKey::Session(format!("5e55104d-0000-4000-8000-{number:012}").into());
        vec![
            NewRow::control(repository.clone(), None, self.payload(60), now),
            NewRow::control(session, Some(repository), self.payload(60), now),
        ]
    }

    /// Bytes that no other row has.
    fn payload(&mut self, length: u64) -> Vec<u8> {
        let mut payload = vec![0; usize::try_from(length).unwrap_or(64)];
        self.random.fill(&mut payload);
        self.next += 1;
        payload[..8].copy_from_slice(&self.next.to_be_bytes());
        self.ever.insert(payload.clone());
        payload
    }
}
