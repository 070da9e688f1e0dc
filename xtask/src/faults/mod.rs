//! `cargo xtask faults`: can the simulation fail? Each patch in `faults/` breaks Levi in one way; the command
//! applies them one at a time to a copy of the tree and shows which oracle saw it, after how many seeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::Failure;
use crate::metadata::{cargo, root};

/// Seeds after which a fault counts as survived.
const MOST_SEEDS: &str = "50000";

/// A planted fault.
struct Fault {
    name: String,
    patch: PathBuf,
    /// The first line of its file.
    about: String,
}

/// Runs the faults whose names hold one of `args`, or all.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let bench = Bench::new()?;
    let faults = faults(args)?;
    bench.build("the tree as it is")?;
    if let Some(seen) = bench.first_violation()? {
        let detail = format!("{seen}; run `cargo xtask sim` and mend that first");
        return Err(Failure::Tool { what: "the simulation fails without any fault".into(), detail });
    }
    println!("{:<34} {:<16} {:>7}  what is broken", "fault", "caught by", "seeds");
    let mut survived = 0;
    for fault in &faults {
        let caught = bench.with(fault)?;
        let (oracle, seeds) = caught.unwrap_or_else(|| {
            survived += 1;
            ("NOTHING".to_owned(), MOST_SEEDS.to_owned())
        });
        println!("{:<34} {oracle:<16} {seeds:>7}  {}", fault.name, fault.about);
    }
    if survived > 0 { Err(Failure::Findings(survived)) } else { Ok(()) }
}

fn faults(names: &[String]) -> Result<Vec<Fault>, Failure> {
    let folder = root().join("faults");
    let mut faults = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Failure::io("faults/"))? {
        let patch = entry.map_err(Failure::io("faults/"))?.path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch).map_err(Failure::io(patch.display().to_string()))?;
        let about = text.lines().next().unwrap_or_default().to_owned();
        let name = patch.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str())) {
            faults.push(Fault { name, patch, about });
        }
    }
    faults.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(faults)
}

/// A copy of the tree with a target folder of its own.
struct Bench {
    tree: PathBuf,
    build: PathBuf,
}

impl Bench {
    fn new() -> Result<Self, Failure> {
        let folder = root().join("target/faults");
        let bench = Self { tree: folder.join("tree"), build: folder.join("build") };
        bench.copy()?;
        Ok(bench)
    }

    /// Copies what differs, so that what is the same is not built again.
    fn copy(&self) -> Result<(), Failure> {
        let mut list = Command::new("git");
        list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
        let listed = succeed("git ls-files", list.output().map_err(Failure::io("git ls-files"))?)?;
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let (from, to) = (root().join(path), self.tree.join(path));
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

    /// What catches the fault: the oracle and the number of seeds it took.
    fn with(&self, fault: &Fault) -> Result<Option<(String, String)>, Failure> {
        self.apply(&fault.patch, &[])?;
        let caught = self.build(&fault.name).and_then(|()| self.first_violation());
        self.apply(&fault.patch, &["--reverse"])?;
        Ok(caught?.map(|line| oracle_and_seeds(&line)))
    }

    fn apply(&self, patch: &Path, options: &[&str]) -> Result<(), Failure> {
        let mut apply = Command::new("git");
        // Without this, git finds the repository around the copy and passes over every file in it.
        apply.env("GIT_CEILING_DIRECTORIES", self.tree.parent().unwrap_or(&self.tree));
        apply.arg("apply").args(options).arg(patch).current_dir(&self.tree);
        let what = format!("{} no longer applies", patch.display());
        succeed(&what, apply.output().map_err(Failure::io("git apply"))?).map(drop)
    }

    fn build(&self, what: &str) -> Result<(), Failure> {
        let mut build = Command::new(cargo());
        build
            .args(["build", "--quiet", "--release", "--locked", "--package", "levi-sim"])
            .env("CARGO_TARGET_DIR", &self.build)
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
            .env("RUSTFLAGS", "-A warnings")
            .current_dir(&self.tree)
            .stdin(Stdio::null());
        let output = build.output().map_err(Failure::io("cargo build"))?;
        succeed(&format!("building with {what}"), output).map(drop)
    }

    /// The line that says what was broken, if anything was.
    fn first_violation(&self) -> Result<Option<String>, Failure> {
        let mut sim = Command::new(self.build.join("release/levi-sim"));
        sim.args(["--seeds", MOST_SEEDS, "--first-only"]).stdin(Stdio::null());
        let output = sim.output().map_err(Failure::io("levi-sim"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("breaks a promise")).map(str::to_owned);
        match (output.status.success(), line) {
            (true, _) => Ok(None),
            (false, Some(line)) => Ok(Some(line)),
            (false, None) => {
                Err(Failure::Tool { what: "levi-sim".into(), detail: output.status.to_string() })
            }
        }
    }
}

/// Reads `seed 7 breaks a promise after 8 seeds: [G3 order] at ..`.
fn oracle_and_seeds(line: &str) -> (String, String) {
    let oracle = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let seeds = line.split_once("after ").and_then(|(_, rest)| rest.split_once(" seeds"));
    let part = |found: Option<(&str, &str)>| found.map_or("?", |(part, _)| part).to_owned();
    (part(oracle), part(seeds))
}

/// The output of a program that must succeed.
fn succeed(what: &str, output: Output) -> Result<String, Failure> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let detail = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure::Tool { what: what.to_owned(), detail })
}

#[cfg(test)]
mod tests {
    use super::oracle_and_seeds;

    #[test]
    fn the_line_of_a_failing_seed_is_understood() {
        let line = "seed 7 breaks a promise after 8 seeds: [G3 order] at 1.000 s: s0/1 waits on disk [..]";
        assert_eq!(oracle_and_seeds(line), ("G3 order".to_owned(), "8".to_owned()));
    }
}
