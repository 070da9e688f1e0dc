//! `cargo xtask bench`: what Levi costs beside its limits, and `--instructions` for what a clock
//! cannot show.

use std::fs;

use crate::failure::Failure;
use crate::metadata::root;
use crate::programs::is_there;
use crate::step::Step;

/// Where the instruction counts are that CI compares with.
const EXPECTED: &str = "crates/levi-bench/instructions.json";

/// The lines between which the page holds the last full run's table.
const TABLE: [&str; 2] = ["<!-- table: cargo xtask bench --write -->", "<!-- end of table -->"];

const OPTIONS: [&str; 4] = ["--quick", "--write", "--instructions", "--where-possible"];

/// Builds `levi-bench` and runs it.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let has = |option: &str| args.iter().any(|arg| arg == option);
    if let Some(unknown) = args.iter().find(|arg| arg.starts_with("--") && !OPTIONS.contains(&arg.as_str())) {
        return Err(Failure::Usage(format!(
            "`bench` does not know `{unknown}`; it takes {} and names of groups",
            OPTIONS.join(", ")
        )));
    }
    if has("--instructions") && has("--where-possible") && !is_there("valgrind", &["--version"]) {
        println!(
            "NOT COUNTED: there is no valgrind here. Install it, or leave this to a machine that has it."
        );
        return Ok(());
    }
    // The profile `bench` is `release` with the names of functions.
    let mut bench = vec!["run", "--profile", "bench", "--package", "levi-bench", "--"];
    if has("--instructions") {
        bench.extend(["instructions", EXPECTED]);
        bench.extend(args.iter().map(String::as_str).filter(|arg| *arg != "--instructions"));
        return Step::new("bench", &bench).run();
    }
    bench.extend(["run", "target/bench"]);
    bench.extend(args.iter().map(String::as_str).filter(|arg| *arg != "--write"));
    Step::new("bench", &bench).run()?;
    if has("--write") { publish() } else { Ok(()) }
}

/// Puts the table into `docs/performance.md`, plots and raw numbers beside it.
fn publish() -> Result<(), Failure> {
    let (from, to) = (root().join("target/bench"), root().join("docs/plots"));
    let io = |path: &std::path::Path| Failure::io(path.display().to_string());
    fs::create_dir_all(&to).map_err(io(&to))?;
    for entry in fs::read_dir(&from).map_err(io(&from))? {
        let path = entry.map_err(io(&from))?.path();
        let wanted = path.extension().is_some_and(|extension| extension == "svg" || extension == "json");
        if let (true, Some(name)) = (wanted, path.file_name()) {
            fs::copy(&path, to.join(name)).map_err(io(&path))?;
        }
    }
    let (page, table) = (root().join("docs/performance.md"), from.join("table.md"));
    let table = fs::read_to_string(&table).map_err(io(&table))?;
    let text = fs::read_to_string(&page).map_err(io(&page))?;
    let text = with_table(&text, &table).ok_or_else(|| Failure::Tool {
        what: page.display().to_string(),
        detail: format!("has no lines `{}` and `{}`", TABLE[0], TABLE[1]),
    })?;
    fs::write(&page, text).map_err(io(&page))
}

fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(TABLE[0])?;
    let (_, after) = rest.split_once(TABLE[1])?;
    Some(format!("{before}{}\n\n{table}\n{}{after}", TABLE[0], TABLE[1]))
}

#[cfg(test)]
mod tests {
    use super::{TABLE, with_table};

    #[test]
    fn the_table_is_put_between_its_lines_and_nowhere_else() {
        let page = format!("a\n{}\nold\n{}\nb", TABLE[0], TABLE[1]);
        let written = with_table(&page, "new").unwrap();
        assert!(written.starts_with("a\n") && written.ends_with("\nb"), "{written}");
        assert!(written.contains("new") && !written.contains("old"), "{written}");
        assert_eq!(with_table(&written, "new").as_deref(), Some(written.as_str()));
        assert_eq!(with_table("no lines", "new"), None);
    }
}
