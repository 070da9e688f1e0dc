//! Rules about Rust sources and the examples in documents.

use super::{Finding, TextFile};

/// A longer file usually holds two ideas.
const MAX_LINES: usize = 400;

/// What the root of a crate must and must not have.
pub(super) fn crate_root(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]") {
        findings.push(Finding::new(file.location(), "lacks #![forbid(unsafe_code)]"));
    }
    for (number, line) in numbered(&file.text) {
        if line.trim_start().starts_with("pub use") && line.contains("::*") {
            findings.push(Finding::at(file.location(), number, "re-exports by glob; name what is exported"));
        }
    }
    findings
}

/// What holds for every Rust file.
pub(super) fn any_file(file: &TextFile) -> Vec<Finding> {
    // Put together here so that this file does not find itself.
    let left_open = concat!("to", "do!(");
    let mut findings = unchecked_examples(file);
    for (number, line) in numbered(&file.text) {
        if line.contains(left_open) {
            findings.push(Finding::at(
                file.location(),
                number,
                "is left to do; finish it or say what is missing",
            ));
        }
    }
    let lines = file.text.lines().count();
    if lines > MAX_LINES {
        let what = format!("has {lines} lines; split it by idea, at most {MAX_LINES} each");
        findings.push(Finding::new(file.location(), what));
    }
    findings
}

/// Examples that are shown but never run, in Rust documentation or Markdown.
pub(super) fn unchecked_examples(file: &TextFile) -> Vec<Finding> {
    let markdown = file.has_extension("md");
    let mut findings = Vec::new();
    for (number, line) in numbered(&file.text) {
        let line = line.trim_start();
        let doc = if markdown { Some(line) } else { line.strip_prefix("///").or(line.strip_prefix("//!")) };
        let Some(info) = doc.and_then(|doc| doc.trim_start().strip_prefix("```")) else { continue };
        let mut words = info.split([',', ' ', '{', '}']);
        if let Some(word) = words.find(|word| word.starts_with("ignore") || *word == "no_run") {
            findings.push(Finding::at(
                file.location(),
                number,
                format!("an example marked {word} rots; let it run"),
            ));
        }
    }
    findings
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::{any_file, crate_root, unchecked_examples};

    #[test]
    fn a_root_without_forbid_or_with_a_glob_is_found() {
        assert_eq!(crate_root(&file("src/lib.rs", "mod a;\npub use a::*;\n")).len(), 2);
        assert!(crate_root(&file("src/lib.rs", "#![forbid(unsafe_code)]\npub use a::{B, C};\n")).is_empty());
    }

    #[test]
    fn examples_that_do_not_run_are_found() {
        for bad in ["/// ```no_run", "    //! ```ignore", "/// ```rust,ignore-windows"] {
            assert_eq!(unchecked_examples(&file("a.rs", bad)).len(), 1, "{bad}");
        }
        for bad in ["```rust,no_run", "  ```ignore"] {
            assert_eq!(unchecked_examples(&file("a.md", bad)).len(), 1, "{bad}");
        }
        for good in ["/// ```", "/// ```text", "/// ```should_panic", "let s = \"```ignore\";"] {
            assert!(unchecked_examples(&file("a.rs", good)).is_empty(), "{good}");
        }
    }

    #[test]
    fn a_long_file_and_an_open_end_are_found() {
        assert_eq!(any_file(&file("a.rs", &"x\n".repeat(401))).len(), 1);
        assert_eq!(any_file(&file("a.rs", concat!("to", "do!()"))).len(), 1);
        assert!(any_file(&file("a.rs", &"x\n".repeat(400))).is_empty());
    }
}
