//! Measures Levi against limits and baselines. `cargo xtask bench` runs it; `README.md` describes the method.
#![forbid(unsafe_code)]

mod cases;
mod child;
mod conditions;
mod fixture;
mod in_process;
mod instructions;
mod plot;
mod process;
mod reader;
mod report;
mod server;
mod stats;
mod system_calls;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cases::GROUPS;
use instructions::Purpose;
use report::Report;

/// Errors are only printed, so their type does not matter.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// About two minutes.
    Quick,
    /// Everything, including backlogs of a million rows and more.
    Full,
}

impl Effort {
    /// Returns the value for this effort.
    pub(crate) fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Otherwise idle threads of finished requests would end later and count as wake-ups.
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&args)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("levi-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &[String]) -> Fallible<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", out, options @ ..] => measure(Path::new(out), options).await,
        ["render", folder] => render(Path::new(folder)),
        ["serve", sessions, latency] => {
            let latency = Duration::from_millis(latency.parse()?);
            server::serve(sessions.parse()?, latency).map(|()| ExitCode::SUCCESS)
        }
        ["child", what, rest @ ..] => child::run(what, rest).await.map(|()| ExitCode::SUCCESS),
        ["count", path] => instructions::count(path).map(|()| ExitCode::SUCCESS),
        ["instructions", expectations, options @ ..] => {
            instructions::compare(Path::new(expectations), Purpose::of(options)?)
        }
        _ => Err("usage: levi-bench run <folder> [--quick] [group..]; see `cargo xtask bench`".into()),
    }
}

/// Measures the groups in `options`, or all groups if there are none, and keeps the earlier figures of the others.
async fn measure(out: &Path, options: &[&str]) -> Fallible<ExitCode> {
    let effort = if options.contains(&"--quick") { Effort::Quick } else { Effort::Full };
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let groups = if named.is_empty() { &GROUPS[..] } else { &named };
    std::fs::create_dir_all(out)?;
    let mut report = Report { machine: conditions::machine(), ..Report::default() };
    if !named.is_empty()
        && let Ok(earlier) = std::fs::read(out.join(FIGURES))
    {
        report.runs = serde_json::from_slice::<Report>(&earlier)?.runs;
    }
    for group in groups {
        report.put(cases::run(group, effort).await?, &GROUPS);
        // After each group, so that an interrupted run keeps the groups that it has finished.
        write(out, &report)?;
    }
    println!("\n{}", report.page());
    println!("{} target(s) missed; tables, figures and plots are in {}", report.missed(), out.display());
    Ok(ExitCode::SUCCESS)
}

/// The file with every value of every round.
const FIGURES: &str = "figures.json";

/// Writes the tables and plots of a folder anew from its figures.
fn render(folder: &Path) -> Fallible<ExitCode> {
    let report: Report = serde_json::from_slice(&std::fs::read(folder.join(FIGURES))?)?;
    write(folder, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn write(out: &Path, report: &Report) -> Fallible<()> {
    std::fs::write(out.join(FIGURES), serde_json::to_string_pretty(report)? + "\n")?;
    std::fs::write(out.join("tables.md"), report.page())?;
    for plot in report.runs.iter().flat_map(|run| &run.plots) {
        std::fs::write(out.join(&plot.file).with_extension("svg"), plot::svg(plot)?)?;
    }
    Ok(())
}

/// A folder on a real disk that is removed on drop.
pub(crate) fn scratch() -> Fallible<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("levi-bench").tempdir_in(scratch_parent())?)
}

/// The folder from `LEVI_BENCH_DIR`, or the system's folder for temporary files.
pub(crate) fn scratch_parent() -> PathBuf {
    std::env::var_os("LEVI_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}
