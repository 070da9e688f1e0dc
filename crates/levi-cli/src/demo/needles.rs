//! Which texts the server is watched for. All of a small input; of a large one a sample that grows with its logarithm,
//! for each text costs memory.

use std::sync::Arc;

use levi_testkit::fixtures::SeededRandom;
use levi_testkit::supabase::{FakeSupabase, PlaintextScanner};

/// Contents that are all watched for.
const ALL_OF_THE_FIRST: u64 = 1000;
/// Shorter ones could turn up in ciphertext or in a header by chance.
const SHORTEST: usize = 32;
const LEAST_DISTINCT_BYTES: usize = 10;

/// What is looked for in every byte that reaches the fake Supabase. Another server does not tell what it saw.
pub(crate) struct Needles {
    server: Option<Arc<FakeSupabase>>,
    random: SeededRandom,
    seen: u64,
    watches: Vec<PlaintextScanner>,
}

impl Needles {
    pub(crate) fn new(server: Option<Arc<FakeSupabase>>, seed: u64) -> Self {
        Self { server, random: SeededRandom::new(seed), seen: 0, watches: Vec::new() }
    }

    /// Watches for a content before it is handed over, if it is chosen.
    pub(crate) fn consider(&mut self, content: &str) {
        let Some(server) = self.server.as_ref().filter(|_| is_telling(content)) else { return };
        self.seen += 1;
        // Each of the first thousand; after that with a chance that falls as fast as the count grows.
        if self.seen <= ALL_OF_THE_FIRST || self.random.below(self.seen) < ALL_OF_THE_FIRST {
            self.watches.push(server.scan_for([content]));
        }
    }

    /// Watches for a key.
    pub(crate) fn add(&mut self, secret: &str) {
        self.watches.extend(self.server.as_ref().map(|server| server.scan_for([secret])));
    }

    /// How many texts are watched for.
    pub(crate) fn watched(&self) -> u64 {
        self.watches.iter().map(|watch| watch.samples() as u64).sum()
    }

    /// How many of them the server saw.
    pub(crate) fn seen_by_server(&self) -> u64 {
        self.watches.iter().filter(|watch| !watch.leaks().is_empty()).count() as u64
    }
}

/// Whether the server cannot have this text but from the message: long, varied, and no piece of Levi's own requests.
pub(super) fn is_telling(content: &str) -> bool {
    let mut distinct = [false; 256];
    for byte in content.bytes() {
        distinct[usize::from(byte)] = true;
    }
    let varied = distinct.iter().filter(|byte| **byte).count() >= LEAST_DISTINCT_BYTES;
    let ours =
        ["/rest/v1/", "on_conflict=", "agent_coding_session"].iter().any(|piece| content.contains(piece));
    content.len() >= SHORTEST && varied && !ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_cannot_be_there_by_chance_are_looked_for() {
        assert!(is_telling("Why does the retry in src/net/retry.rs give up after the first 503?"));
        for vague in [
            "ok",
            "",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "a short sentence of 31 letters",
        ] {
            assert!(!is_telling(vague), "{vague}");
        }
        assert!(!is_telling("POST /rest/v1/agent_coding_session_messages?on_conflict=session_id"));
    }

    #[test]
    fn a_large_input_is_sampled() {
        let mut needles = Needles::new(Some(Arc::new(FakeSupabase::start().unwrap())), 7);
        for number in 0..20_000 {
            needles.consider(&format!("message number {number} of a rather long file"));
        }
        assert!((1000..6000).contains(&needles.watched()), "{}", needles.watched());
        assert_eq!(needles.seen_by_server(), 0);
    }
}
