//! Reads the input on a thread of its own, because a read of stdin may wait forever while a signal
//! asks the command to stop.

use std::io::{self, BufRead};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::ahead::{self, Ahead};
use crate::error::CliError;
use crate::ndjson::Line;
use crate::plain_text::{LineFormat, Messages};
use crate::stop::Stop;

/// How long the input may go on after a signal: what writes it is usually stopped by the same one.
const LAST_LINES: Duration = Duration::from_secs(1);

/// An input that is being read.
pub(super) struct Reading {
    lines: Ahead,
    stop: Stop,
    /// When to stop reading, after a signal.
    until: Option<Instant>,
}

impl Reading {
    pub(super) fn start(
        input: Box<dyn BufRead + Send>,
        format: LineFormat,
        stop: Stop,
    ) -> Result<Self, CliError> {
        let (reader, lines) = ahead::channel();
        let read = move || {
            let mut messages = Messages::new(input, format);
            while let Some(line) = messages.next_message().transpose() {
                let failed = line.is_err();
                if !reader.put(line) || failed {
                    return;
                }
            }
        };
        let fail = |source| CliError::System { what: "start a thread", source };
        std::thread::Builder::new().name("input".to_owned()).spawn(read).map_err(fail)?;
        Ok(Self { lines, stop, until: None })
    }

    /// The next line; `None` at the end of the input, or a moment after a signal.
    pub(super) async fn next(&mut self) -> Option<io::Result<Line>> {
        // Without a look for a signal, which would take longer than the line does.
        if let Some(line) = self.lines.taken() {
            return Some(line);
        }
        loop {
            let until = self.until.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = sleep_until(until), if self.until.is_some() => return None,
                _ = self.stop.requested(), if self.until.is_none() => {
                    self.until = Some(Instant::now() + LAST_LINES);
                }
                line = self.lines.next() => return line,
            }
        }
    }
}
