//! The order in which messages became visible, and what it may be held against.

use std::collections::{BTreeMap, HashMap};

use super::database::MessageWrite;
use super::value::Uuid;

/// The order in which messages became visible.
#[derive(Default)]
pub(crate) struct Arrivals {
    commits: u64,
    sessions: HashMap<Uuid, Session>,
    late: Vec<(Uuid, i64, i64)>,
    rewritten: u64,
}

#[derive(Default)]
struct Session {
    highest: Option<i64>,
    /// The commit with which each message became visible.
    commits: HashMap<i64, u64>,
}

impl Arrivals {
    /// Rows of one commit become visible together, so they are compared with earlier commits only.
    pub(crate) fn committed(&mut self, writes: &[MessageWrite]) {
        self.commits += 1;
        for write in writes {
            let session = self.sessions.entry(write.session).or_default();
            if !write.inserted {
                self.rewritten += 1;
                continue;
            }
            session.commits.insert(write.sequence_number, self.commits);
            if let Some(highest) = session.highest.filter(|highest| write.sequence_number < *highest) {
                self.late.push((write.session, write.sequence_number, highest));
            }
        }
        for write in writes {
            let session = self.sessions.entry(write.session).or_default();
            session.highest = session.highest.max(Some(write.sequence_number));
        }
    }

    /// Forgets what was visible, because a deletion removed some of it.
    pub(crate) fn forget(&mut self) {
        self.sessions.clear();
    }

    /// The session, the late sequence number, and the highest one that was visible before.
    pub(crate) fn late(&self) -> Vec<(Uuid, i64, i64)> {
        self.late.clone()
    }

    pub(crate) const fn rewritten(&self) -> u64 {
        self.rewritten
    }

    /// The messages of a session that became visible after one that has a higher number and was
    /// enqueued later, each with that one.
    pub(crate) fn overtaken(&self, session: Uuid, enqueued: &[i64]) -> Vec<(i64, i64)> {
        let Some(session) = self.sessions.get(&session) else { return Vec::new() };
        // Of the messages that were enqueued later, those that no other beats: a higher number is
        // visible no earlier.
        let mut later: BTreeMap<i64, u64> = BTreeMap::new();
        let mut overtaken = Vec::new();
        for number in enqueued.iter().rev() {
            let Some(commit) = session.commits.get(number).copied() else { continue };
            if let Some((other, _)) = later.range(number + 1..).next().filter(|(_, at)| **at < commit) {
                overtaken.push((*number, *other));
            }
            if later.range(number..).next().is_none_or(|(_, at)| *at > commit) {
                let beaten: Vec<i64> = later
                    .range(..number)
                    .rev()
                    .take_while(|(_, at)| **at >= commit)
                    .map(|(n, _)| *n)
                    .collect();
                for number in beaten {
                    later.remove(&number);
                }
                later.insert(*number, commit);
            }
        }
        overtaken.reverse();
        overtaken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(commits: &[&[i64]]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for commit in commits {
            let write = |number: &i64| MessageWrite {
                session: Uuid([0; 16]),
                sequence_number: *number,
                inserted: true,
            };
            arrivals.committed(&commit.iter().map(write).collect::<Vec<_>>());
        }
        arrivals
    }

    /// By definition, pair by pair.
    fn plainly(arrivals: &Arrivals, enqueued: &[i64]) -> Vec<i64> {
        let commits = &arrivals.sessions[&Uuid([0; 16])].commits;
        let overtaken = |at: usize| {
            let number = enqueued[at];
            enqueued[at + 1..].iter().any(|other| *other > number && commits[other] < commits[&number])
        };
        (0..enqueued.len()).filter(|at| overtaken(*at)).map(|at| enqueued[at]).collect()
    }

    #[test]
    fn only_what_was_enqueued_before_can_be_overtaken() {
        let found =
            |commits: &[&[i64]], enqueued: &[i64]| arrivals(commits).overtaken(Uuid([0; 16]), enqueued);
        assert_eq!(found(&[&[5], &[3]], &[5, 3]), [], "3 was enqueued after 5 was on its way");
        assert_eq!(found(&[&[5], &[3]], &[3, 5]), [(3, 5)]);
        assert_eq!(found(&[&[5, 3]], &[3, 5]), [], "within one request order does not matter");
        assert_eq!(found(&[&[9], &[5], &[3]], &[9, 3, 5]), [(3, 5)]);
    }

    #[test]
    fn it_agrees_with_the_definition_for_every_small_case() {
        // Every way in which four messages can be enqueued, and become visible in up to four
        // commits.
        let mut orders = vec![vec![]];
        for number in 0..4_i64 {
            orders = orders
                .iter()
                .flat_map(|order: &Vec<i64>| {
                    (0..=order.len()).map(move |at| {
                        let mut order = order.clone();
                        order.insert(at, number);
                        order
                    })
                })
                .collect();
        }
        for code in 0..256_usize {
            let mut commits = vec![vec![]; 4];
            for number in 0..4_usize {
                commits[(code >> (2 * number)) & 3].push(i64::try_from(number).unwrap());
            }
            let commits: Vec<&[i64]> = commits.iter().map(Vec::as_slice).collect();
            let arrivals = arrivals(&commits);
            for enqueued in &orders {
                let found = arrivals.overtaken(Uuid([0; 16]), enqueued);
                let numbers: Vec<i64> = found.iter().map(|(number, _)| *number).collect();
                assert_eq!(numbers, plainly(&arrivals, enqueued), "{commits:?} {enqueued:?}");
            }
        }
    }
}
