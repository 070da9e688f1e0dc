//! Looks for plaintext in everything that arrives.
//!
//! Each text yields a few patterns: its start, middle and end, in every form that a client may
//! send. An Aho-Corasick automaton over the first [`WINDOW`] bytes of the patterns finds
//! candidates, and a comparison with the whole pattern confirms them. Automata double in size: a
//! new one takes in every smaller one before it, so texts that are added one by one cost a few
//! automata to search and a few rebuilds each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::lock;

/// Shorter texts are not looked for, because base64 of ciphertext holds them by chance.
const MIN_TEXT: usize = 16;
/// Bytes of each pattern that its automaton knows.
const WINDOW: usize = 16;
/// Bytes of a text that make one pattern, at most.
const STRETCH: usize = 48;

/// The texts of one [`scan_for`](super::FakeSupabase::scan_for), and which of them arrived since.
#[derive(Clone, Debug)]
pub struct PlaintextScanner {
    leaks: Leaks,
    samples: usize,
    too_short: usize,
}

type Leaks = Arc<Mutex<BTreeSet<Leak>>>;

/// A text that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// The index of the text among those passed to `scan_for`.
    pub text: usize,
    /// The form in which it arrived.
    pub form: Form,
}

/// How a text was encoded on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// Byte for byte.
    Plain,
    /// Escaped as in a JSON string.
    Json,
    /// In base64 (standard or URL-safe alphabet), at any alignment.
    Base64,
}

impl PlaintextScanner {
    /// The texts that arrived so far, each form of each once, in order.
    pub fn leaks(&self) -> Vec<Leak> {
        lock(&self.leaks).iter().copied().collect()
    }

    /// How many texts are looked for.
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// How many texts are not looked for because they have fewer than 16 bytes.
    pub const fn too_short(&self) -> usize {
        self.too_short
    }
}

/// The patterns of every scanner of one server.
#[derive(Default)]
pub(crate) struct Patterns(RwLock<Vec<Automaton>>);

/// An automaton over the windows of some patterns.
struct Automaton {
    /// `None` where the windows need more states than fit into 31 bits; then each pattern is
    /// compared at each position.
    windows: Option<AhoCorasick>,
    patterns: Vec<Pattern>,
}

struct Pattern {
    bytes: Vec<u8>,
    leak: Leak,
    /// Where the scanner that looks for it notes what arrived.
    leaks: Leaks,
}

impl Patterns {
    pub(crate) fn add<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> PlaintextScanner {
        let mut scanner = PlaintextScanner { leaks: Leaks::default(), samples: 0, too_short: 0 };
        let mut patterns = Vec::new();
        for (text, content) in texts.into_iter().enumerate() {
            let content = content.as_ref().as_bytes();
            if content.len() < MIN_TEXT {
                scanner.too_short += 1;
                continue;
            }
            scanner.samples += 1;
            for (form, bytes) in stretches(content).into_iter().flat_map(forms) {
                let leaks = Arc::clone(&scanner.leaks);
                patterns.push(Pattern { bytes, leak: Leak { text, form }, leaks });
            }
        }
        let mut automata = self.0.write().unwrap_or_else(PoisonError::into_inner);
        while let Some(smaller) = automata.pop_if(|last| last.patterns.len() <= patterns.len()) {
            patterns.extend(smaller.patterns);
        }
        automata.push(Automaton::new(patterns));
        scanner
    }

    pub(crate) fn scan(&self, parts: &[&[u8]]) {
        let automata = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for automaton in &*automata {
            parts.iter().for_each(|part| automaton.scan(part));
        }
    }
}

impl Automaton {
    fn new(patterns: Vec<Pattern>) -> Self {
        let windows = patterns.iter().map(|pattern| &pattern.bytes[..WINDOW]);
        // A DFA, the default for few patterns, takes longer to build than most requests to scan.
        let kind = Some(AhoCorasickKind::ContiguousNFA);
        let windows = AhoCorasick::builder().kind(kind).build(windows).ok();
        Self { windows, patterns }
    }

    fn scan(&self, bytes: &[u8]) {
        match &self.windows {
            Some(windows) => {
                for found in windows.find_overlapping_iter(bytes) {
                    self.patterns[found.pattern()].confirm(&bytes[found.start()..]);
                }
            }
            None => {
                for start in 0..bytes.len() {
                    self.patterns.iter().for_each(|pattern| pattern.confirm(&bytes[start..]));
                }
            }
        }
    }
}

