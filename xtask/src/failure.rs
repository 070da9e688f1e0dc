use std::io;
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A step of a longer run failed; the steps after it did not run.
    #[error("step `{name}` failed ({status}); run it alone: {command}")]
    Step { name: String, status: String, command: String },
    /// Rules are broken; each was printed.
    #[error("{0} finding(s); see above")]
    Findings(usize),
    /// A program that the checks rely on failed.
    #[error("{what}: {detail}")]
    Tool { what: String, detail: String },
    /// A file could not be read, or a program not started.
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl Failure {
    /// 2 for a wrong command line, 1 for everything else.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Usage(_)) { 2 } else { 1 })
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
