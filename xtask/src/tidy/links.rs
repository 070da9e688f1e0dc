//! Relative links in Markdown must point to a file or folder of the repository.
//!
//! A check of our own, because the well-kept link checkers (lychee) take longer to build than the
//! whole of `tidy` and its tests take to run, and CI installs no prebuilt programs.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{Finding, TextFile};

/// A finding for every relative link whose target is not among `paths` or a folder of one of them.
pub(super) fn check(file: &TextFile, paths: &BTreeSet<PathBuf>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            for target in targets(line).into_iter().filter(|target| !exists(target, &file.path, paths)) {
                findings.push(Finding::at(
                    file.location(),
                    index + 1,
                    format!("the link to {target} has no target"),
                ));
            }
        }
    }
    findings
}

/// What is between the parentheses of `[text](target "title")`, outside of code, and after `[name]:
/// `.
fn targets(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("");
    let mut found: Vec<String> = Vec::new();
    let mut rest = prose.as_str();
    while let Some((_, after)) = rest.split_once("](") {
        let (inside, beyond) = after.split_once(')').unwrap_or((after, ""));
        found.push(inside.to_owned());
        rest = beyond;
    }
    if let Some((_, target)) = prose.split_once("]: ").filter(|_| prose.starts_with('[')) {
        found.push(target.to_owned());
    }
    found.iter().filter_map(|target| target.split_whitespace().next()).map(str::to_owned).collect()
}

fn exists(target: &str, from: &Path, paths: &BTreeSet<PathBuf>) -> bool {
    // Another site, a place on this page, or an item that rustdoc resolves (and complains about
    // itself).
    if target.contains(':') || target.starts_with('#') {
        return true;
    }
    let path = target.split(['#', '?']).next().unwrap_or(target);
    match normalised(&from.parent().unwrap_or(Path::new("")).join(path)) {
        Some(path) => paths.iter().any(|known| known.starts_with(&path)),
        None => false,
    }
}

/// Without `.` and `..`; `None` for a path that leaves the repository.
fn normalised(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir if clean.pop() => {}
            _ => return None,
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::super::file;
    use super::check;

    fn findings(text: &str) -> usize {
        let paths: BTreeSet<PathBuf> =
            ["README.md", "docs/protocol.md", "docs/a.svg"].map(PathBuf::from).into();
        check(&file("docs/protocol.md", text), &paths).len()
    }

    #[test]
    fn links_without_a_target_are_found() {
        for bad in [
            "[a](b.md)",
            "![plot](plots/a.svg)",
            "[up](../../README.md)",
            "[x]: missing.md",
            "[a](/README.md)",
        ] {
            assert_eq!(findings(bad), 1, "{bad}");
        }
        assert_eq!(findings("[a](b.md) and [c](../README.md) and [d](e.md \"title\")"), 2);
    }

    #[test]
    fn links_with_a_target_pass() {
        for good in [
            "[up](../README.md#start)",
            "[folder](../docs)",
            "![plot](a.svg)",
            "[site](https://example.org/x)",
            "[here](#there)",
            "[item](crate::Levi)",
            "`[code](b.md)`",
            "```text\n[a](b.md)\n```",
        ] {
            assert_eq!(findings(good), 0, "{good}");
        }
    }
}
