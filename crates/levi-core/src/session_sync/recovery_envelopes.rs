//! The recovery key's envelopes, compared with what belongs there. A stolen token is enough to overwrite them, and they are
//! missed on the day on which all devices are lost. Only its sender can tell an envelope from garbage, because it makes the
//! same one again. The sender may be lost, so other devices that have the secret
//! seal some of its envelopes anew in their own name, and compare those from then on.

use std::collections::{HashMap, HashSet};

use levi_transport::rows::{DeviceRow, SecretRow};
use levi_types::{DeviceId, SessionId, UserId};
use rand::RngExt as _;

use super::SessionSyncService;
use super::share::{PAGE, Secret, Sharing};
use super::steps::Steps;
use crate::random::SharedRng;
use crate::reader::ReadError;
use crate::sync_error::SyncError;

/// A daemon seals one in so many of the envelopes of other devices anew, on average.
const ONE_OF: u32 = 8;

/// What became of the recovery key's envelopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryEnvelopes {
    /// Sessions whose envelope was missing, was not as this device had sealed it, or was in the name of no device on the
    /// list. They are written again.
    pub mended: Vec<SessionId>,
    /// Sessions whose envelope another device on the list had sealed. This device has sealed them anew in its own name, and
    /// compares them from now on.
    pub taken_over: Vec<SessionId>,
}

/// Which of the envelopes that another device on the list sealed are sealed anew. Nobody else can tell them from garbage, and
/// that device may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakeOver {
    All,
    /// One of [`ONE_OF`], drawn at random: each has its turn sooner or later, and two devices that take over from each other
    /// write little.
    Some,
}

impl SessionSyncService {
    /// Compares the recovery key's envelopes on the server with what this device seals for it, and writes again those that
    /// are missing, that this device sealed otherwise, or that no device on the list is said to have sealed. Those that
    /// another device on the list sealed it seals anew, because only that device could compare them, and it may be lost.
    ///
    /// Without a signed device list there is no recovery key, and nothing to do.
    ///
    /// # Errors
    /// [`SyncError`]; calling it again goes on.
    pub async fn mend_recovery_envelopes(&self) -> Result<RecoveryEnvelopes, SyncError> {
        self.steps.mend_recovery_envelopes(TakeOver::All).await
    }
}

impl Steps {
    /// The recovery key's id on the signed device list.
    pub(super) fn recovery_key(&self, user: &UserId) -> Option<DeviceId> {
        self.device_list.as_ref()?.list(user)?.recovery().map(|member| member.id().clone())
    }

    pub(super) async fn mend_recovery_envelopes(
        &self,
        take_over: TakeOver,
    ) -> Result<RecoveryEnvelopes, SyncError> {
        if self.device_list.is_none() {
            return Ok(RecoveryEnvelopes::default());
        }
        let auth = self.server.session().await?;
        let reads = self.server.reads(&auth, self.retries);
        let members = self.devices(&reads, &auth).await?.devices.into_iter();
        let Some(recovery) = self.recovery_key(&auth.user_id) else {
            return Ok(RecoveryEnvelopes::default());
        };
        let (recipient, devices): (Vec<DeviceRow>, Vec<DeviceRow>) =
            members.partition(|row| row.id == recovery);
        let others = devices.into_iter().map(|row| row.id).filter(|id| *id != self.device.id).collect();
        let sharing = Sharing { steps: self, reads, opening: self.opening(), auth: &auth, recipient };
        let comparison = Comparison { sharing, recovery, others, take_over };
        let (mut written, mut after) = (RecoveryEnvelopes::default(), None);
        while let Some(last) = comparison.page(after.as_ref(), &mut written).await? {
            after = Some(last);
        }
        Ok(written)
    }
}

/// A comparison of all envelopes.
struct Comparison<'a> {
    sharing: Sharing<'a>,
    recovery: DeviceId,
    /// The other devices on the list, each of which compares what it sealed itself.
    others: HashSet<DeviceId>,
    take_over: TakeOver,
}

