//! Looking for texts in everything that arrives.
//!
//! Rabin-Karp: each text gives a few patterns, a rolling hash over the first [`WINDOW`] bytes of a pattern finds
//! candidates, a hash over the whole pattern confirms them. The cost for a byte that arrives does not depend on how many
//! texts are looked for, so a hundred thousand messages can be watched for while they are synced.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::lock;

/// Texts shorter than this are passed over: ciphertext in base64 holds short ones by chance.
const MIN_TEXT: usize = 16;
/// Bytes under the rolling hash.
const WINDOW: usize = 16;
/// Longest stretch of a text that makes one pattern.
const STRETCH: usize = 48;
const BASE: u64 = 0x9E37_79B9_7F4A_7C15 | 1;
const MIN_FILTER_BITS: usize = 1 << 16;
const MAX_FILTER_BITS: usize = 1 << 26;

/// Texts that somebody watches for. What it finds, it finds from now on.
#[derive(Clone, Debug)]
pub struct Watch {
    sightings: Arc<Mutex<Vec<Sighting>>>,
    watched: usize,
    too_short: usize,
}

/// A text that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Which of the texts, counted from zero in the order in which they were handed in.
    pub text: usize,
    /// In which form it was found.
    pub form: Form,
}

/// How a text looked on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// Byte for byte.
    Plain,
    /// As it is written inside a JSON string.
    Json,
    /// In base64, at any alignment.
    Base64,
}

impl Watch {
    /// The texts that arrived so far, each form of each once.
    pub fn sightings(&self) -> Vec<Sighting> {
        let mut found = lock(&self.sightings).clone();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many texts are looked for.
    pub const fn watched(&self) -> usize {
        self.watched
    }

    /// How many texts were passed over because they are under 16 bytes: those occur in ciphertext by chance.
    pub const fn too_short(&self) -> usize {
        self.too_short
    }
}

#[derive(Default)]
pub(crate) struct Needles {
    index: RwLock<Index>,
    /// Lets a scan skip the lock where nobody watches.
    patterns: AtomicUsize,
}

/// Two steps, so that a hundred thousand texts that begin alike cost no more than one: from the window to the lengths
/// that patterns with it have, and from the hash of that much to whoever looks for it.
struct Index {
    filter: Vec<u64>,
    lengths: HashMap<u64, Vec<u32>, HashedAlready>,
    wanted: HashMap<u64, Vec<Wanted>, HashedAlready>,
}

type HashedAlready = BuildHasherDefault<Identity>;

impl Default for Index {
    fn default() -> Self {
        Self {
            filter: vec![0; MIN_FILTER_BITS / 64],
            lengths: HashMap::default(),
            wanted: HashMap::default(),
        }
    }
}

/// The keys are hashes.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Wanted {
    sighting: Sighting,
    sightings: Arc<Mutex<Vec<Sighting>>>,
}

impl Needles {
    pub(crate) fn watch_for<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> Watch {
        let mut watch = Watch { sightings: Arc::default(), watched: 0, too_short: 0 };
        let mut index = self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (text, content) in texts.into_iter().enumerate() {
            let content = content.as_ref().as_bytes();
            if content.len() < MIN_TEXT {
                watch.too_short += 1;
                continue;
            }
            watch.watched += 1;
            for stretch in stretches(content) {
                for (form, pattern) in forms(stretch) {
                    index.add(&pattern, Sighting { text, form }, &watch.sightings);
                }
            }
        }
        index.grow_filter();
        self.patterns.store(index.wanted.len(), Ordering::SeqCst);
        watch
    }

    pub(crate) fn scan(&self, parts: &[&[u8]]) {
        if self.patterns.load(Ordering::SeqCst) == 0 {
            return;
        }
        let index = self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        for part in parts {
            index.scan(part);
        }
    }
}

impl Index {
    fn add(&mut self, pattern: &[u8], sighting: Sighting, sightings: &Arc<Mutex<Vec<Sighting>>>) {
        let Some(window) = pattern.get(..WINDOW) else { return };
        let lengths = self.lengths.entry(hash(window)).or_default();
        let length = u32::try_from(pattern.len()).unwrap_or(u32::MAX);
        if !lengths.contains(&length) {
            lengths.push(length);
        }
        let wanted = self.wanted.entry(fingerprint(pattern)).or_default();
        // The same text handed in many times is one pattern: its first place stands for all.
        if !wanted.iter().any(|known| Arc::ptr_eq(&known.sightings, sightings)) {
            wanted.push(Wanted { sighting, sightings: Arc::clone(sightings) });
        }
    }

