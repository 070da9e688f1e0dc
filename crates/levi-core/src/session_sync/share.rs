//! A device that was registered later gets the secrets of the sessions that this device can read.

use levi_crypto::SessionSecret;
use levi_transport::rows::{DeviceRow, SecretRow};
use levi_transport::{ApiError, Verdict};
use levi_types::{AuthSession, DeviceId, ReceivedSecret, SenderKey, SessionId};

use super::SessionSyncService;
use super::steps::Steps;
use crate::opening::Opening;
use crate::reader::ReadError;
use crate::reads::Reads;
use crate::secrets_cache::KeySource;
use crate::sync_error::SyncError;

/// Envelopes in one request.
pub(super) const PAGE: u32 = 200;

/// The most sessions that are gone through.
const MOST_SESSIONS: usize = 1_000_000;

/// The sessions that were shared with a device.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct BackfillReport {
    /// Sessions that the device can read now.
    pub shared: Vec<SessionId>,
    /// Sessions that were not shared, and why: this device cannot open its own envelope, or the server refused the new
    /// one. Calling again tries them again.
    pub unreadable: Vec<(SessionId, String)>,
}

impl SessionSyncService {
    /// Gives `device` an envelope for every session that this device can read. `device` may be this one: then it has under
    /// its own name what others sealed for it, and reads it whatever becomes of them.
    ///
    /// # Errors
    /// [`SyncError::NoDeviceIdentity`] if `device` is not an active device of this user with a usable key;
    /// otherwise the server's error. Calling it again does no harm.
    pub async fn share_with_device(&self, device: &DeviceId) -> Result<BackfillReport, SyncError> {
        device.check()?;
        let steps = &self.steps;
        let auth = steps.server.session().await?;
        let reads = steps.server.reads(&auth, steps.retries);
        let devices = steps.devices(&reads, &auth).await?.devices.into_iter();
        let recipient: Vec<DeviceRow> = devices.filter(|row| row.id == *device).collect();
        if recipient.is_empty() {
            return Err(SyncError::NoDeviceIdentity);
        }
        let sharing = Sharing { steps, reads, opening: steps.opening(), auth: &auth, recipient };
        let mut report = BackfillReport::default();
        let mut after: Option<SessionId> = None;
        loop {
            let page = sharing.reads.sessions_of(&steps.device.id, after.as_ref(), PAGE).await?;
            let Some(cursor) = page.cursor else { return Ok(report) };
            after = Some(cursor);
            let mut own = Vec::with_capacity(page.rows.len());
            for row in page.rows {
                match row {
                    Ok(row) => own.push(row),
                    Err(row) => report.unreadable.push((row.key, row.error.to_string())),
                }
            }
            sharing.learn_owners(&own).await?;
            sharing.share(&own, &mut report).await?;
            if report.shared.len() + report.unreadable.len() > MOST_SESSIONS {
                let detail = format!("more than {MOST_SESSIONS} sessions; is this the right project?");
                return Err(ApiError::new(Verdict::Unexpected, "too_many_rows", detail).into());
            }
        }
    }
}

/// A secret that this device could give.
pub(super) enum Secret {
    OfSession(SessionSecret),
    /// This device made one of its own, for a session that another device began.
    Another,
}

/// Sharing with one device.
pub(super) struct Sharing<'a> {
    pub(super) steps: &'a Steps,
    pub(super) reads: Reads<'a>,
    pub(super) opening: Opening,
    pub(super) auth: &'a AuthSession,
    pub(super) recipient: Vec<DeviceRow>,
}

