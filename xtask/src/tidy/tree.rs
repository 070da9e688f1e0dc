//! What must not be compiled for whom: a daemon that takes one crate gets no database or runtime
//! with it.

use super::Finding;
use crate::failure::Failure;
use crate::metadata::{self, Package};

/// A crate built with certain flags, and the packages that must not appear below it.
struct Keeps {
    package: &'static str,
    flags: &'static [&'static str],
    out: &'static [&'static str],
}

const SQLITE: &str = "rusqlite";
const HTTP: &str = "ureq";
const RUNTIME: &str = "tokio";
const KEYRING: &str = "keyring-core";
const TEST_SERVER: &str = "levi-testkit";

const RULES: &[Keeps] = &[
    Keeps { package: "levi-types", flags: &["--all-features"], out: &[SQLITE, HTTP, RUNTIME, KEYRING] },
    Keeps { package: "levi-crypto", flags: &["--all-features"], out: &[SQLITE, HTTP, RUNTIME, KEYRING] },
    Keeps { package: "levi-core", flags: &[], out: &[SQLITE, HTTP, KEYRING] },
    Keeps {
        package: "levi-outbox",
        flags: &["--no-default-features"],
        out: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Keeps { package: "levi-outbox", flags: &[], out: &[HTTP, RUNTIME, KEYRING] },
    Keeps {
        package: "levi-transport",
        flags: &["--no-default-features"],
        out: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Keeps { package: "levi-transport", flags: &[], out: &[SQLITE, KEYRING] },
    Keeps {
        package: "levi-store",
        flags: &["--no-default-features"],
        out: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Keeps { package: "levi-store", flags: &[], out: &[HTTP, RUNTIME, KEYRING] },
    Keeps { package: "levi", flags: &["--all-features"], out: &[TEST_SERVER] },
    Keeps { package: "levi-cli", flags: &["--no-default-features"], out: &[TEST_SERVER] },
];

/// Asks cargo for the tree of every crate that is there, each built by itself.
pub(super) fn check(members: &[Package]) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for rule in RULES.iter().filter(|rule| members.iter().any(|member| member.name == rule.package)) {
        findings.extend(intruders(rule, &metadata::tree(rule.package, rule.flags)?));
    }
    Ok(findings)
}

fn intruders(rule: &Keeps, compiled: &[String]) -> Vec<Finding> {
    let flags = rule.flags.join(" ");
    let found = rule.out.iter().filter(|out| compiled.iter().any(|package| package == *out));
    found.map(|out| Finding::new(rule.package, format!("compiles {out} ({flags}) but must not"))).collect()
}

#[cfg(test)]
mod tests {
    use super::{RULES, intruders};

    #[test]
    fn a_database_below_the_pure_crates_is_found() {
        let compiled = ["levi-types", "serde", "rusqlite", "tokio"].map(str::to_owned);
        assert_eq!(intruders(&RULES[0], &compiled).len(), 2);
        assert!(intruders(&RULES[0], &compiled[..2]).is_empty());
    }
}
