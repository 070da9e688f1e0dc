//! A crate's README is its documentation, and says what the crate will never do.

use super::{Finding, TextFile};

const AS_DOC: &str = r#"#![doc = include_str!("../README.md")]"#;
const INVARIANT: &str = "**Architecture invariant:**";

/// Looks at the README, and for a library at whether it is the crate's documentation.
pub(super) fn check(name: &str, readme: Option<&TextFile>, library: Option<&TextFile>) -> Vec<Finding> {
    let Some(readme) = readme else { return vec![Finding::new(name, "has no README.md")] };
    let mut findings = Vec::new();
    if !readme.text.contains(INVARIANT) {
        findings
            .push(Finding::new(readme.location(), format!("lacks a paragraph that starts with {INVARIANT}")));
    }
    let Some(library) = library else { return findings };
    if !library.text.lines().any(|line| line.trim() == AS_DOC) {
        findings.push(Finding::new(library.location(), format!("lacks {AS_DOC}")));
    }
    if !readme.text.contains("```rust") {
        findings.push(Finding::new(readme.location(), "lacks an example (```rust) that the doc tests run"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::check;

    #[test]
    fn a_readme_that_is_missing_or_is_not_the_documentation_is_found() {
        let good = file("README.md", "```rust\n```\n**Architecture invariant:** none.");
        let library = file("src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n");
        assert!(check("levi-x", Some(&good), Some(&library)).is_empty());
        assert!(check("levi-x", Some(&good), None).is_empty());

        assert_eq!(check("levi-x", None, Some(&library)).len(), 1);
        assert_eq!(check("levi-x", Some(&file("README.md", "")), Some(&library)).len(), 2);
        assert_eq!(check("levi-x", Some(&good), Some(&file("src/lib.rs", ""))).len(), 1);
    }
}
