//! Measures Levi beside its limits and rivals. `cargo xtask bench` runs it; `README.md` says how it measures.
#![forbid(unsafe_code)]

mod cases;
mod child;
mod conditions;
mod fixture;
mod instructions;
mod near;
mod plot;
mod process;
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

/// A benchmark has nobody to handle its errors but the person who reads them.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// About two minutes.
    Quick,
    /// Everything, a million rows included.
    Full,
}

impl Effort {
    /// One of two values.
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
        // So that threads of requests that are over do not count as wake-ups of an idle process.
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
        ["serve", latency] => {
            server::serve(Duration::from_millis(latency.parse()?)).map(|()| ExitCode::SUCCESS)
        }
        ["child", what, rest @ ..] => child::run(what, rest).await.map(|()| ExitCode::SUCCESS),
        ["count", path] => instructions::count(path).map(|()| ExitCode::SUCCESS),
        ["instructions", expectations, options @ ..] => {
            instructions::compare(Path::new(expectations), Purpose::of(options)?)
        }
        _ => Err("usage: levi-bench run <folder> [--quick] [group..]; see `cargo xtask bench`".into()),
    }
}

/// Measures the groups named, all if none is. A run of some groups keeps the others' figures of before.
async fn measure(out: &Path, options: &[&str]) -> Fallible<ExitCode> {
    let effort = if options.contains(&"--quick") { Effort::Quick } else { Effort::Full };
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let groups = if named.is_empty() { &GROUPS[..] } else { &named };
    std::fs::create_dir_all(out)?;
    let mut report = Report { machine: conditions::machine(), ..Report::default() };
    if !named.is_empty()
        && let Ok(earlier) = std::fs::read(out.join(RAW))
    {
        report.runs = serde_json::from_slice::<Report>(&earlier)?.runs;
    }
    for group in groups {
        report.put(cases::run(group, effort).await?, &GROUPS);
        // After each group, so that a run that is broken off has not been for nothing.
        write(out, &report)?;
    }
    println!("\n{}", report.table());
    println!("{} mark(s) missed; table, raw numbers and plots are in {}", report.missed(), out.display());
    Ok(ExitCode::SUCCESS)
}

/// The file with the raw numbers.
const RAW: &str = "figures.json";

fn write(out: &Path, report: &Report) -> Fallible<()> {
    std::fs::write(out.join(RAW), serde_json::to_string_pretty(report)?)?;
    std::fs::write(out.join("table.md"), report.table())?;
    for plot in report.runs.iter().flat_map(|run| &run.plots) {
        std::fs::write(out.join(&plot.file).with_extension("svg"), plot::svg(plot))?;
    }
    Ok(())
}

/// A folder on a real disk that is gone with its value. `LEVI_BENCH_DIR` says where; else the system's.
pub(crate) fn scratch() -> Fallible<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("levi-bench").tempdir_in(scratch_parent())?)
}

/// Where such folders are.
pub(crate) fn scratch_parent() -> PathBuf {
    std::env::var_os("LEVI_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}
