//! The result of the demo, as text or JSON.

use std::time::Duration;

use serde::Serialize;

use super::check::Read;
use super::environment::Environment;
use super::send::Sent;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::{bytes, count, plural, seconds};

pub(crate) struct Figures {
    pub(crate) seed: u64,
    pub(crate) devices: u16,
    /// Until the server has everything.
    pub(crate) written: Duration,
    pub(crate) took: Duration,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seed: u64,
    server: String,
    devices: u16,
    sessions: u64,
    /// Stored in the outbox of the writing device.
    messages: u64,
    /// How many of them the server accepted.
    synced: u64,
    bad_lines: u64,
    batches: u64,
    retries: u64,
    plaintext_bytes: u64,
    sent_bytes: u64,
    outage_seconds: f64,
    write_seconds: f64,
    read_seconds: f64,
    total_seconds: f64,
    messages_read: u64,
    texts_watched_for: u64,
    looked_in: &'static str,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    plaintext_seen_by_server: u64,
}

impl Report {
    pub(crate) fn new(environment: &Environment, figures: &Figures, sent: &Sent, read: &Read) -> Self {
        Self {
            seed: figures.seed,
            server: environment.server.name(),
            devices: figures.devices,
            sessions: sent.expected.sessions(),
            messages: sent.expected.messages,
            synced: sent.synced,
            bad_lines: sent.bad_lines,
            batches: sent.status.batches_accepted,
            retries: sent.status.batches_failed,
            plaintext_bytes: sent.expected.bytes,
            sent_bytes: sent.status.bytes_sent,
            outage_seconds: sent.down.unwrap_or_default().as_secs_f64(),
            write_seconds: figures.written.as_secs_f64(),
            read_seconds: read.took.as_secs_f64(),
            total_seconds: figures.took.as_secs_f64(),
            messages_read: read.same,
            texts_watched_for: read.samples,
            looked_in: environment.server.looked_in(),
            lost: read.lost,
            duplicated: read.duplicated,
            out_of_order: read.out_of_order,
            plaintext_seen_by_server: read.leaked,
        }
    }

    pub(crate) fn print(&self, console: Console) -> Result<(), CliError> {
        console.json(self)?;
        for line in self.lines() {
            console.say(line)?;
        }
        Ok(())
    }

    pub(crate) fn exit(&self) -> Exit {
        let broken = [self.lost, self.duplicated, self.out_of_order, self.plaintext_seen_by_server];
        if broken.iter().any(|count| *count > 0) {
            Exit::CheckFailed
        } else if self.bad_lines > 0 {
            Exit::BadInput
        } else {
            Exit::Done
        }
    }

    fn lines(&self) -> Vec<String> {
        let readers = u64::from(self.devices) - 1;
        let outage = if self.outage_seconds > 0.0 {
            format!(", through an outage of {}", seconds(self.outage_seconds))
        } else {
            String::new()
        };
        let mut lines = vec![
            String::new(),
            format!("Levi demo, seed {}, against {}", self.seed, self.server),
            String::new(),
            format!(
                "  written   {} in {}, on 1 device",
                plural(self.messages, "message"),
                plural(self.sessions, "session")
            ),
            format!(
                "  synced    {} in {} ({} of text, {} on the wire){outage}",
                plural(self.synced, "message"),
                plural(self.batches, "batch"),
                bytes(self.plaintext_bytes),
                bytes(self.sent_bytes)
            ),
            format!("  retried   {}", plural(self.retries, "request")),
            format!(
                "  read      {} on {}, decrypted and compared",
                plural(self.messages_read, "message"),
                plural(readers, "other device")
            ),
            format!(
                "  time      {} ({} to write, {} to read)",
                seconds(self.total_seconds),
                seconds(self.write_seconds),
                seconds(self.read_seconds)
            ),
        ];
        if self.bad_lines > 0 {
            lines.push(format!("  skipped   {}, named above", plural(self.bad_lines, "bad line")));
        }
        lines.push(String::new());
        for (what, number) in [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("out of order", self.out_of_order),
            ("plaintext seen by the server", self.plaintext_seen_by_server),
        ] {
            lines.push(format!("  {what:<30}{:>8}", count(number)));
        }
        lines.push(format!("  ({} looked for {})", plural(self.texts_watched_for, "text"), self.looked_in));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            seed: 7,
            server: "a server".to_owned(),
            devices: 3,
            sessions: 2,
            messages: 1000,
            synced: 1000,
            bad_lines: 0,
            batches: 9,
            retries: 1,
            plaintext_bytes: 5000,
            sent_bytes: 9000,
            outage_seconds: 3.0,
            write_seconds: 1.0,
            read_seconds: 1.0,
            total_seconds: 2.0,
            messages_read: 2000,
            texts_watched_for: 400,
            looked_in: "everywhere",
            lost: 0,
            duplicated: 0,
            out_of_order: 0,
            plaintext_seen_by_server: 0,
        }
    }

    #[test]
    fn a_message_lost_duplicated_reordered_or_leaked_fails_the_demo_whatever_else_is_wrong() {
        assert_eq!(report().exit(), Exit::Done);
        assert_eq!(Report { bad_lines: 1, ..report() }.exit(), Exit::BadInput);
        let broken = [
            Report { lost: 1, ..report() },
            Report { duplicated: 1, ..report() },
            Report { out_of_order: 1, ..report() },
            Report { plaintext_seen_by_server: 1, bad_lines: 1, ..report() },
        ];
        for report in broken {
            assert_eq!(report.exit(), Exit::CheckFailed, "{report:?}");
        }
    }
}