impl Pattern {
    fn confirm(&self, bytes: &[u8]) {
        if bytes.starts_with(&self.bytes) {
            lock(&self.leaks).insert(self.leak);
        }
    }
}

/// Start, middle and end, so that a part of a text is found too. At least [`WINDOW`] bytes each.
fn stretches(text: &[u8]) -> Vec<&[u8]> {
    if text.len() <= STRETCH {
        return vec![text];
    }
    let middle = (text.len() - STRETCH) / 2;
    let last = text.len() - STRETCH;
    vec![&text[..STRETCH], &text[middle..middle + STRETCH], &text[last..]]
}

/// The patterns by which a stretch is found, at least [`WINDOW`] bytes each.
fn forms(stretch: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let mut forms = vec![(Form::Plain, stretch.to_vec())];
    let as_text = String::from_utf8_lossy(stretch);
    // A stretch may begin or end inside a character; the remains of that character are cut off.
    let escaped = serde_json::to_string(as_text.trim_matches('\u{FFFD}')).unwrap_or_default();
    let escaped = escaped.trim_matches('"').as_bytes();
    if escaped.len() >= WINDOW && escaped.contains(&b'\\') {
        forms.push((Form::Json, escaped.to_vec()));
    }
    for skipped in 0..3 {
        // Whole groups of three bytes at each of the three alignments look the same wherever they
        // occur.
        let aligned = &stretch[skipped..];
        let encoded = STANDARD_NO_PAD.encode(&aligned[..aligned.len() / 3 * 3]).into_bytes();
        if encoded.len() >= WINDOW {
            let url_safe: Vec<u8> = encoded
                .iter()
                .map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => *other,
                })
                .collect();
            if url_safe != encoded {
                forms.push((Form::Base64, url_safe));
            }
            forms.push((Form::Base64, encoded));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms_seen(text: &str, arrived: &[u8]) -> Vec<Form> {
        let patterns = Patterns::default();
        let scanner = patterns.add([text]);
        patterns.scan(&[arrived]);
        scanner.leaks().into_iter().map(|leak| leak.form).collect()
    }

    #[test]
    fn a_text_is_found_plain_escaped_and_in_base64_at_every_alignment() {
        let text = "fn main() {\n    println!(\"hello 🌍\");\n}\nand then some more of it, to be longer than a stretch";
        assert_eq!(forms_seen(text, text.as_bytes()), [Form::Plain]);
        let json = serde_json::json!({ "content": text }).to_string();
        assert!(forms_seen(text, json.as_bytes()).contains(&Form::Json));
        for before in ["", "x", "xy"] {
            let encoded = STANDARD_NO_PAD.encode(format!("{before}{text}yz"));
            assert_eq!(forms_seen(text, encoded.as_bytes()), [Form::Base64], "after {before:?}");
        }
        let rest_only = &text.as_bytes()[text.len() - STRETCH..];
        assert_eq!(forms_seen(text, rest_only), [Form::Plain], "the end of it alone");
    }

    #[test]
    fn what_did_not_arrive_is_not_found() {
        let text = "the quick brown fox jumps over the lazy dog";
        for other in ["", "short", "the quick brown fox jumps over the lazy cat and sleeps on"] {
            assert_eq!(forms_seen(text, other.as_bytes()), [], "{other}");
        }
    }

    #[test]
    fn short_texts_are_counted_and_not_looked_for() {
        let scanner = Patterns::default().add(["ok", "a text that is long enough"]);
        assert_eq!((scanner.samples(), scanner.too_short()), (1, 1));
    }

    #[test]
    fn texts_that_begin_alike_and_were_added_one_by_one_are_told_apart() {
        let patterns = Patterns::default();
        let text = |number: usize| format!("message number {number:03} of a session");
        let scanners: Vec<_> = (0..100).map(|number| patterns.add([text(number)])).collect();
        patterns.scan(&[text(7).as_bytes(), text(64).as_bytes()]);
        let leaked = |number: &usize| !scanners[*number].leaks().is_empty();
        assert_eq!((0..100).filter(leaked).collect::<Vec<_>>(), [7, 64]);
        assert!(patterns.0.read().unwrap().len() < 10, "automata merge");
    }
}
