//! Reads rows again that could not be read, once what they wait for may have come.

use std::collections::HashMap;

use levi_transport::rows::{ChangeRow, SecretRow};
use levi_transport::{ChangesOfSession, PagedQuery as _, PassedOver, SecretsAmong};
use levi_types::SessionId;

use super::{Change, Feed, PageKeys, no_feed};
use crate::device_list::{INTERVAL, Opens};
use crate::reader::adding::{OpenedWith, Sum};
use crate::reader::arrival::Arrival;
use crate::reader::cursor::{Part, Tried};
use crate::reader::open_row::asks_for_list;
use crate::reader::waiting::{Due, MOST_ASKED, Sighting};
use crate::reader::{PulledMessage, ReadError};

/// The most pages of a merged span that are added up in one poll. The next poll continues after them.
const MOST_PAGES: usize = 4;

/// Whether a part of a session has rows that can be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    MayBe,
    /// The rest of the part is yet to be added up.
    NotKnown,
}

/// Whether a part is added up to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IsEnd {
    No,
    Yes,
}

impl<'a> Feed<'a> {
    /// Reads again what may be readable by now.
    pub(super) async fn unlock(&mut self, limit: u32) -> Result<Vec<Change>, ReadError> {
        if !self.reader.waiting().has_due() {
            self.ask_for_keys().await?;
        }
        let due = self.reader.waiting().due();
        match due {
            Some(due) => self.try_again(&due, limit).await,
            None => Ok(Vec::new()),
        }
    }

    /// Asks for the envelopes of the sessions that wait, and whether the device list has gone on.
    async fn ask_for_keys(&mut self) -> Result<(), ReadError> {
        let waiting: Vec<SessionId> = self.cursor.waiting().map(|(session, _)| session.clone()).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        self.follow_list().await?;
        let now = self.reader.clock.now().monotonic;
        let requests = self.reader.waiting().next_to_ask(&waiting, now);
        for asked in requests {
            self.ask_for_envelopes(&asked).await?;
        }
        let to_check = self.reader.waiting().next_to_check();
        match to_check {
            Some(session) => self.check_rows(&session).await,
            None => Ok(()),
        }
    }

    /// Goes on with what another process made of the device list, and asks the server for it once a
    /// minute while a row waits for that.
    async fn follow_list(&self) -> Result<(), ReadError> {
        let Some(list) = &self.reader.opening.device_list else { return Ok(()) };
        list.catch_up(self.user);
        let now = self.reader.clock.now();
        if !self.reader.waiting().needs_list() || !list.is_due(self.user, now, INTERVAL) {
            return Ok(());
        }
        if self.reader.opening.look_at_list(self.reads, self.user).await? {
            list.looked_at(now);
        }
        Ok(())
    }

    async fn ask_for_envelopes(&self, asked: &[SessionId]) -> Result<(), ReadError> {
        let query = SecretsAmong { device: &self.reader.opening.device.id, sessions: asked };
        let rows = self.reads.all(&query, &self.reads.sizes().secrets, MOST_ASKED).await?;
        let envelopes: HashMap<SessionId, SecretRow> =
            rows.into_iter().flatten().map(|row| (row.session_id.clone(), row)).collect();
        let opens = self.opens();
        for session in asked {
            let Some(known) = self.cursor.sessions.get(session) else { continue };
            let envelope = envelopes.get(session).map(|row| row.ephemeral_public_key.as_str());
            let has_key = envelope.is_none() && self.reader.has_key(self.user, session);
            let position = self.cursor.position;
            let sighting = Sighting { session, known, position, envelope, has_key, opens };
            self.reader.waiting().seen(sighting);
        }
        Ok(())
    }

    /// Asks whether the rows of a session that nothing opens are still there, until one is.
    async fn check_rows(&mut self, session: &SessionId) -> Result<(), ReadError> {
        for span in self.cursor.spans(session) {
            let query = ChangesOfSession { session, up_to: span.last };
            let body = self.reads.read_one(query.first_key(Some(&span.first.saturating_sub(1)))).await?;
            if !ChangesOfSession::keys(&body)?.is_empty() {
                return Ok(());
            }
            self.cursor.is_gone(session, span);
        }
        Ok(())
    }

    /// Reads rows again that could not be read, and returns those that can.
    async fn try_again(&mut self, due: &Due, limit: u32) -> Result<Vec<Change>, ReadError> {
        let session = &due.session;
        let mut changes = Vec::new();
        if let Some(part) = self.cursor.to_try(session) {
            match self.news(session, part).await? {
                News::NotKnown => return Ok(changes),
                News::None => self.cursor.tried_in_vain(session, part.up_to),
                News::MayBe => changes = self.read_again(session, part, limit).await?,
            }
            self.reader.waiting().sums.done(session, part);
        }
        let remains = self.cursor.sessions.get(session);
        if remains.is_none_or(|known| known.tried_to.is_none()) {
            let remained = remains.map(|known| known.unreadable.as_slice()).unwrap_or_default();
            self.reader.waiting().tried(due, self.cursor.position, remained);
        }
        Ok(changes)
    }

