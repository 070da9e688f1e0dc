//! One screen of a terminal that is shown again and again, beside what the terminal had before.

use std::io::{self, Write as _};

use crate::error::CliError;
use crate::style::safe;

/// To the second screen of the terminal, without a cursor.
const OPEN: &str = "\x1b[?1049h\x1b[?25l";
/// Back to the first, with a cursor.
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";
/// To the top left.
const HOME: &str = "\x1b[H";
/// Removes the rest of a line.
const REST_OF_LINE: &str = "\x1b[K";
/// Removes what is below.
const BELOW: &str = "\x1b[J";

/// The terminal's second screen. Dropping it shows the first one again.
pub(crate) struct Screen;

impl Screen {
    pub(crate) fn open() -> Result<Self, CliError> {
        write(OPEN)?;
        Ok(Self)
    }

    /// Replaces what is shown, without a flicker. Lines beyond the terminal's height are not seen.
    pub(crate) fn show(&self, lines: &[String]) -> Result<(), CliError> {
        let mut frame = HOME.to_owned();
        for line in lines {
            // Colours go where the console's go, and the terminal is moved by this screen only.
            frame.push_str(&coloured(&safe(line)));
            frame.push_str(REST_OF_LINE);
            frame.push('\n');
        }
        frame.push_str(BELOW);
        write(&frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to clean up.
        let _ = write(CLOSE);
    }
}

fn coloured(line: &str) -> String {
    let mut bytes = Vec::with_capacity(line.len());
    let choice = anstream::AutoStream::choice(&io::stdout());
    // Writing to memory cannot fail.
    let _ = anstream::AutoStream::new(&mut bytes, choice).write_all(line.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn write(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}
