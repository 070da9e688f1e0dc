//! Where a command reads NDJSON from.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// A file, or stdin (`-` on the command line).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

impl From<OsString> for Input {
    fn from(argument: OsString) -> Self {
        if argument == "-" { Self::Stdin } else { Self::File(argument.into()) }
    }
}

impl Input {
    pub(crate) fn open(&self) -> Result<Box<dyn BufRead + Send>, CliError> {
        match self {
            Self::Stdin => Ok(Box::new(BufReader::new(io::stdin()))),
            Self::File(path) => open_file(path),
        }
    }

    /// Whether a person types it.
    pub(crate) fn is_terminal(&self) -> bool {
        *self == Self::Stdin && io::stdin().is_terminal()
    }

    /// An error that occurred while reading this input.
    pub(crate) fn read_error(&self, source: io::Error) -> CliError {
        match self {
            Self::Stdin => CliError::System { what: "read stdin", source },
            Self::File(path) => CliError::Input { path: path.clone(), source },
        }
    }
}

pub(crate) fn open_file(path: &Path) -> Result<Box<dyn BufRead + Send>, CliError> {
    let fail = |source| CliError::Input { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    // Opening a directory succeeds on Unix; only reading from it would fail.
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}
