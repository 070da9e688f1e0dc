use std::fmt;

use serde::Serialize;

use super::target::Server;

/// The outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// As the contract requires.
    AsDocumented,
    /// Exactly as this server is known to differ.
    KnownDifference,
    /// Not run, because something is missing that the note names.
    NotRun,
    /// Neither. The run fails.
    Broken,
}

/// The result of one case on one server. Contains no id, token or address.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The group of cases.
    pub group: &'static str,
    /// The name of the case.
    pub name: String,
    /// What Levi must understand, and the documented codes.
    pub expected: String,
    /// HTTP status; 0 if nothing was sent.
    pub status: u16,
    /// The error code of the answer, or its status.
    pub code: String,
    /// What Levi understood.
    pub understood: String,
    /// The server's error message without ids.
    pub detail: String,
    /// The outcome.
    pub outcome: Outcome,
    /// Why the server differs, what is wrong, or what is missing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The server's name.
    pub server: &'static str,
    /// One line per case, in the suite's order.
    pub lines: Vec<Line>,
}

impl Report {
    pub(super) const fn new(server: Server, lines: Vec<Line>) -> Self {
        Self { server: server.name(), lines }
    }

    /// The cases whose outcome is [`Outcome::Broken`].
    pub fn broken(&self) -> impl Iterator<Item = &Line> {
        self.with(Outcome::Broken)
    }

    /// The cases with this outcome.
    pub fn with(&self, outcome: Outcome) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.outcome == outcome)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let mark = match line.outcome {
                Outcome::AsDocumented => "ok",
                Outcome::KnownDifference => "differs",
                Outcome::NotRun => "not run",
                Outcome::Broken => "BROKEN",
            };
            let case = format!("{}: {}", line.group, line.name);
            writeln!(f, "{mark:<8} {case:<64} {:>3} {:<10} {}", line.status, line.code, line.understood)?;
            if line.outcome == Outcome::Broken {
                writeln!(f, "         must be {}; {} {}", line.expected, line.note, line.detail)?;
            } else if line.outcome != Outcome::AsDocumented {
                writeln!(f, "         {}", line.note)?;
            }
        }
        let count = |outcome| self.with(outcome).count();
        write!(
            f,
            "{}: {} cases, {} as documented, {} known differences, {} not run, {} broken",
            self.server,
            self.lines.len(),
            count(Outcome::AsDocumented),
            count(Outcome::KnownDifference),
            count(Outcome::NotRun),
            count(Outcome::Broken),
        )
    }
}
