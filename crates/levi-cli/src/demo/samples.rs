//! The plaintexts that the fake server scans its traffic for: all of a small input, and of a large
//! one a sample that grows with the logarithm of its size, because each text costs memory.

use std::sync::Arc;

use levi_testkit::fixtures::SeededRandom;
use levi_testkit::supabase::{FakeSupabase, PlaintextScanner};

/// So many contents are all samples; later ones are drawn at random.
const FULL_COVERAGE: u64 = 1000;
/// A shorter text could appear in ciphertext or in a header by chance.
const MIN_BYTES: usize = 32;
const MIN_DISTINCT_BYTES: usize = 10;

/// Texts and keys that must not reach the server. Does nothing unless the server is the fake one,
/// because others do not let the demo scan what they receive.
pub(crate) struct PlaintextSamples {
    server: Option<Arc<FakeSupabase>>,
    random: SeededRandom,
    /// Contents that were long and varied enough.
    candidates: u64,
    scanners: Vec<PlaintextScanner>,
}

impl PlaintextSamples {
    pub(crate) fn new(server: Option<Arc<FakeSupabase>>, seed: u64) -> Self {
        Self { server, random: SeededRandom::new(seed), candidates: 0, scanners: Vec::new() }
    }

    /// Adds a content if it is chosen. The caller does this before it enqueues the message.
    pub(crate) fn consider(&mut self, content: &str) {
        let Some(server) = self.server.as_ref().filter(|_| is_unmistakable(content)) else { return };
        self.candidates += 1;
        // The first thousand, then each with probability 1000 / candidates.
        if self.candidates <= FULL_COVERAGE || self.random.below(self.candidates) < FULL_COVERAGE {
            self.scanners.push(server.scan_for([content]));
        }
    }

    /// Adds a session secret.
    pub(crate) fn add_secret(&mut self, secret: &str) {
        self.scanners.extend(self.server.as_ref().map(|server| server.scan_for([secret])));
    }

    /// How many texts are scanned for.
    pub(crate) fn count(&self) -> u64 {
        self.scanners.iter().map(|scanner| scanner.samples() as u64).sum()
    }

    /// How many of them reached the server.
    pub(crate) fn leaked(&self) -> u64 {
        self.scanners.iter().filter(|scanner| !scanner.leaks().is_empty()).count() as u64
    }
}

/// Whether finding this text on the server proves a leak: it is long and varied, and not part of
/// Levi's own requests.
pub(super) fn is_unmistakable(content: &str) -> bool {
    let mut distinct = [false; 256];
    for byte in content.bytes() {
        distinct[usize::from(byte)] = true;
    }
    let varied = distinct.iter().filter(|byte| **byte).count() >= MIN_DISTINCT_BYTES;
    let in_requests = ["/rest/v1/", "on_conflict=", "agent_coding_session"];
    content.len() >= MIN_BYTES && varied && !in_requests.iter().any(|part| content.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_cannot_be_there_by_chance_are_samples() {
        assert!(is_unmistakable("Why does the retry in src/net/retry.rs give up after the first 503?"));
        for vague in [
            "ok",
            "",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "a short sentence of 31 letters",
        ] {
            assert!(!is_unmistakable(vague), "{vague}");
        }
        assert!(!is_unmistakable("POST /rest/v1/agent_coding_session_messages?on_conflict=session_id"));
    }

    #[test]
    fn a_large_input_is_sampled() {
        let mut samples = PlaintextSamples::new(Some(Arc::new(FakeSupabase::start().unwrap())), 7);
        for number in 0..20_000 {
            samples.consider(&format!("message number {number} of a rather long file"));
        }
        assert!((1000..6000).contains(&samples.count()), "{}", samples.count());
        assert_eq!(samples.leaked(), 0);
    }
}
