//! Every dependency's licence is one of those that `deny.toml` allows.
//!
//! The list is cargo-deny's own, so `cargo deny check` agrees. CI does not run cargo-deny itself,
//! because it would have to be built there, which takes over five minutes on two cores.

use std::collections::BTreeSet;

use super::{Finding, TextFile};
use crate::metadata::Package;

/// Checks every package from outside against the list in `deny.toml`.
pub(super) fn check(files: &[TextFile], packages: &[Package]) -> Vec<Finding> {
    let Some(deny) = files.iter().find(|file| file.location() == "deny.toml") else {
        return vec![Finding::new(
            "deny.toml",
            "is missing; it lists the licences that dependencies may have",
        )];
    };
    let allowed = allowed(&deny.text);
    let foreign = packages.iter().filter(|package| package.source.is_some());
    foreign.filter_map(|package| problem(package, &allowed)).collect()
}

fn problem(package: &Package, allowed: &BTreeSet<String>) -> Option<Finding> {
    let package_name = format!("{} {}", package.name, package.version);
    let Some(licence) = &package.license else { return Some(Finding::new(package_name, "names no licence")) };
    match Expression::new(licence).satisfied_by(allowed) {
        Some(true) => None,
        Some(false) => Some(Finding::new(
            package_name,
            format!("has the licence {licence}, which deny.toml does not allow"),
        )),
        None => Some(Finding::new(
            package_name,
            format!("has the licence {licence}, which is no SPDX expression"),
        )),
    }
}

/// The strings of `allow = [ .. ]` under `[licenses]`.
fn allowed(deny: &str) -> BTreeSet<String> {
    let section = deny.split("[licenses]").nth(1).unwrap_or("");
    let list = section.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or("");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// An SPDX licence expression: `OR` binds weaker than `AND`; `/` is the old spelling of `OR`.
/// <https://spdx.github.io/spdx-spec/v3.0.1/annexes/spdx-license-expressions/>
struct Expression {
    /// In reverse, so that `pop` takes the next one.
    words: Vec<String>,
}

impl Expression {
    fn new(text: &str) -> Self {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        Self { words: spaced.split_whitespace().rev().map(str::to_owned).collect() }
    }

    /// `None` where it cannot be parsed.
    fn satisfied_by(mut self, allowed: &BTreeSet<String>) -> Option<bool> {
        let answer = self.either(allowed)?;
        self.words.is_empty().then_some(answer)
    }

    fn either(&mut self, allowed: &BTreeSet<String>) -> Option<bool> {
        let mut answer = self.both(allowed)?;
        while self.take("OR") {
            answer |= self.both(allowed)?;
        }
        Some(answer)
    }

    fn both(&mut self, allowed: &BTreeSet<String>) -> Option<bool> {
        let mut answer = self.single(allowed)?;
        while self.take("AND") {
            answer &= self.single(allowed)?;
        }
        Some(answer)
    }

    fn single(&mut self, allowed: &BTreeSet<String>) -> Option<bool> {
        let mut word = self.words.pop()?;
        if word == "(" {
            let answer = self.either(allowed)?;
            return self.take(")").then_some(answer);
        }
        if matches!(word.as_str(), ")" | "OR" | "AND" | "WITH") {
            return None;
        }
        if self.take("WITH") {
            word = format!("{word} WITH {}", self.words.pop()?);
        }
        Some(allowed.contains(&word))
    }

    fn take(&mut self, word: &str) -> bool {
        self.words.pop_if(|next| next == word).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::{Package, check};

    fn findings(license: Option<&str>) -> usize {
        let deny =
            file("deny.toml", "[licenses]\nallow = [\n  \"MIT\",\n  \"ISC\", \"A WITH E\"\n]\n[bans]\n");
        let package = Package {
            license: license.map(str::to_owned),
            source: Some("registry".to_owned()),
            ..Package::default()
        };
        check(&[deny], &[package]).len()
    }

    #[test]
    fn licences_outside_the_list_are_found() {
        for bad in
            ["GPL-3.0", "MIT AND GPL-3.0", "A", "(GPL-3.0 OR X) AND MIT", "MIT OR", "(MIT", ") MIT", ""]
        {
            assert_eq!(findings(Some(bad)), 1, "{bad}");
        }
        assert_eq!(findings(None), 1);
    }

    #[test]
    fn licences_that_leave_an_allowed_choice_pass() {
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(GPL-3.0 OR ISC) AND MIT",
            "A WITH E",
            "X AND Y OR MIT",
        ] {
            assert_eq!(findings(Some(good)), 0, "{good}");
        }
    }

    #[test]
    fn without_the_list_nothing_passes() {
        assert_eq!(check(&[], &[]).len(), 1);
    }
}
