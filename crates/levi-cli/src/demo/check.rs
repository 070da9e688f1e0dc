//! The reading devices: they fetch the secret, pull the messages, decrypt them, and compare them
//! with what was written.

use std::time::{Duration, Instant};

use levi::transport::Table;
use levi::{Page, PulledMessage, Reader};

use super::devices::Devices;
use super::environment::Environment;
use super::expected::{ExpectedSession, fingerprint};
use super::send::Sent;
use super::stored::StoredRows;
use crate::console::Console;
use crate::error::CliError;

/// Messages per request; the server may return fewer.
const PAGE: u32 = 1000;

/// What the reading devices found. A message counts once for each device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Messages that were read as they were written.
    pub(crate) same: u64,
    /// Messages that are absent, cannot be decrypted, or have another content.
    pub(crate) lost: u64,
    /// Messages that exist more than once, or were never written.
    pub(crate) duplicated: u64,
    /// Messages that follow one that has a higher number and was enqueued later.
    pub(crate) out_of_order: u64,
    /// Texts and secrets that the server received in the clear.
    pub(crate) leaked: u64,
    /// How many texts and secrets were looked for.
    pub(crate) samples: u64,
    pub(crate) took: Duration,
}

pub(crate) async fn check(
    environment: &Environment,
    devices: &Devices,
    sent: &mut Sent,
    console: Console,
) -> Result<Read, CliError> {
    let began = Instant::now();
    let mut progress =
        console.progress("reading", Some(sent.expected.messages * devices.readers().len() as u64));
    let mut read = Read::default();
    let messages = sent.expected.messages;
    let sessions = sent.expected.sorted();
    for (number, device) in devices.readers().iter().enumerate() {
        let reader = device.reader()?;
        // Only the traffic of the fake server is scanned. Of another one, the stored rows are.
        let mut rows = match environment.server.fake() {
            None if number == 0 => Some(StoredRows::of(environment, device)?),
            _ => None,
        };
        for session in &sessions {
            let mut comparison = Comparison::new(session);
            let mut after = None;
            while let Some((cursor, page)) = comparison.pull(&reader, after).await? {
                if let Some(rows) = &mut rows {
                    rows.scan(&session.id, after, &page).await?;
                }
                after = Some(cursor);
                progress.reached(read.same + comparison.read.same);
            }
            comparison.finish(&mut read);
        }
        if let Some(rows) = rows {
            (read.leaked, read.samples) = (rows.leaked, rows.samples);
        }
    }
    progress.finish();
    read.took = began.elapsed();
    if let Some(server) = environment.server.fake() {
        let stored = server.row_count(Table::Messages)?;
        read.duplicated += stored.saturating_sub(messages);
        // A message that was enqueued after a higher one was sent arrives after it, and rightly so.
        let overtaken = |session: &&ExpectedSession| server.overtaken(&session.id, &session.enqueued()).len();
        read.out_of_order += sessions.iter().map(overtaken).sum::<usize>() as u64;
        (read.leaked, read.samples) = (sent.samples.leaked(), sent.samples.count());
    }
    Ok(read)
}

/// Compares one session, as one device reads it, with what was written.
struct Comparison<'a> {
    session: &'a ExpectedSession,
    /// Index of the first expected message that was not read yet.
    next: usize,
    /// The highest sequence number read so far.
    last: Option<i64>,
    read: Read,
}

impl<'a> Comparison<'a> {
    fn new(session: &'a ExpectedSession) -> Self {
        Self { session, next: 0, last: None, read: Read::default() }
    }

    /// Reads the page after the cursor `after`. Returns the new cursor and the readable messages;
    /// `None` at the end.
    async fn pull(
        &mut self,
        reader: &Reader,
        after: Option<i64>,
    ) -> Result<Option<(i64, Vec<PulledMessage>)>, CliError> {
        let Page { messages, cursor } = reader.pull(&self.session.id, after, PAGE).await?;
        let mut read = Vec::with_capacity(messages.len());
        for message in messages {
            match message {
                Ok(message) => {
                    self.compare(message.sequence_number, Some(&message.content));
                    read.push(message);
                }
                Err(unreadable) => self.compare(unreadable.sequence_number, None),
            }
        }
        Ok(cursor.map(|cursor| (cursor, read)))
    }

    fn compare(&mut self, number: i64, content: Option<&str>) {
        if let Some(last) = self.last {
            self.read.duplicated += u64::from(number == last);
            self.read.out_of_order += u64::from(number < last);
            if number <= last {
                return;
            }
        }
        self.last = Some(number);
        let written = &self.session.messages;
        while written.get(self.next).is_some_and(|(expected, _)| *expected < number) {
            self.read.lost += 1;
            self.next += 1;
        }
        match written.get(self.next) {
            Some((expected, expected_fingerprint)) if *expected == number => {
                self.next += 1;
                let same = content.is_some_and(|content| fingerprint(content) == *expected_fingerprint);
                self.read.same += u64::from(same);
                self.read.lost += u64::from(!same);
            }
            // Not expected.
            _ => self.read.duplicated += 1,
        }
    }

    fn finish(self, total: &mut Read) {
        total.same += self.read.same;
        total.lost += self.read.lost + (self.session.messages.len() - self.next) as u64;
        total.duplicated += self.read.duplicated;
        total.out_of_order += self.read.out_of_order;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(read: &[(i64, Option<&str>)]) -> Read {
        let messages = [(1, "a"), (2, "b"), (3, "c")].map(|(n, content)| (n, fingerprint(content)));
        let session = ExpectedSession { id: "s".into(), messages: messages.to_vec(), enqueued: Vec::new() };
        let mut comparison = Comparison::new(&session);
        for (number, content) in read {
            comparison.compare(*number, *content);
        }
        let mut total = Read::default();
        comparison.finish(&mut total);
        total
    }

    #[test]
    fn each_kind_of_error_is_counted() {
        let whole = [(1, Some("a")), (2, Some("b")), (3, Some("c"))];
        assert_eq!(compared(&whole), Read { same: 3, ..Read::default() });
        type Pulled<'a> = &'a [(i64, Option<&'a str>)];
        let table: [(Pulled<'_>, Read); 6] = [
            (&[], Read { lost: 3, ..Read::default() }),
            (&[(1, Some("a")), (3, Some("c"))], Read { same: 2, lost: 1, ..Read::default() }),
            (&[(1, Some("a")), (2, Some("x")), (3, None)], Read { same: 1, lost: 2, ..Read::default() }),
            (&[whole[0], whole[0], whole[1], whole[2]], Read { same: 3, duplicated: 1, ..Read::default() }),
            (&[whole[0], whole[2], whole[1]], Read { same: 2, lost: 1, out_of_order: 1, ..Read::default() }),
            (
                &[whole[0], whole[1], whole[2], (9, Some("z"))],
                Read { same: 3, duplicated: 1, ..Read::default() },
            ),
        ];
        for (read, expected) in table {
            assert_eq!(compared(read), expected, "{read:?}");
        }
    }
}