    /// Sixteen bits for each window keep all but one byte in sixteen away from the maps.
    fn grow_filter(&mut self) {
        let bits = (self.lengths.len() * 16).next_power_of_two().clamp(MIN_FILTER_BITS, MAX_FILTER_BITS);
        self.filter = vec![0; bits / 64];
        for window in self.lengths.keys() {
            let (word, bit) = filter_place(*window, self.filter.len());
            self.filter[word] |= bit;
        }
    }

    fn scan(&self, bytes: &[u8]) {
        let Some(first) = bytes.get(..WINDOW) else { return };
        let leaving = (0..WINDOW - 1).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        let mut rolling = hash(first);
        self.look(bytes, 0, rolling);
        for (start, (out, into)) in bytes.iter().zip(&bytes[WINDOW..]).enumerate() {
            rolling = rolling
                .wrapping_sub(term(*out).wrapping_mul(leaving))
                .wrapping_mul(BASE)
                .wrapping_add(term(*into));
            self.look(bytes, start + 1, rolling);
        }
    }

    fn look(&self, bytes: &[u8], start: usize, rolling: u64) {
        let (word, bit) = filter_place(rolling, self.filter.len());
        if self.filter[word] & bit == 0 {
            return;
        }
        let Some(lengths) = self.lengths.get(&rolling) else { return };
        for length in lengths {
            let found = bytes.get(start..start + *length as usize).map(fingerprint);
            let Some(wanted) = found.and_then(|found| self.wanted.get(&found)) else { continue };
            for Wanted { sighting, sightings } in wanted {
                let mut sightings = lock(sightings);
                // One leak seen a million times should not fill the memory.
                if !sightings.contains(sighting) {
                    sightings.push(*sighting);
                }
            }
        }
    }
}

/// Start, middle and end, so that a part of a text is found too.
fn stretches(text: &[u8]) -> Vec<&[u8]> {
    if text.len() <= STRETCH {
        return vec![text];
    }
    let middle = (text.len() - STRETCH) / 2;
    let last = text.len() - STRETCH;
    vec![&text[..STRETCH], &text[middle..middle + STRETCH], &text[last..]]
}

fn forms(stretch: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let mut forms = vec![(Form::Plain, stretch.to_vec())];
    let as_text = String::from_utf8_lossy(stretch);
    // A stretch may begin or end inside a character; what is left of those is cut off.
    let escaped = serde_json::to_string(as_text.trim_matches('\u{FFFD}')).unwrap_or_default();
    let escaped = escaped.trim_matches('"').as_bytes();
    if escaped.len() >= WINDOW && escaped.contains(&b'\\') {
        forms.push((Form::Json, escaped.to_vec()));
    }
    for skipped in 0..3 {
        // Whole groups of three bytes at each of the three alignments look the same wherever they occur.
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

fn hash(window: &[u8]) -> u64 {
    window.iter().fold(0_u64, |hash, byte| hash.wrapping_mul(BASE).wrapping_add(term(*byte)))
}

const fn term(byte: u8) -> u64 {
    // Not `byte` alone: a run of zero bytes would hash to zero whatever its length.
    (byte as u64).wrapping_add(0x1_0001)
}

/// By the high bits, which every byte of the window reaches. `words` is a power of two.
const fn filter_place(hash: u64, words: usize) -> (usize, u64) {
    let place = (hash >> 36) as usize;
    ((place / 64) & (words - 1), 1 << (place % 64))
}

fn fingerprint(pattern: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    pattern.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms_seen(text: &str, arrived: &[u8]) -> Vec<Form> {
        let needles = Needles::default();
        let watch = needles.watch_for([text]);
        needles.scan(&[arrived]);
        watch.sightings().into_iter().map(|s| s.form).collect()
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
    fn short_texts_are_counted_as_passed_over() {
        let watch = Needles::default().watch_for(["ok", "a text that is long enough"]);
        assert_eq!((watch.watched(), watch.too_short()), (1, 1));
    }
}
