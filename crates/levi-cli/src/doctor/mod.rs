//! `levi doctor`: finds problems and says what to do about each. Changes nothing on this device or
//! on the server, except that a device list which the server shows is remembered, as by every command.

mod columns;
mod description;
mod device_list;
mod local;
mod probe;
mod relations;
mod rows;
mod server;

use clap::Args;
use serde::Serialize;

use crate::args::{DataArgs, ProjectArgs};
use crate::console::Console;
use crate::data_dir;
use crate::error::CliError;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Check the project, too: its tables, columns, unique keys and policies, and this device's
    /// row.
    #[arg(long)]
    server: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Not a problem, but worth knowing.
    Note,
    Problem,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Prints findings as they are made, and counts the problems.
struct Findings {
    console: Console,
    problems: u64,
    /// Whether the device list lets nothing be sealed.
    list_stopped: bool,
}

impl Findings {
    fn ok(&mut self, check: &str, detail: impl Into<String>) -> Result<(), CliError> {
        self.print(check, Verdict::Ok, detail.into(), None)
    }

    fn note(&mut self, check: &str, detail: impl Into<String>, advice: &str) -> Result<(), CliError> {
        self.print(check, Verdict::Note, detail.into(), Some(advice.to_owned()))
    }

    fn problem(&mut self, check: &str, detail: impl Into<String>, advice: &str) -> Result<(), CliError> {
        self.print(check, Verdict::Problem, detail.into(), Some(advice.to_owned()))
    }

    fn print(
        &mut self,
        check: &str,
        verdict: Verdict,
        detail: String,
        advice: Option<String>,
    ) -> Result<(), CliError> {
        self.problems += u64::from(verdict == Verdict::Problem);
        let finding = Finding { check: check.to_owned(), verdict, detail, advice };
        self.console.json(&finding)?;
        let mark = match verdict {
            Verdict::Ok => "ok      ",
            Verdict::Note => "note    ",
            Verdict::Problem => "PROBLEM ",
        };
        self.console.say(format!("{mark} {}: {}", finding.check, finding.detail))?;
        if let Some(advice) = &finding.advice {
            self.console.say(format!("         -> {advice}"))?;
        }
        Ok(())
    }
}

pub(crate) async fn run(args: DoctorArgs, console: Console) -> Result<Exit, CliError> {
    let path = data_dir::resolve(args.data.data_dir.as_deref());
    let mut findings = Findings { console, problems: 0, list_stopped: false };
    local::check(&path, &mut findings)?;
    if args.server {
        server::check(&args.project, &args.data, &mut findings).await?;
    }
    Ok(match findings {
        Findings { list_stopped: true, .. } => Exit::DeviceList,
        Findings { problems: 0, .. } => Exit::Done,
        _ => Exit::CheckFailed,
    })
}
