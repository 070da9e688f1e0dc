//! Which crate of the workspace may depend on which: the table of `docs/architecture.md`.

use super::Finding;
use crate::metadata::{Dependency, Package};

const ALLOWED: &[(&str, &[&str])] = &[
    ("levi-types", &[]),
    ("levi-crypto", &["levi-types"]),
    ("levi-devices", &["levi-types", "levi-crypto"]),
    ("levi-outbox", &["levi-types"]),
    ("levi-transport", &["levi-types"]),
    ("levi-store", &["levi-types", "levi-crypto", "levi-devices", "levi-outbox"]),
    ("levi-core", &["levi-types", "levi-crypto", "levi-devices", "levi-outbox", "levi-transport"]),
    ("levi-realtime", &["levi-types", "levi-outbox", "levi-transport", "levi-core"]),
    (
        "levi",
        &[
            "levi-types",
            "levi-crypto",
            "levi-devices",
            "levi-outbox",
            "levi-transport",
            "levi-store",
            "levi-core",
            "levi-realtime",
        ],
    ),
    ("levi-testkit", &["levi-types", "levi-outbox", "levi-transport"]),
    ("levi-cli", &["levi", "levi-testkit"]),
    (
        "levi-bench",
        &["levi", "levi-types", "levi-crypto", "levi-outbox", "levi-transport", "levi-core", "levi-testkit"],
    ),
    (
        "levi-torture",
        &[
            "levi",
            "levi-testkit",
            "levi-types",
            "levi-crypto",
            "levi-outbox",
            "levi-transport",
            "levi-store",
            "levi-core",
        ],
    ),
    (
        "levi-sim",
        &[
            "levi-types",
            "levi-crypto",
            "levi-devices",
            "levi-outbox",
            "levi-transport",
            "levi-core",
            "levi-testkit",
        ],
    ),
    (
        "levi-fuzz",
        &[
            "levi-types",
            "levi-crypto",
            "levi-devices",
            "levi-outbox",
            "levi-transport",
            "levi-core",
            "levi-cli",
        ],
    ),
    ("xtask", &[]),
];

/// What tests of any crate may use besides: the fake Supabase and the fixtures live there. Tests
/// get no other dependency, because a cycle of dev-dependencies would keep a crate from being built
/// and published by itself.
const FOR_TESTS: &str = "levi-testkit";

/// A finding for every dependency between members that the table does not list.
pub(super) fn check(members: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == member.name) else {
            let what = "is not in the architecture's table; add it there and to xtask/src/tidy/layers.rs";
            findings.push(Finding::new(&member.name, what));
            continue;
        };
        let siblings =
            member.dependencies.iter().filter(|to| members.iter().any(|other| other.name == to.name));
        for to in siblings.filter(|to| !is_allowed(to, allowed)) {
            let kind = to.kind.as_deref().unwrap_or("normal");
            let what = format!("must not depend on {} ({kind} dependency); allowed: {allowed:?}", to.name);
            findings.push(Finding::new(&member.name, what));
        }
    }
    findings
}

fn is_allowed(to: &Dependency, allowed: &[&str]) -> bool {
    let for_tests = to.kind.as_deref() == Some("dev") && to.name == FOR_TESTS;
    for_tests || allowed.contains(&to.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::{ALLOWED, Dependency, Package, check};

    fn package(name: &str, to: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
        };
        Package {
            name: name.to_owned(),
            dependencies: to.iter().map(dependency).collect(),
            ..Package::default()
        }
    }

    fn findings(from: &str, to: &str, kind: Option<&str>) -> usize {
        check(&[package(from, &[(to, kind)]), package(to, &[])]).len()
    }

    #[test]
    fn a_dependency_that_is_not_in_the_table_is_found() {
        assert_eq!(findings("levi-outbox", "levi-crypto", None), 1);
        assert_eq!(findings("levi-types", "levi-crypto", Some("build")), 1);
        assert_eq!(findings("levi-core", "levi-store", Some("dev")), 1);
        assert_eq!(findings("levi-core", "levi-testkit", None), 1);
    }

    #[test]
    fn dependencies_of_the_table_and_of_third_parties_pass() {
        assert_eq!(findings("levi-store", "levi-crypto", None), 0);
        assert_eq!(findings("levi-core", "levi-testkit", Some("dev")), 0);
        assert!(check(&[package("levi-outbox", &[("rusqlite", None)])]).is_empty());
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_found() {
        assert_eq!(check(&[package("levi-news", &[])]).len(), 1);
    }

    #[test]
    fn the_table_itself_points_down_only() {
        for (name, allowed) in ALLOWED {
            let reaches_back =
                |to: &&&str| ALLOWED.iter().any(|(other, its)| other == *to && its.contains(name));
            assert_eq!(allowed.iter().find(reaches_back), None, "{name}");
        }
    }
}
