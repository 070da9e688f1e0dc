//! What goes to whom: results to stdout, everything else to stderr, and either text for people or JSON for machines.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::error::CliError;
use crate::progress::Progress;

/// For whom to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    pub(crate) format: Format,
}

impl Console {
    /// One line of text for people; nothing for machines.
    pub(crate) fn say(self, line: impl AsRef<str>) -> Result<(), CliError> {
        if self.format == Format::Json {
            return Ok(());
        }
        write_line(line.as_ref())
    }

    /// One JSON object on a line of its own, for machines; nothing for people.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        if self.format == Format::Text {
            return Ok(());
        }
        self.record(value)
    }

    /// One JSON object on a line of its own, whoever reads.
    #[expect(clippy::unused_self, reason = "output goes through the console")]
    pub(crate) fn record(self, value: &impl Serialize) -> Result<(), CliError> {
        let line = serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?;
        write_line(&line)
    }

    /// Something that went wrong with one line or row, beside the results.
    pub(crate) fn complain(self, complaint: &Complaint<'_>) {
        let line = match self.format {
            Format::Text => format!("levi: {complaint}"),
            Format::Json => serde_json::to_string(complaint).unwrap_or_default(),
        };
        // Where stderr is closed nobody wants to know.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// How far a long job is: a bar on a terminal, plain lines elsewhere, nothing for machines.
    pub(crate) fn progress(self, what: &'static str, total: Option<u64>) -> Progress {
        match self.format {
            Format::Json => Progress::silent(),
            Format::Text if io::stderr().is_terminal() => Progress::bar(what, total),
            Format::Text => Progress::lines(what, total),
        }
    }
}

/// What is wrong with one line of input or one row of the server. Never holds content.
#[derive(Debug, Serialize)]
pub(crate) struct Complaint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<i64>,
    pub(crate) error: String,
}

impl std::fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        match (self.session_id, self.sequence_number) {
            (Some(session), Some(number)) => write!(f, "session {session}, message {number}: ")?,
            (Some(session), None) => write!(f, "session {session}: ")?,
            (None, Some(number)) => write!(f, "message {number}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.error)
    }
}

fn write_line(line: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(CliError::Output)
}
