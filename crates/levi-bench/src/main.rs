//! Measures Levi beside its limits and rivals. `cargo xtask bench` runs it; `README.md` says how it measures.
#![forbid(unsafe_code)]

mod cases;
mod child;
mod fixture;
mod instructions;
mod near;
mod plot;
mod process;
mod report;
mod server;
mod stats;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

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
            instructions::compare(Path::new(expectations), options.contains(&"--write"))
        }
        _ => Err("usage: levi-bench run <folder> [--quick] [group..]; see `cargo xtask bench`".into()),
    }
}

async fn measure(out: &Path, options: &[&str]) -> Fallible<ExitCode> {
    let effort = if options.contains(&"--quick") { Effort::Quick } else { Effort::Full };
    let groups: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let mut report = Report { conditions: conditions(effort), ..Report::default() };
    cases::run(&mut report, effort, &groups).await?;
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("table.md"), report.table())?;
    std::fs::write(out.join("figures.json"), serde_json::to_string_pretty(&report)?)?;
    for plot in &report.plots {
        std::fs::write(out.join(plot.file).with_extension("svg"), plot::svg(plot))?;
    }
    println!("\n{}", report.table());
    println!("{} mark(s) missed; table, raw numbers and plots are in {}", report.missed(), out.display());
    Ok(ExitCode::SUCCESS)
}

/// Where and how the run was made, as far as the system tells.
fn conditions(effort: Effort) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    vec![
        format!("{cores} cores, {}", model.trim_start_matches(['\t', ' ', ':'])),
        format!(
            "{} {}, load at the start {}",
            std::env::consts::OS,
            std::env::consts::ARCH,
            load.split(' ').next().unwrap_or("?")
        ),
        format!(
            "{effort:?} run; messages of {} bytes; SQLite in WAL mode, synchronous = FULL where nothing else is said",
            fixture::MESSAGE_BYTES
        ),
    ]
}

/// A folder on a real disk that is gone with its value. `LEVI_BENCH_DIR` says where; else the system's.
pub(crate) fn scratch() -> Fallible<tempfile::TempDir> {
    let parent = std::env::var_os("LEVI_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    Ok(tempfile::Builder::new().prefix("levi-bench").tempdir_in(parent)?)
}
