//! Output: results go to stdout, diagnostics and progress to stderr, as text for people or as JSON
//! for programs.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::error::CliError;
use crate::notice::Notice;
use crate::progress::Progress;
use crate::style::{FAINT, STRONG, paint, safe};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What is written besides results and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extras {
    /// Progress, and hints at what to do next.
    Shown,
    /// `--quiet`
    Hidden,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    pub(crate) format: Format,
    pub(crate) extras: Extras,
}

impl Console {
    /// Writes one line to stdout, unless the format is JSON.
    pub(crate) fn say(self, line: impl AsRef<str>) -> Result<(), CliError> {
        if self.format == Format::Json {
            return Ok(());
        }
        writeln!(anstream::stdout().lock(), "{}", safe(line.as_ref())).map_err(CliError::Output)
    }

    /// Writes a hint at what to do next to stderr, unless the format is JSON or hints are hidden.
    pub(crate) fn hint(self, hint: impl AsRef<str>) {
        if self.format == Format::Text && self.extras == Extras::Shown {
            // If stderr is closed, nobody needs a hint.
            let _ = writeln!(anstream::stderr(), "{}", safe(&paint(FAINT, hint.as_ref())));
        }
    }

    /// Writes one line of JSON to stdout, if the format is JSON.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        if self.format == Format::Text {
            return Ok(());
        }
        self.record(value)
    }

    /// Writes one line of JSON to stdout in both formats: NDJSON that `levi sync` reads.
    #[expect(clippy::unused_self, reason = "output goes through the console")]
    pub(crate) fn record(self, value: &impl Serialize) -> Result<(), CliError> {
        let line = serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?;
        write_line(&line)
    }

    /// Writes what is wrong to stderr.
    pub(crate) fn report(self, diagnostic: &Diagnostic<'_>) {
        self.tell(diagnostic);
    }

    /// Writes what is no error to stderr, unless it is hidden.
    pub(crate) fn notice(self, notice: &Notice) {
        if self.extras == Extras::Shown || notice.is_warning() {
            self.tell(notice);
        }
    }

    /// Writes one line to stderr.
    fn tell(self, news: &(impl fmt::Display + Serialize)) {
        let line = match self.format {
            Format::Text => safe(&format!("{} {news}", paint(STRONG, "levi:"))),
            Format::Json => serde_json::to_string(news).unwrap_or_default(),
        };
        // If stderr is closed, nobody reads diagnostics, and the work goes on.
        if self.format == Format::Text && io::stderr().is_terminal() {
            // A progress bar may be on the line; it draws itself again below.
            let _ = io::stderr().write_all(b"\r\x1b[2K");
        }
        let _ = writeln!(anstream::stderr(), "{line}");
    }

    /// Progress of a long job: a bar on a terminal, plain lines elsewhere, nothing if the format is
    /// JSON or it is hidden.
    pub(crate) fn progress(self, what: &'static str, total: Option<u64>) -> Progress {
        match self.format {
            Format::Json => Progress::silent(),
            Format::Text if self.extras == Extras::Hidden => Progress::silent(),
            Format::Text if io::stderr().is_terminal() => Progress::bar(what, total),
            Format::Text => Progress::lines(what, total),
        }
    }
}

/// An error, and the line of input or the row of the server that it is about, if it is about one.
/// Never holds content.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Diagnostic<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<i64>,
    pub(crate) error: String,
}

impl Diagnostic<'_> {
    /// About no line and no row.
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), ..Self::default() }
    }

    /// About one line of the input, counted from 1.
    pub(crate) fn at_line(line: u64, error: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::new(error) }
    }
}

impl fmt::Display for Diagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
