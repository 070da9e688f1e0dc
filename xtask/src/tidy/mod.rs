//! `cargo xtask tidy`: the rules that no compiler checks.
//!
//! Each rule is a function from text or metadata to findings, with a test that shows it failing.

mod faults;
mod layers;
mod licences;
mod links;
mod packages;
mod portability;
mod readme;
mod sources;
mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::metadata::{self, Package, root, stdout_of};

/// One broken rule at one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    location: String,
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn new(location: impl Into<String>, what: impl Into<String>) -> Self {
        Self { location: location.into(), line: None, what: what.into() }
    }

    fn at(location: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Self { location: location.into(), line: Some(line), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.location, self.what),
            None => write!(f, "{}: {}", self.location, self.what),
        }
    }
}

/// A file of the repository: its path from the root, and its text.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    path: PathBuf,
    text: String,
}

impl TextFile {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn named(&self, name: &str) -> bool {
        self.path.file_name().is_some_and(|file| file == name)
    }

    fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }
}

/// Checks every rule and prints what is broken.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("`tidy` takes no arguments, but there is `{arg}`")));
    }
    let members = metadata::members()?;
    let paths = repository_paths()?;
    let files = text_files(&paths)?;

    let mut findings = layers::check(&members);
    findings.extend(tree::check(&members)?);
    findings.extend(faults::check(&root(), &files)?);
    findings.extend(crate_rules(&members, &files));
    findings.extend(file_rules(&files, &paths));
    findings.extend(licences::check(&files, &metadata::everything()?));

    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} crates and {} files follow the rules", members.len(), files.len());
            Ok(())
        }
        count => Err(Failure::Findings(count)),
    }
}

fn crate_rules(members: &[Package], files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let folder = member.folder().strip_prefix(root()).unwrap_or(member.folder());
        let find = |path: &str| files.iter().find(|file| file.path == folder.join(path));
        match find("src/lib.rs").or(find("src/main.rs")) {
            Some(entry) => findings.extend(sources::crate_root(entry)),
            None => findings.push(Finding::new(&member.name, "has neither src/lib.rs nor src/main.rs")),
        }
        if member.is_published() {
            findings.extend(readme::check(&member.name, find("README.md"), find("src/lib.rs")));
            let at_root = |path: &str| files.iter().find(|file| file.path == Path::new(path));
            findings.extend(packages::check(member, at_root, find));
        }
    }
    findings
}

fn file_rules(files: &[TextFile], paths: &BTreeSet<PathBuf>) -> Vec<Finding> {
    let checkout = root().display().to_string();
    let mut findings = Vec::new();
    for file in files {
        findings.extend(portability::check(file, &checkout));
        if file.has_extension("rs") {
            findings.extend(sources::any_file(file));
        }
        if file.has_extension("md") {
            findings.extend(sources::unchecked_examples(file));
            findings.extend(links::check(file, paths));
        }
    }
    findings
}

/// Everything that is tracked, or would be by `git add .`.
fn repository_paths() -> Result<BTreeSet<PathBuf>, Failure> {
    let listing = stdout_of("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let listing = String::from_utf8_lossy(&listing);
    let paths = listing.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
    // A file that was deleted but not yet committed is still listed.
    Ok(paths.filter(|path| root().join(path).exists()).collect())
}

/// Those of the files that are text.
fn text_files(paths: &BTreeSet<PathBuf>) -> Result<Vec<TextFile>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let bytes = std::fs::read(root().join(path)).map_err(Failure::io(path.display().to_string()))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile { path: path.clone(), text });
        }
    }
    Ok(files)
}

#[cfg(test)]
fn file(path: &str, text: &str) -> TextFile {
    TextFile { path: PathBuf::from(path), text: text.to_owned() }
}
