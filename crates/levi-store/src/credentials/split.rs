//! Long secrets in a keychain whose entries are short.
//!
//! Windows takes 2,560 bytes of UTF-16 in one entry, and a sign-in can be longer: its access token has whatever claims
//! the project puts there. A long secret is stored in numbered parts beside the entry, and the entry says where:
//!
//! ```text
//! levi-parts/1 SET COUNT      the parts are in NAME.SET.0 to NAME.SET.COUNT-1; SET is a or b
//! ```
//!
//! A new secret goes into the set that is not in use, and the entry is written last, so that a crash leaves the old
//! secret or the new one.

use zeroize::Zeroizing;

/// The most UTF-16 units of one entry, with some room below Windows' 1,280.
const MOST_UNITS: usize = 1_200;

/// The most parts, so that a damaged entry costs no more reads.
pub(super) const MOST_PARTS: usize = 1_000;

const PREFIX: &str = "levi-parts/1 ";

/// One of two sets of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    A,
    B,
}

/// What an entry says about parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) set: Set,
    pub(super) count: usize,
}

impl Set {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl Parts {
    /// The names of the parts of `name`.
    pub(super) fn names(self, name: &str) -> impl Iterator<Item = String> {
        (0..self.count).map(move |number| part_name(name, self.set, number))
    }

    /// The entry's text.
    pub(super) fn entry(self) -> String {
        format!("{PREFIX}{} {}", self.set.as_str(), self.count)
    }

    /// Reads an entry's text. `None`: the text is the secret itself.
    pub(super) fn of(entry: &str) -> Option<Self> {
        let (set, count) = entry.strip_prefix(PREFIX)?.split_once(' ')?;
        let set = match set {
            "a" => Set::A,
            "b" => Set::B,
            _ => return None,
        };
        let count = count.parse().ok().filter(|count| (1..=MOST_PARTS).contains(count))?;
        Some(Self { set, count })
    }
}

pub(super) fn part_name(name: &str, set: Set, number: usize) -> String {
    format!("{name}.{}.{number}", set.as_str())
}

/// The parts of a secret that does not fit one entry. `None`: it fits.
pub(super) fn split(secret: &str) -> Option<Vec<Zeroizing<String>>> {
    if secret.encode_utf16().count() <= MOST_UNITS && !secret.starts_with(PREFIX) {
        return None;
    }
    let mut parts = Vec::new();
    let (mut start, mut units) = (0, 0);
    for (at, letter) in secret.char_indices() {
        if units + letter.len_utf16() > MOST_UNITS {
            parts.push(Zeroizing::new(secret[start..at].to_owned()));
            (start, units) = (at, 0);
        }
        units += letter.len_utf16();
    }
    parts.push(Zeroizing::new(secret[start..].to_owned()));
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_windows_and_make_the_secret_again() {
        for (secret, expected) in [
            ("x".repeat(1_200), 0),
            ("x".repeat(1_201), 2),
            ("\u{1F600}".repeat(601), 2),
            ("\u{e4}\u{1F600}".repeat(4_000), 10),
            (Parts { set: Set::A, count: 3 }.entry(), 1),
        ] {
            let parts = split(&secret).unwrap_or_default();
            assert_eq!(parts.len(), expected);
            assert!(parts.iter().all(|part| part.encode_utf16().count() * 2 <= 2_560));
            let whole: String = parts.iter().map(|part| part.as_str()).collect();
            assert!(parts.is_empty() || whole == secret);
        }
    }

    #[test]
    fn only_what_levi_writes_names_parts() {
        let parts = Parts { set: Set::B, count: 12 };
        assert_eq!(Parts::of(&parts.entry()), Some(parts));
        for text in [
            "",
            "{\"user_id\":\"levi-parts/1 a 2\"}",
            "levi-parts/1 c 2",
            "levi-parts/1 a 0",
            "levi-parts/1 a 99999",
        ] {
            assert_eq!(Parts::of(text), None, "{text}");
        }
    }
}
