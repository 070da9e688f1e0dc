//! A copy of the tree's files, for commands that change them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::failure::Failure;
use crate::metadata::root;

/// Copies every file that git tracks or would track. Of an earlier copy only the files that differ
/// are replaced, so that cargo compiles only these again.
pub(crate) fn into(folder: &Path) -> Result<(), Failure> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let listed = stdout("git ls-files", list.output().map_err(Failure::io("git ls-files"))?)?;
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let (from, to) = (root().join(path), folder.join(path));
        // A file that was deleted and not committed yet is still listed.
        let Ok(bytes) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|old| old == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(Failure::io(folder.display().to_string()))?;
        }
        fs::write(&to, bytes).map_err(Failure::io(to.display().to_string()))?;
    }
    Ok(())
}

/// The output of a program that must succeed.
pub(crate) fn stdout(what: &str, output: Output) -> Result<String, Failure> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let detail = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure::Tool { what: what.to_owned(), detail })
}
