//! Long secrets in a keychain whose entries are short.
//!
//! Windows takes 2,560 bytes of UTF-16 in one entry, and a sign-in can be longer: its access token has whatever claims
//! the project puts there. A long secret is stored in numbered parts beside the entry, and the entry says where:
//!
//! ```text
//! levi-parts/1 SET COUNT GENERATION      the entry: the parts are in NAME.SET.0 to NAME.SET.COUNT-1; SET is a to h
//! GENERATION TEXT                        a part
//! ```
//!
//! A new secret goes into a set that is not in use, and the entry is written last, so that a crash leaves the old
//! secret or the new one. The generation is drawn for each secret that is stored: parts of another one do not belong to
//! it, so that two processes that store at once never make one secret of two.

use zeroize::Zeroizing;

/// The most UTF-16 units of a part's text. With the generation there is some room below Windows' 1,280.
const MOST_UNITS: usize = 1_200;

/// The most parts, so that a damaged entry costs no more reads.
pub(super) const MOST_PARTS: usize = 1_000;

const PREFIX: &str = "levi-parts/1 ";

/// One of eight sets of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set(u8);

/// Which storing a part belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// What an entry says about parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) set: Set,
    pub(super) count: usize,
    pub(super) generation: Generation,
}

impl Set {
    const COUNT: u8 = 8;

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// A set other than `taken`. Random, so that two processes seldom choose the same.
    pub(super) fn draw(random: u32, taken: Option<Self>) -> Self {
        let others: Vec<Self> = Self::all().filter(|set| Some(*set) != taken).collect();
        others[random as usize % others.len()]
    }

    const fn letter(self) -> char {
        (b'a' + self.0) as char
    }

    fn of(letter: &str) -> Option<Self> {
        Self::all().find(|set| letter.chars().eq([set.letter()]))
    }
}

impl Generation {
    pub(super) const fn new(random: u64) -> Self {
        Self(random)
    }

    fn to_text(self) -> String {
        format!("{:016x}", self.0)
    }

    fn of(text: &str) -> Option<Self> {
        let generation = Self(u64::from_str_radix(text, 16).ok()?);
        (generation.to_text() == text).then_some(generation)
    }

    /// A part as it is stored.
    pub(super) fn part(self, text: &str) -> Zeroizing<String> {
        let mut part = Zeroizing::new(String::with_capacity(text.len() + 17));
        part.push_str(&self.to_text());
        part.push(' ');
        part.push_str(text);
        part
    }

    /// The text of a stored part, if it is of this generation.
    pub(super) fn text_of(self, part: &str) -> Option<&str> {
        let (generation, text) = part.split_once(' ')?;
        (Self::of(generation) == Some(self)).then_some(text)
    }
}

impl Parts {
    /// The names of the parts of `name`.
    pub(super) fn names(self, name: &str) -> impl Iterator<Item = String> {
        (0..self.count).map(move |number| part_name(name, self.set, number))
    }

    /// The entry's text.
    pub(super) fn entry(self) -> String {
        format!("{PREFIX}{} {} {}", self.set.letter(), self.count, self.generation.to_text())
    }

    /// Reads an entry's text. `None`: the text is the secret itself.
    pub(super) fn of(entry: &str) -> Option<Self> {
        let mut words = entry.strip_prefix(PREFIX)?.split(' ');
        let (set, count, generation) = (words.next()?, words.next()?, words.next()?);
        let count = count.parse().ok().filter(|count| (1..=MOST_PARTS).contains(count))?;
        let parts = Self { set: Set::of(set)?, count, generation: Generation::of(generation)? };
        words.next().is_none().then_some(parts)
    }
}

pub(super) fn part_name(name: &str, set: Set, number: usize) -> String {
    format!("{name}.{}.{number}", set.letter())
}

/// The parts of a secret that does not fit one entry. `None`: it fits.
pub(super) fn split(secret: &str) -> Option<Vec<&str>> {
    if secret.encode_utf16().count() <= MOST_UNITS && !secret.starts_with(PREFIX) {
        return None;
    }
    let mut parts = Vec::new();
    let (mut start, mut units) = (0, 0);
    for (at, letter) in secret.char_indices() {
        if units + letter.len_utf16() > MOST_UNITS {
            parts.push(&secret[start..at]);
            (start, units) = (at, 0);
        }
        units += letter.len_utf16();
    }
    parts.push(&secret[start..]);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATION: Generation = Generation::new(0xabc);

    #[test]
    fn parts_fit_windows_and_make_the_secret_again() {
        for (secret, expected) in [
            ("x".repeat(1_200), 0),
            ("x".repeat(1_201), 2),
            ("\u{1F600}".repeat(601), 2),
            ("\u{e4}\u{1F600}".repeat(4_000), 10),
            (Parts { set: Set(0), count: 3, generation: GENERATION }.entry(), 1),
        ] {
            let parts = split(&secret).unwrap_or_default();
            assert_eq!(parts.len(), expected);
            let stored: Vec<_> = parts.iter().map(|part| GENERATION.part(part)).collect();
            assert!(stored.iter().all(|part| part.encode_utf16().count() * 2 <= 2_560));
            let whole: String = stored.iter().filter_map(|part| GENERATION.text_of(part)).collect();
            assert!(parts.is_empty() || whole == secret);
            assert!(stored.iter().all(|part| Generation::new(0xabd).text_of(part).is_none()));
        }
    }

    #[test]
    fn only_what_levi_writes_names_parts() {
        let parts = Parts { set: Set(1), count: 12, generation: GENERATION };
        assert_eq!(parts.entry(), "levi-parts/1 b 12 0000000000000abc");
        assert_eq!(Parts::of(&parts.entry()), Some(parts));
        for text in [
            "",
            "{\"user_id\":\"levi-parts/1 a 2 0000000000000abc\"}",
            "levi-parts/1 a 2",
            "levi-parts/1 i 2 0000000000000abc",
            "levi-parts/1 a 0 0000000000000abc",
            "levi-parts/1 a 99999 0000000000000abc",
            "levi-parts/1 a 2 +000000000000abc",
            "levi-parts/1 a 2 0000000000000abc 1",
        ] {
            assert_eq!(Parts::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_set_in_use_is_never_drawn() {
        let drawn: Vec<Set> = (0..100).map(|random| Set::draw(random, Some(Set(3)))).collect();
        assert!(!drawn.contains(&Set(3)));
        assert!(Set::all().filter(|set| *set != Set(3)).all(|set| drawn.contains(&set)));
    }
}
