//! The recovery key on its way to the paper and back.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use levi::devices::recovery::{GROUPS, PREFIX, RecoveryKey};
use rand::RngExt as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::{KeyInput, Paper, person};
use crate::console::Console;
use crate::error::CliError;

/// A new recovery key that its person has.
pub(super) struct Written {
    pub(super) key: RecoveryKey,
    file: Option<PathBuf>,
}

impl Written {
    /// The key is worth nothing, because nothing was begun with it.
    pub(super) fn discard(self) {
        if let Some(path) = self.file {
            // If it stays, it is a key that opens nothing.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The file that it is in.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Whether a new recovery key can be given to a person here.
pub(super) fn check(paper: &Paper, console: Console) -> Result<(), CliError> {
    if paper.recovery_key_file.is_none() && !person::is_there(console) {
        return Err(CliError::Usage(
            "there is no terminal to show the recovery key on; give --recovery-key-file PATH to write it to a new file",
        ));
    }
    Ok(())
}

/// Makes a recovery key, and gives it to the person: in a file, or on the terminal, with one group
/// typed back.
pub(super) fn write_down(paper: &Paper, console: Console) -> Result<Written, CliError> {
    let key = RecoveryKey::generate(&mut UnwrapErr(SysRng));
    match &paper.recovery_key_file {
        Some(path) => {
            save(&key, path)?;
            console.say(format!("the recovery key is in {}; move it off this device", path.display()))?;
            Ok(Written { key, file: Some(path.clone()) })
        }
        None => {
            show(&key, console)?;
            Ok(Written { key, file: None })
        }
    }
}

/// Writes the key to a file that did not exist and that nobody else can read.
fn save(key: &RecoveryKey, path: &Path) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let fail = |source| CliError::File { path: path.to_owned(), source };
    let mut file = options.open(path).map_err(fail)?;
    // Exposed because this file is the paper.
    let text = key.expose_text();
    let written = file.write_all(text.expose().as_bytes()).and_then(|()| file.write_all(b"\n"));
    written.and_then(|()| file.sync_all()).map_err(fail)
}

fn show(key: &RecoveryKey, console: Console) -> Result<(), CliError> {
    // Exposed because the person writes it down now.
    let text = key.expose_text();
    console.say("\nThis is your recovery key. Write it down on paper:\n")?;
    console.say(format!("  {}\n", text.expose()))?;
    console.say(
        "It brings everything back when all devices are lost, and cuts off a thief who has one. It is \
         not stored\nanywhere else: if the devices and the key are lost, the history is lost.\n",
    )?;
    let group = UnwrapErr(SysRng).random_range(0..GROUPS);
    let groups = text.expose().strip_prefix(PREFIX).unwrap_or_default();
    let expected = groups.split('-').nth(group).unwrap_or_default();
    if person::types_back(group + 1, expected)? { Ok(()) } else { Err(CliError::NotTypedBack) }
}

/// The key that the person has, from the terminal or from stdin.
pub(super) fn read(input: &KeyInput, question: &str) -> Result<RecoveryKey, CliError> {
    let text = if input.key_stdin { person::secret_from_stdin()? } else { person::types_secret(question)? };
    // Exposed to be parsed. The error names a group and holds no text.
    Ok(RecoveryKey::parse(text.expose())?)
}
