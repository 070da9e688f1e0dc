//! One screen of a terminal that is shown again and again, beside what the terminal had before.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use console::{Term, truncate_str};

use crate::error::CliError;
use crate::style::safe;

/// To the second screen of the terminal, without a cursor. Lines that are too long are cut, because
/// one that goes on in the next row would move the others.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
/// Back to the first, with a cursor.
const CLOSE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// To the top left.
const HOME: &str = "\x1b[H";
/// Removes the rest of a line.
const REST_OF_LINE: &str = "\x1b[K";
/// Removes what is below.
const BELOW: &str = "\x1b[J";

/// The terminal's second screen. Dropping it shows the first one again, and so does a stopped process (Ctrl-Z).
pub(crate) struct Screen {
    /// Held by what writes, and while the process is stopped.
    turn: Arc<Mutex<()>>,
}

/// In characters.
#[derive(Clone, Copy, Debug)]
struct Size {
    rows: usize,
    columns: usize,
}

impl Screen {
    pub(crate) fn open() -> Result<Self, CliError> {
        let turn = Arc::default();
        #[cfg(unix)]
        suspend::close_while_stopped(Arc::clone(&turn))?;
        write(OPEN)?;
        Ok(Self { turn })
    }

    /// Replaces what is shown, without a flicker. Says how many lines there is no room for.
    pub(crate) fn show(&self, lines: &[String]) -> Result<(), CliError> {
        // Colours go where the console's go, and the terminal is moved by this screen only.
        let lines: Vec<String> = lines.iter().map(|line| coloured(&safe(line))).collect();
        let size = Term::stdout().size_checked();
        let size = size.map(|(rows, columns)| Size { rows: rows.into(), columns: columns.into() });
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        write(&frame(&lines, size))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to clean up.
        let _ = write(CLOSE);
    }
}

/// What shows `lines` in a terminal of this size, from the top. Nothing in it scrolls: there is no line break behind the
/// last row.
fn frame(lines: &[String], size: Option<Size>) -> String {
    let Size { rows, columns } = size.unwrap_or(Size { rows: usize::MAX, columns: usize::MAX });
    let shown = if lines.len() <= rows { lines.len() } else { rows.saturating_sub(1) };
    let mut all: Vec<_> = lines.iter().take(shown).map(|line| truncate_str(line, columns, "...")).collect();
    if shown < lines.len() {
        all.push(format!("... {} more", lines.len() - shown).into());
    }
    let separator = format!("\n{REST_OF_LINE}");
    let rest = if all.len() < rows { format!("\n{BELOW}") } else { String::new() };
    format!("{HOME}{REST_OF_LINE}{}{rest}", all.join(&separator))
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

#[cfg(unix)]
mod suspend {
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread;

    use nix::unistd::{getpgid, getpgrp, getppid, getsid};
    use signal_hook::consts::SIGTSTP;
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    use super::{CLOSE, OPEN, write};
    use crate::error::CliError;

    /// Gives the terminal back to the shell while the process is stopped.
    pub(super) fn close_while_stopped(turn: Arc<Mutex<()>>) -> Result<(), CliError> {
        let fail = |source| CliError::System { what: "listen for signals", source };
        let mut signals = Signals::new([SIGTSTP]).map_err(fail)?;
        let listen = move || {
            for signal in signals.forever() {
                if !is_job_of_a_shell() {
                    continue;
                }
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                // If the terminal is gone, there is nothing to give back.
                let _ = write(CLOSE);
                // Returns when the process goes on.
                let _ = emulate_default_handler(signal);
                let _ = write(OPEN);
            }
        };
        thread::Builder::new().name("screen".to_owned()).spawn(listen).map_err(fail).map(drop)
    }

    /// Whether somebody can make a stopped process go on. The system ignores Ctrl-Z for all others, such as the only
    /// program of a window.
    fn is_job_of_a_shell() -> bool {
        let parent = Some(getppid());
        let has_same_terminal = getsid(parent).is_ok_and(|session| getsid(None) == Ok(session));
        has_same_terminal && getpgid(parent) != Ok(getpgrp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[&str], size: Option<Size>) -> String {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        frame(&lines, size).replace(REST_OF_LINE, "").replace(BELOW, "<").replace(HOME, "")
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_the_last_row_has_no_line_break() {
        let lines = ["one", "two", "three"];
        let size = |rows, columns| Some(Size { rows, columns });
        assert_eq!(shown(&lines, None), "one\ntwo\nthree\n<");
        assert_eq!(shown(&lines, size(4, 80)), "one\ntwo\nthree\n<");
        assert_eq!(shown(&lines, size(3, 80)), "one\ntwo\nthree");
        assert_eq!(shown(&lines, size(2, 80)), "one\n... 2 more");
        assert_eq!(shown(&lines, size(1, 80)), "... 3 more");
        assert_eq!(shown(&lines, size(3, 4)), "one\ntwo\nt...");
        assert_eq!(shown(&["\x1b[1mtwelve\x1b[0m"], size(1, 5)), "\x1b[1mtw...\x1b[0m");
    }
}
