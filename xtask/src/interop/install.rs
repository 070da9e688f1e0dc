//! The programs that the checks need. A missing one is a failure and never a reason to skip a
//! check, unless the caller names it as missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::Harness;
use crate::failure::Failure;
use crate::metadata::root;
use crate::programs::{is_there, succeed};

/// The programs that must be on this machine.
pub(super) struct Programs {
    pub(super) node: &'static str,
    npm: &'static str,
    pub(super) python: &'static str,
    /// `None` only if the caller said that there is none.
    pub(super) chromium: Option<&'static str>,
}

/// What a Chromium is called.
const CHROMIUMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Set by a caller on a machine without a browser. The viewer's step is then skipped, and that is
/// printed.
pub(super) const WITHOUT_BROWSER: &str = "LEVI_INTEROP_WITHOUT_BROWSER";

/// Checks that they are installed and new enough.
pub(super) fn programs() -> Result<Programs, Failure> {
    let node = first_number("node", &["--version"], "Node.js 20.19 or later")?;
    if node < 20 {
        return Err(missing("Node.js", "20.19 or later is needed"));
    }
    first_number("npm", &["--version"], "npm")?;
    let python = "import sys; print(sys.version_info >= (3, 10) and 3 or 2)";
    if first_number("python3", &["-c", python], "Python 3.10 or later with pip")? < 3 {
        return Err(missing("Python", "3.10 or later is needed"));
    }
    first_number("python3", &["-m", "pip", "--version"], "Python's pip")?;
    let chromium = CHROMIUMS.into_iter().find(|name| is_there(name, &["--version"]));
    if chromium.is_none() && std::env::var_os(WITHOUT_BROWSER).is_none() {
        return Err(missing("Chromium", "there is none on this machine (on Debian, `apt install chromium`)"));
    }
    Ok(Programs { node: "node", npm: "npm", python: "python3", chromium })
}

/// The first number that the program prints.
fn first_number(program: &str, args: &[&str], wanted: &str) -> Result<u32, Failure> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|_| missing(wanted, &format!("there is no `{program}` on this machine")))?;
    if !output.status.success() {
        return Err(missing(wanted, &format!("`{program} {}` failed", args.join(" "))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().map_err(|_| missing(wanted, &format!("`{program}` does not tell its version")))
}

fn missing(what: &str, detail: &str) -> Failure {
    let detail = format!("{detail}; the interoperability checks cannot run without it");
    Failure::Tool { what: what.to_owned(), detail }
}

/// Runs `npm ci` and `pip install` from the lock files, unless it did so for the same lock file
/// before.
pub(super) fn packages(harness: &mut Harness) -> Result<(), Failure> {
    for folder in ["interop", "clients/javascript"] {
        let folder = root().join(folder);
        once_per_lock(&folder.join("package-lock.json"), &folder.join("node_modules"), || {
            let mut npm = Command::new(harness.programs.npm);
            succeed(
                "npm ci",
                npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder),
            )
        })?;
    }
    let lock = root().join("clients/python/requirements.txt");
    let into = harness.python_packages();
    once_per_lock(&lock, &into, || {
        let mut pip = Command::new(harness.programs.python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]);
        succeed("pip install", pip.arg("--upgrade").arg("--target").arg(&into).arg("-r").arg(&lock))
    })
}

fn once_per_lock(
    lock: &Path,
    into: &Path,
    install: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let read = |path: &Path| fs::read(path).map_err(Failure::io(path.display().to_string()));
    let stamp: PathBuf = into.join(".installed-from");
    let wanted = read(lock)?;
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(&stamp, wanted).map_err(Failure::io(stamp.display().to_string()))
}
