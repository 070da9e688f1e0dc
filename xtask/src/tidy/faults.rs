//! Every planted bug still applies to the source. A patch that does not would fail only after the
//! simulation was built.

use std::path::Path;
use std::process::Command;

use super::{Finding, TextFile};
use crate::failure::Failure;

/// Asks git about each patch in `faults/`, which changes no file.
pub(super) fn check(root: &Path, files: &[TextFile]) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let in_faults = |file: &&TextFile| file.path.starts_with("faults") && file.has_extension("patch");
    for patch in files.iter().filter(in_faults) {
        let mut apply = Command::new("git");
        apply.args(["apply", "--check"]).arg(&patch.path).current_dir(root);
        let output = apply.output().map_err(Failure::io("git apply"))?;
        if !output.status.success() {
            findings.push(Finding::new(patch.location(), "no longer applies to the source"));
        }
    }
    Ok(findings)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
mod tests {
    use super::super::file;
    use super::check;
    use crate::metadata::root;

    #[test]
    fn a_patch_that_does_not_apply_is_found() {
        let missing = file("faults/no-such-patch.patch", "");
        assert_eq!(check(&root(), &[missing]).unwrap().len(), 1);
        assert!(check(&root(), &[file("docs/no-such-page.md", "")]).unwrap().is_empty());
    }
}
