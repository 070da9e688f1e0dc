//! What a person at the terminal is asked.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};

use levi::types::SecretString;

use crate::console::{Console, Format};
use crate::error::CliError;

/// The most that is read from stdin, in bytes; codes and keys are shorter.
const MAX_STDIN: u64 = 4096;

/// How often a person may answer wrongly before the command ends.
const TRIES: usize = 3;

/// Whether somebody can be shown and asked something.
pub(super) fn is_there(console: Console) -> bool {
    console.format == Format::Text && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether the person says yes. Everything but `y` and `yes` is a no.
pub(super) fn says_yes(question: &str) -> Result<bool, CliError> {
    let answer = ask(question, &mut io::stdin().lock())?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks for one group of a recovery key until it is right. Whether it was.
pub(super) fn types_back(group: usize, expected: &str) -> Result<bool, CliError> {
    types_back_from(&mut io::stdin().lock(), group, expected)
}

fn types_back_from(input: &mut impl BufRead, group: usize, expected: &str) -> Result<bool, CliError> {
    for _ in 0..TRIES {
        let typed = ask(&format!("Type group {group} of it: "), input)?;
        if typed.eq_ignore_ascii_case(expected) {
            return Ok(true);
        }
        eprintln!("That is not group {group}; look at the paper again.");
    }
    Ok(false)
}

/// What is typed without being shown.
pub(super) fn types_secret(question: &str) -> Result<SecretString, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask for the recovery key; give it with --key-stdin",
        ));
    }
    let typed = rpassword::prompt_password(question);
    typed
        .map(SecretString::new)
        .map_err(|source| CliError::System { what: "ask for the recovery key", source })
}

/// A secret on stdin.
pub(super) fn secret_from_stdin() -> Result<SecretString, CliError> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_STDIN).read_to_string(&mut text);
    read.map_err(|source| CliError::System { what: "read stdin", source })?;
    Ok(text.into())
}

fn ask(question: &str, input: &mut impl BufRead) -> Result<String, CliError> {
    let fail = |source| CliError::System { what: "ask on the terminal", source };
    let mut err = io::stderr();
    err.write_all(question.as_bytes()).and_then(|()| err.flush()).map_err(fail)?;
    let mut line = String::new();
    input.read_line(&mut line).map_err(fail)?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_counts_once_it_is_typed_as_it_is_on_the_paper() {
        let typed = |lines: &str| types_back_from(&mut lines.as_bytes(), 3, "9KQT").unwrap();
        assert!(typed("9kqt\n"));
        assert!(typed("9KQ7\n 9KQT \n"));
        assert!(!typed("1\n2\n3\n9KQT\n"), "three tries");
        assert!(!typed(""), "the terminal is closed");
    }
}
