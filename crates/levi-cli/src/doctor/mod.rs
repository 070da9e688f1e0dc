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

use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::options::{DataArgs, ProjectArgs};
use crate::settings::{Setting, Settings};
use crate::style::{BAD, GOOD, NOTE, paint};

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
enum Severity {
    Ok,
    /// Not a problem, but worth knowing.
    Note,
    Problem,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    verdict: Severity,
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
    /// What was said last of the device list.
    said_of_list: Option<String>,
}

impl Findings {
    fn ok(&mut self, check: &str, detail: impl Into<String>) -> Result<(), CliError> {
        self.print(check, Severity::Ok, detail.into(), None)
    }

    fn note(&mut self, check: &str, detail: impl Into<String>, advice: &str) -> Result<(), CliError> {
        self.print(check, Severity::Note, detail.into(), Some(advice.to_owned()))
    }

    fn problem(&mut self, check: &str, detail: impl Into<String>, advice: &str) -> Result<(), CliError> {
        self.print(check, Severity::Problem, detail.into(), Some(advice.to_owned()))
    }

    fn print(
        &mut self,
        check: &str,
        severity: Severity,
        detail: String,
        advice: Option<String>,
    ) -> Result<(), CliError> {
        self.problems += u64::from(severity == Severity::Problem);
        let finding = Finding { check: check.to_owned(), verdict: severity, detail, advice };
        self.console.json(&finding)?;
        let mark = match severity {
            Severity::Ok => paint(GOOD, "ok      "),
            Severity::Note => paint(NOTE, "note    "),
            Severity::Problem => paint(BAD, "PROBLEM "),
        };
        self.console.say(format!("{mark} {}: {}", finding.check, finding.detail))?;
        if let Some(advice) = &finding.advice {
            self.console.say(format!("         -> {advice}"))?;
        }
        Ok(())
    }
}

/// What the command line, the environment and a profile decided, and which of them.
fn settings(settings: &Settings, findings: &mut Findings) -> Result<(), CliError> {
    if let Some(profile) = &settings.profile {
        let file = settings.config.path.display();
        findings.ok("profile", format!("{} of {file}, by {}", profile.name, profile.origin))?;
    }
    for Setting { name, value, origin } in &settings.set {
        let value = value.as_deref().unwrap_or("given");
        findings.ok(&format!("setting {name}"), format!("{value}, from {origin}"))?;
    }
    Ok(())
}

pub(crate) async fn run(args: DoctorArgs, chosen: &Settings, console: Console) -> Result<Exit, CliError> {
    let mut findings = Findings { console, problems: 0, list_stopped: false, said_of_list: None };
    settings(chosen, &mut findings)?;
    local::check(&args.data.folder(), &mut findings)?;
    if args.server {
        server::check(&args.project, &args.data, &mut findings).await?;
    }
    Ok(match findings {
        Findings { list_stopped: true, .. } => Exit::DeviceList,
        Findings { problems: 0, .. } => Exit::Done,
        _ => Exit::CheckFailed,
    })
}
