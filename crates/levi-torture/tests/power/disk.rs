//! A simulated disk that loses what was not synced: folders in memory that record every operation.
//!
//! The model is POSIX with the guarantees that SQLite relies on and no others. A write that was not
//! synced may be lost, whole or sector by sector, in any order. Creating, naming and removing a
//! file change the folder, which is synced with the first sync of a new log or journal, as in
//! SQLite's own file layer for Unix.

use std::collections::{BTreeMap, BTreeSet};

use levi_testkit::fixtures::SeededRandom;

/// How many bytes a disk writes atomically.
const SECTOR: usize = 512;

/// Identifies a file's content independently of its name.
type Inode = usize;

#[derive(Clone, Debug)]
pub enum Operation {
    Create(String, Inode),
    Remove(String),
    Write(Inode, usize, Vec<u8>),
    Truncate(Inode, usize),
    Sync(Inode),
}

/// One folder as programs see it, and every operation on it.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    names: BTreeMap<String, Inode>,
    contents: BTreeMap<Inode, Vec<u8>>,
    pub log: Vec<Operation>,
}

impl Folder {
    pub fn find(&self, name: &str) -> Option<Inode> {
        self.names.get(name).copied()
    }

    pub fn create(&mut self, name: &str) -> Inode {
        let inode = self.contents.keys().last().map_or(1, |last| last + 1);
        self.perform(Operation::Create(name.to_owned(), inode));
        inode
    }

    pub fn content(&self, inode: Inode) -> &[u8] {
        self.contents.get(&inode).map_or(&[], Vec::as_slice)
    }

    pub fn perform(&mut self, operation: Operation) {
        match &operation {
            Operation::Create(name, inode) => {
                self.names.insert(name.clone(), *inode);
                self.contents.insert(*inode, Vec::new());
            }
            Operation::Remove(name) => {
                self.names.remove(name);
            }
            Operation::Sync(_) => {}
            change => apply(&mut self.contents, change),
        }
        self.log.push(operation);
    }
}

fn apply(contents: &mut BTreeMap<Inode, Vec<u8>>, change: &Operation) {
    match change {
        Operation::Write(inode, offset, data) => {
            let content = contents.entry(*inode).or_default();
            if content.len() < offset + data.len() {
                content.resize(offset + data.len(), 0);
            }
            content[*offset..offset + data.len()].copy_from_slice(data);
        }
        Operation::Truncate(inode, length) => contents.entry(*inode).or_default().resize(*length, 0),
        _ => {}
    }
}

/// What happens to operations that were not synced before the power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// All of them are lost.
    Lost,
    /// All of them are on the disk, as after a killed process.
    Kept,
    /// Some are on the disk, sector by sector, in an order that this seed determines.
    Torn(u64),
}

/// The content that is certainly on the disk, and the content that may be.
#[derive(Clone, Default)]
pub struct Kept {
    names: BTreeMap<String, Inode>,
    contents: BTreeMap<Inode, Vec<u8>>,
    /// Files created since the folder was last synced.
    nameless: BTreeSet<Inode>,
    folder_changes: Vec<Operation>,
    changes: Vec<Operation>,
}

impl Kept {
    /// Carries out one more operation.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(_, inode) => {
                self.nameless.insert(*inode);
                self.folder_changes.push(operation.clone());
            }
            Operation::Remove(_) => self.folder_changes.push(operation.clone()),
            Operation::Write(..) | Operation::Truncate(..) => self.changes.push(operation.clone()),
            Operation::Sync(synced) => {
                let (done, open) = std::mem::take(&mut self.changes)
                    .into_iter()
                    .partition::<Vec<_>, _>(|change| inode_of(change) == Some(*synced));
                self.changes = open;
                done.iter().for_each(|change| apply(&mut self.contents, change));
                if self.nameless.contains(synced) {
                    self.nameless.clear();
                    let folder_changes = std::mem::take(&mut self.folder_changes);
                    folder_changes.iter().for_each(|change| self.rename(change));
                }
            }
        }
    }

    fn rename(&mut self, change: &Operation) {
        match change {
            Operation::Create(name, inode) => {
                self.names.insert(name.clone(), *inode);
                self.contents.entry(*inode).or_default();
            }
            Operation::Remove(name) => {
                self.names.remove(name);
            }
            _ => {}
        }
    }

    /// The folder after a power loss.
    pub fn after_power_loss(mut self, unsynced: Unsynced) -> Folder {
        let folder_changes = std::mem::take(&mut self.folder_changes);
        let changes = std::mem::take(&mut self.changes);
        match unsynced {
            Unsynced::Lost => {}
            Unsynced::Kept => {
                folder_changes.iter().for_each(|change| self.rename(change));
                changes.iter().for_each(|change| apply(&mut self.contents, change));
            }
            Unsynced::Torn(seed) => self.tear(folder_changes, changes, &mut SeededRandom::new(seed)),
        }
        Folder { names: self.names, contents: self.contents, log: Vec::new() }
    }

    fn tear(&mut self, folder_changes: Vec<Operation>, changes: Vec<Operation>, random: &mut SeededRandom) {
        // A file system's journal keeps the order of folder changes.
        let happened = usize::try_from(random.below(folder_changes.len() as u64 + 1)).unwrap();
        folder_changes[..happened].iter().for_each(|change| self.rename(change));
        let mut pieces: Vec<Operation> = changes.into_iter().flat_map(sectors).collect();
        // From nearly nothing to nearly everything, in some order.
        let odds = random.below(5) + 1;
        pieces.retain(|_| random.below(6) < odds);
        if random.below(2) == 0 {
            for place in (1..pieces.len()).rev() {
                pieces.swap(place, usize::try_from(random.below(place as u64 + 1)).unwrap());
            }
        }
        pieces.iter().for_each(|piece| apply(&mut self.contents, piece));
    }
}

fn inode_of(change: &Operation) -> Option<Inode> {
    match change {
        Operation::Write(inode, ..) | Operation::Truncate(inode, _) => Some(*inode),
        _ => None,
    }
}

/// Splits a write into sectors, each of which is written whole or not at all.
fn sectors(change: Operation) -> Vec<Operation> {
    let Operation::Write(inode, offset, data) = change else { return vec![change] };
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let room = SECTOR - (offset + at) % SECTOR;
        let end = data.len().min(at + room);
        pieces.push(Operation::Write(inode, offset + at, data[at..end].to_vec()));
        at = end;
    }
    pieces
}