impl Sharing<'_> {
    /// One request for all owners, in place of one for each session.
    pub(super) async fn learn_owners(&self, own: &[SecretRow]) -> Result<(), SyncError> {
        let mut sessions = own.iter().map(|row| &row.session_id).filter(|session| session.check().is_ok());
        match (sessions.next(), sessions.next_back()) {
            (Some(first), Some(last)) => Ok(self.reads.learn_owners(first, last).await?),
            _ => Ok(()),
        }
    }

    /// Sends envelopes for the recipient, for each session whose secret this device has.
    async fn share(&self, own: &[SecretRow], report: &mut BackfillReport) -> Result<(), SyncError> {
        let mut rows = Vec::with_capacity(own.len());
        for row in own {
            let session = &row.session_id;
            match self.secret(row).await {
                Ok(Secret::OfSession(secret)) => rows.append(&mut self.envelope(session, &secret)?),
                Ok(Secret::Another) => {
                    let why = SyncError::OtherSecret(session.clone()).to_string();
                    report.unreadable.push((session.clone(), why));
                }
                // The others would fail alike.
                Err(ReadError::Supabase(error)) => return Err(error.into()),
                Err(ReadError::Auth(error)) => return Err(error.into()),
                Err(error) => report.unreadable.push((session.clone(), error.to_string())),
            }
        }
        let refused = self.steps.server.upsert_each(self.auth, &rows).await?;
        for row in &rows {
            let session = row.session_id.clone();
            if row.device_id == self.steps.device.id {
                self.keep(row);
            }
            match refused.iter().find(|(refused, _)| refused.session_id == session) {
                Some((_, error)) => report.unreadable.push((session, error.to_string())),
                None => report.shared.push(session),
            }
        }
        Ok(())
    }

    /// The session's secret: this device's own, else the one in its envelope, else an earlier one. What the server
    /// shows is not passed on where this device knows better, but neither is an own secret for another device's session.
    pub(super) async fn secret(&self, row: &SecretRow) -> Result<Secret, ReadError> {
        let (user, session) = (&self.auth.user_id, &row.session_id);
        session.check()?;
        let stored = self.opening.stored(user, session).into_iter().next();
        if let Some((own, KeySource::ThisDevice)) = stored {
            return Ok(if self.is_of_session(row, &own).await? {
                Secret::OfSession(own)
            } else {
                Secret::Another
            });
        }
        let opened = self.opening.open(&self.reads, user, session, row).await;
        match opened {
            Err(error @ (ReadError::UnknownSender | ReadError::Envelope(_))) => {
                let stored = self.opening.stored(user, session).into_iter().next();
                stored.map(|(secret, _)| Secret::OfSession(secret)).ok_or(error)
            }
            opened => opened.map(Secret::OfSession),
        }
    }

    /// Whether this device's own secret is the session's: the session is this device's, or the secret is the one in its
    /// envelope, as far as that can be opened.
    async fn is_of_session(&self, row: &SecretRow, own: &SessionSecret) -> Result<bool, ReadError> {
        let (this_device, session) = (&self.steps.device.id, &row.session_id);
        if row.sender_device_id.as_ref() == Some(this_device) {
            return Ok(true);
        }
        match self.opening.open(&self.reads, &self.auth.user_id, session, row).await {
            Ok(found) if found.message_key() == own.message_key() => Ok(true),
            Ok(_) => Ok(self.reads.session_owner(session).await?.is_none_or(|owner| owner == *this_device)),
            Err(error @ (ReadError::Supabase(_) | ReadError::Auth(_))) => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// What this device has sealed for itself it has without asking the server, too.
    fn keep(&self, row: &SecretRow) {
        let (user, session, own) = (&self.auth.user_id, &row.session_id, &self.steps.device);
        let Some((secret, _)) = self.opening.stored(user, session).into_iter().next() else { return };
        let sender = SenderKey { device_id: own.id.clone(), public_key: own.key.public_key().to_base64() };
        // Exposed to the store, which encrypts it.
        let received = ReceivedSecret { secret: secret.expose().into(), sender: Some(sender) };
        if let Err(error) = self.steps.store.keep_received_secret(user, session, &received) {
            tracing::warn!(session_id = %session, "the secret could not be kept: {error}");
        }
    }

    /// The envelope for the recipient.
    pub(super) fn envelope(
        &self,
        session: &SessionId,
        secret: &SessionSecret,
    ) -> Result<Vec<SecretRow>, SyncError> {
        let (distribution, rows) = self.steps.envelopes(self.auth, session, secret, &self.recipient);
        match distribution.skipped.into_iter().next() {
            Some((_, error)) => Err(error.into()),
            None => Ok(rows),
        }
    }
}
