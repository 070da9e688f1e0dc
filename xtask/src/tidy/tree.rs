//! Packages that a crate must not bring along: a daemon that depends on one crate gets no database
//! and no async runtime with it, and the command as it is shipped no test server. Realtime is asked
//! for by name.

use super::Finding;
use crate::failure::Failure;
use crate::metadata::{self, Package};

/// A crate built with certain flags, and the packages that must not appear below it.
struct Forbidden {
    package: &'static str,
    flags: &'static [&'static str],
    packages: &'static [&'static str],
}

const SQLITE: &str = "rusqlite";
const HTTP: &str = "ureq";
const RUNTIME: &str = "tokio";
const KEYRING: &str = "keyring-core";
const TEST_SERVER: &str = "levi-testkit";
const WEBSOCKET: &str = "tungstenite";

const RULES: &[Forbidden] = &[
    Forbidden {
        package: "levi-types",
        flags: &["--all-features"],
        packages: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Forbidden {
        package: "levi-crypto",
        flags: &["--all-features"],
        packages: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Forbidden {
        package: "levi-devices",
        flags: &["--all-features"],
        packages: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Forbidden { package: "levi-core", flags: &[], packages: &[SQLITE, HTTP, KEYRING] },
    Forbidden {
        package: "levi-outbox",
        flags: &["--no-default-features"],
        packages: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Forbidden { package: "levi-outbox", flags: &[], packages: &[HTTP, RUNTIME, KEYRING] },
    Forbidden {
        package: "levi-transport",
        flags: &["--no-default-features"],
        packages: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Forbidden { package: "levi-transport", flags: &[], packages: &[SQLITE, KEYRING] },
    Forbidden {
        package: "levi-store",
        flags: &["--no-default-features"],
        packages: &[SQLITE, HTTP, RUNTIME, KEYRING],
    },
    Forbidden { package: "levi-store", flags: &[], packages: &[HTTP, RUNTIME, KEYRING] },
    Forbidden { package: "levi", flags: &["--all-features"], packages: &[TEST_SERVER] },
    Forbidden { package: "levi", flags: &[], packages: &[WEBSOCKET] },
    Forbidden { package: "levi-cli", flags: &["--no-default-features"], packages: &[TEST_SERVER] },
];

/// Asks cargo for the dependency tree of every crate, each built by itself.
pub(super) fn check(members: &[Package]) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for rule in RULES.iter().filter(|rule| members.iter().any(|member| member.name == rule.package)) {
        findings.extend(violations(rule, &metadata::tree(rule.package, rule.flags)?));
    }
    Ok(findings)
}

fn violations(rule: &Forbidden, compiled: &[String]) -> Vec<Finding> {
    let flags = rule.flags.join(" ");
    let found = rule.packages.iter().filter(|name| compiled.iter().any(|package| package == *name));
    found
        .map(|found| Finding::new(rule.package, format!("compiles {found} ({flags}) but must not")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{RULES, violations};

    #[test]
    fn a_database_below_the_pure_crates_is_found() {
        let compiled = ["levi-types", "serde", "rusqlite", "tokio"].map(str::to_owned);
        assert_eq!(violations(&RULES[0], &compiled).len(), 2);
        assert!(violations(&RULES[0], &compiled[..2]).is_empty());
    }
}