    /// Whether the unreadable changes of a part are others than they were, by the sum of their numbers.
    async fn news(&self, session: &SessionId, part: Part) -> Result<News, ReadError> {
        let Some(before) = part.merged else { return Ok(News::MayBe) };
        let mut keys = PageKeys::new();
        for _ in 0..MOST_PAGES {
            if self.add_page(&mut keys, session, part).await? == IsEnd::No {
                continue;
            }
            let now = self.reader.waiting().sums.of(session, part).sum;
            return Ok(if now == before { News::None } else { News::MayBe });
        }
        Ok(News::NotKnown)
    }

    /// Adds up one more page of a part. It is as long as the server answers, whatever the caller's limit, because none
    /// of it is delivered.
    async fn add_page<'k>(
        &self,
        keys: &mut PageKeys<'k>,
        session: &'k SessionId,
        part: Part,
    ) -> Result<IsEnd, ReadError>
    where
        'a: 'k,
    {
        let before = self.reader.waiting().sums.of(session, part);
        let after = before.up_to.unwrap_or(part.after);
        if after >= part.up_to {
            return Ok(IsEnd::Yes);
        }
        let opens = self.opens();
        let query = ChangesOfSession { session, up_to: part.up_to };
        let sizes = &self.reads.sizes().messages;
        let page = self.reads.page(&query, Some(&after), u32::MAX, sizes).await.map_err(no_feed)?;
        let mut sum = 0_i64;
        for row in page.rows {
            let (change_id, content) = self.open_again(keys, session, row).await?;
            if content.is_none() {
                sum = sum.wrapping_add(change_id);
            }
        }
        let up_to = page.cursor.unwrap_or(part.up_to);
        let keys = keys.get(session).and_then(|keys| keys.as_ref().ok()).map_or(0, |keys| keys.keys().len());
        let mut waiting = self.reader.waiting();
        let page = Sum { sum, up_to: Some(up_to) };
        waiting.sums.add(session, part, OpenedWith { keys, opens }, before, page);
        let is_end = waiting.sums.of(session, part).up_to >= Some(part.up_to);
        Ok(if is_end { IsEnd::Yes } else { IsEnd::No })
    }

    /// What the signed device list opens, if there is one.
    fn opens(&self) -> Option<Opens> {
        self.reader.opening.device_list.as_ref().and_then(|list| list.opens(self.user))
    }

    /// Reads a page of a part again, and returns what can be read.
    async fn read_again(
        &mut self,
        session: &SessionId,
        part: Part,
        limit: u32,
    ) -> Result<Vec<Change>, ReadError> {
        let query = ChangesOfSession { session, up_to: part.up_to };
        let sizes = &self.reads.sizes().messages;
        let page = self.reads.page(&query, Some(&part.after), limit, sizes).await.map_err(no_feed)?;
        let to = page.cursor.map_or(part.up_to, |last| last.min(part.up_to));
        let (mut keys, mut tried) = (PageKeys::new(), Vec::with_capacity(page.rows.len()));
        let mut changes = Vec::new();
        for row in page.rows {
            let (change_id, message) = self.open_again(&mut keys, session, row).await?;
            if !self.cursor.was_unreadable(session, change_id) {
                continue;
            }
            let sequence_number = message.as_ref().map_or(i64::MIN, |message| message.sequence_number);
            tried.push(Tried { change_id, sequence_number, is_readable: message.is_some() });
            changes.extend(message.map(|PulledMessage { sequence_number, content }| Change {
                session_id: session.clone(),
                sequence_number,
                content: Ok(content),
                arrival: Arrival::Unlocked,
            }));
        }
        self.cursor.tried(session, &tried, to);
        Ok(changes)
    }

    /// A row that could not be read: its change, and the message if it can be read now.
    async fn open_again<'k>(
        &self,
        keys: &mut PageKeys<'k>,
        session: &'k SessionId,
        row: Result<ChangeRow, PassedOver<i64>>,
    ) -> Result<(i64, Option<PulledMessage>), ReadError>
    where
        'a: 'k,
    {
        let row = match row {
            Ok(row) => row,
            Err(passed) => return Ok((passed.key, None)),
        };
        let (change_id, row) = (row.change_id, row.into_message());
        let content = self.open(keys, session, &row).await?;
        if content.as_ref().is_err_and(asks_for_list) {
            self.reader.waiting().may_open_by_list(session);
        }
        let sequence_number = row.sequence_number;
        Ok((change_id, content.ok().map(|content| PulledMessage { sequence_number, content })))
    }
}
