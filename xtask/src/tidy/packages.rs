//! What a package brings with it when it is published.

use super::{Finding, TextFile};
use crate::metadata::Package;

const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// crates.io refuses more.
const MAX_KEYWORDS: usize = 5;

/// Looks at the manifest of a published package, and at the licence files in its folder, which
/// `read` finds.
pub(super) fn check<'f>(
    member: &Package,
    root: impl Fn(&str) -> Option<&'f TextFile>,
    read: impl Fn(&str) -> Option<&'f TextFile>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing = |what: &str| findings.push(Finding::new(&member.name, what));
    if member.description.is_none() {
        missing("has no description");
    }
    if member.keywords.is_empty() || member.keywords.len() > MAX_KEYWORDS {
        missing("needs one to five keywords");
    }
    if member.categories.is_empty() {
        missing("has no categories");
    }
    if member.metadata["docs"]["rs"]["all-features"] != true {
        missing("lacks all-features = true in [package.metadata.docs.rs]");
    }
    for name in LICENCES {
        match (root(name), read(name)) {
            (Some(whole), Some(own)) if whole.text == own.text => {}
            _ => missing(&format!("does not bring {name}; link to ../../{name}")),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::file;
    use super::{Package, check};

    fn complete() -> Package {
        Package {
            name: "levi-x".to_owned(),
            description: Some("what it is".to_owned()),
            keywords: vec!["sync".to_owned()],
            categories: vec!["database".to_owned()],
            metadata: json!({ "docs": { "rs": { "all-features": true } } }),
            ..Package::default()
        }
    }

    #[test]
    fn a_complete_package_passes() {
        let licence = file("LICENSE", "text");
        assert!(check(&complete(), |_| Some(&licence), |_| Some(&licence)).is_empty());
    }

    #[test]
    fn a_manifest_without_what_crates_io_shows_is_found() {
        let licence = file("LICENSE", "text");
        let bare = Package { name: "levi-x".to_owned(), ..Package::default() };
        assert_eq!(check(&bare, |_| Some(&licence), |_| Some(&licence)).len(), 4);
        let wordy = Package { keywords: vec![String::new(); 6], ..complete() };
        assert_eq!(check(&wordy, |_| Some(&licence), |_| Some(&licence)).len(), 1);
    }

    #[test]
    fn licence_files_that_are_missing_or_differ_are_found() {
        let (licence, other) = (file("LICENSE", "text"), file("LICENSE", "other text"));
        assert_eq!(check(&complete(), |_| Some(&licence), |_| None).len(), 2);
        assert_eq!(check(&complete(), |_| Some(&licence), |_| Some(&other)).len(), 2);
    }
}