impl Comparison<'_> {
    /// Compares the envelopes of some sessions past `after`. Returns the last one. `None`: there are no more.
    async fn page(
        &self,
        after: Option<&SessionId>,
        written: &mut RecoveryEnvelopes,
    ) -> Result<Option<SessionId>, SyncError> {
        let Sharing { steps, reads, auth, .. } = &self.sharing;
        let page = reads.sessions_of(&steps.device.id, after, PAGE).await?;
        let Some(last) = page.cursor else { return Ok(None) };
        let shown = self.shown(after, &last).await?;
        let is_compared =
            |row: &SecretRow| !self.is_of_another(shown.get(&row.session_id)) || self.takes_over();
        let own: Vec<SecretRow> = page.rows.into_iter().flatten().filter(is_compared).collect();
        self.sharing.learn_owners(&own).await?;
        let mut wrong = Vec::new();
        for row in &own {
            let found = shown.get(&row.session_id);
            wrong.extend(self.right(row, found).await?.into_iter().filter(|right| found != Some(right)));
        }
        let refused = steps.server.upsert_each(auth, &wrong).await?;
        for row in wrong.iter().filter(|row| refused.iter().all(|(refused, _)| refused != row)) {
            let of_another = self.is_of_another(shown.get(&row.session_id));
            let sessions = if of_another { &mut written.taken_over } else { &mut written.mended };
            sessions.push(row.session_id.clone());
        }
        Ok(Some(last))
    }

    /// What the server has for the recovery key, of sessions past `after` up to `last`.
    async fn shown(
        &self,
        after: Option<&SessionId>,
        last: &SessionId,
    ) -> Result<HashMap<SessionId, SecretRow>, SyncError> {
        let (mut shown, mut after) = (HashMap::new(), after.cloned());
        loop {
            let page = self.sharing.reads.sessions_of(&self.recovery, after.as_ref(), PAGE).await?;
            // One that cannot be fetched even alone is not right.
            shown.extend(page.rows.into_iter().flatten().map(|row| (row.session_id.clone(), row)));
            after = page.cursor;
            if after.as_ref().is_none_or(|cursor| cursor >= last) {
                return Ok(shown);
            }
        }
    }

    fn is_of_another(&self, found: Option<&SecretRow>) -> bool {
        found.and_then(|row| row.sender_device_id.as_ref()).is_some_and(|sender| self.others.contains(sender))
    }

    /// Whether the next envelope of another device is sealed anew.
    fn takes_over(&self) -> bool {
        match self.take_over {
            TakeOver::All => true,
            TakeOver::Some => SharedRng(&*self.sharing.steps.random).random_ratio(1, ONE_OF),
        }
    }

    /// What belongs into the recovery key's row of the session of which `own` is this device's. Nothing, if this device does
    /// not have its secret.
    async fn right(&self, own: &SecretRow, found: Option<&SecretRow>) -> Result<Vec<SecretRow>, SyncError> {
        match self.sharing.secret(own).await {
            // Which one the other device sealed is not known.
            Ok(Secret::OfSession(_)) if self.is_of_another(found) && self.has_several(&own.session_id) => {
                Ok(Vec::new())
            }
            Ok(Secret::OfSession(secret)) => self.sharing.envelope(&own.session_id, &secret),
            // The others would fail alike.
            Err(ReadError::Supabase(error)) => Err(error.into()),
            Err(ReadError::Auth(error)) => Err(error.into()),
            Ok(Secret::Another) | Err(_) => Ok(Vec::new()),
        }
    }

    /// Whether this device was given more than one secret of the session. An earlier envelope opens, too, and anybody with a
    /// token can put it back.
    fn has_several(&self, session: &SessionId) -> bool {
        let known = self.sharing.opening.stored(&self.sharing.auth.user_id, session);
        known.windows(2).any(|pair| pair[0].0.message_key() != pair[1].0.message_key())
    }
}
