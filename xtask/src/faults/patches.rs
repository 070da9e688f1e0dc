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
    /// What must catch it.
    pub(super) catcher: Catcher,
    /// The first folder below `crates/` that the patch changes.
    package: String,
}

/// A program that fails on a tree with the bug.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Catcher {
    /// The simulation: most bugs.
    Simulation,
    /// Another program of the workspace, as a line `caught-by: PROGRAM ARGUMENTS` of the patch's
    /// file says.
    Program { name: String, args: Vec<String> },
    /// A test, as a line `caught-by: test PACKAGE FILE NAME` says: of `tests/FILE.rs`, the one with
    /// this name.
    Test { package: String, file: String, name: String },
}

impl Catcher {
    fn of(patch: &str) -> Self {
        let line = patch.lines().find_map(|line| line.strip_prefix("caught-by: "));
        let words: Vec<String> = line.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        match words.as_slice() {
            [] => Self::Simulation,
            [test, package, file, name] if test == "test" => {
                let [package, file, name] = [package, file, name].map(String::clone);
                Self::Test { package, file, name }
            }
            [name, args @ ..] => Self::Program { name: name.clone(), args: args.to_vec() },
        }
    }

    /// The package that has the program.
    pub(super) fn package(&self) -> &str {
        match self {
            Self::Simulation => "levi-sim",
            Self::Program { name, .. } => name,
            Self::Test { package, .. } => package,
        }
    }
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
            let (catcher, package) = (Catcher::of(&text), package(&text));
            faults.push(Fault { name, patch, about, catcher, package });
        }
    }
    if faults.is_empty() {
        return Err(Failure::Usage(format!("no file in faults/ has one of these in its name: {names:?}")));
    }
    faults.sort_by(|a, b| (&a.catcher, &a.package, &a.name).cmp(&(&b.catcher, &b.package, &b.name)));
    Ok(faults)
}

fn package(patch: &str) -> String {
    let changed = patch.lines().find_map(|line| line.strip_prefix("+++ b/crates/"));
    changed.and_then(|path| path.split('/').next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Catcher, package, select};

    #[test]
    fn a_patch_names_the_program_that_catches_it() {
        let patch = "what it breaks\ncaught-by: levi-torture damage --files 9\n\ndiff --git a/x b/x\n";
        let args = ["damage", "--files", "9"].map(str::to_owned).to_vec();
        assert_eq!(Catcher::of(patch), Catcher::Program { name: "levi-torture".to_owned(), args });
        assert_eq!(Catcher::of("what it breaks\n").package(), "levi-sim");
        let [package, file, name] = ["levi-torture", "deadlines", "it_ends"].map(str::to_owned);
        let test = "what it breaks\ncaught-by: test levi-torture deadlines it_ends\n";
        assert_eq!(Catcher::of(test), Catcher::Test { package, file, name });
    }

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
