use std::fs;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::metadata::root;

/// A bug that a patch plants.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) name: String,
    pub(super) patch: PathBuf,
    /// The first line of the patch's file.
    pub(super) about: String,
    /// The first folder below `crates/` that the patch changes.
    package: String,
}

/// The faults whose names contain one of `names`, or all where there are no names.
///
/// By package: a fault in a package that others depend on makes the next build compile all of these
/// again, so such faults follow each other.
pub(super) fn select(names: &[String]) -> Result<Vec<Fault>, Failure> {
    let folder = root().join("faults");
    let mut faults = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Failure::io("faults/"))? {
        let patch = entry.map_err(Failure::io("faults/"))?.path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch).map_err(Failure::io(patch.display().to_string()))?;
        let name = patch.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str())) {
            let about = text.lines().next().unwrap_or_default().to_owned();
            faults.push(Fault { name, patch, about, package: package(&text) });
        }
    }
    if faults.is_empty() {
        return Err(Failure::Usage(format!("no file in faults/ has one of these in its name: {names:?}")));
    }
    faults.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(faults)
}

fn package(patch: &str) -> String {
    let changed = patch.lines().find_map(|line| line.strip_prefix("+++ b/crates/"));
    changed.and_then(|path| path.split('/').next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{package, select};

    #[test]
    fn the_changed_package_is_read_from_the_patch() {
        let patch = "what it breaks\n--- a/crates/levi-core/src/a.rs\n+++ b/crates/levi-core/src/a.rs\n";
        assert_eq!(package(patch), "levi-core");
    }

    #[test]
    fn a_name_that_selects_nothing_is_refused() {
        assert!(select(&["no such fault".to_owned()]).is_err());
    }
}
