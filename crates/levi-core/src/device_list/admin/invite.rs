//! Pairing on the device that is on the list: it shows a code, and adds the device that answers.

use std::time::Duration;

use levi_devices::entry::SignedEntry;
use levi_devices::pairing::{Invitation, PairingError};
use levi_transport::rows::{PairingRow, decode_rows};
use levi_transport::{Select, Update, read_one};
use levi_types::{AuthSession, DeviceId, SecretString};
use serde::Serialize;

pub use levi_devices::pairing::PairingRequest;

use super::append::keyring_rows;
use super::{DeviceListAdmin, DeviceListError};
use crate::device_list::record::Keyrings;

/// How long the new device may take to answer after the user has said yes.
const COSIGN_WITHIN: Duration = Duration::from_secs(120);

/// A code that this device shows.
pub struct OpenInvitation<'a> {
    admin: &'a DeviceListAdmin,
    auth: AuthSession,
    invitation: Invitation,
}

/// The columns of a pairing that the device on the list writes.
#[derive(Serialize)]
struct Answered<'a> {
    answer: &'a str,
}

/// What is left of a pairing that is over.
#[derive(Serialize)]
struct Emptied {
    request: &'static str,
    answer: Option<&'static str>,
    cosignature: Option<&'static str>,
}

impl DeviceListAdmin {
    /// Makes a pairing code, valid for ten minutes.
    ///
    /// # Errors
    /// [`DeviceListError::NoList`] if there is no list, [`DeviceListError::Problem`] if this device is not on it or it
    /// cannot be relied on; otherwise as named.
    pub async fn invite(&self) -> Result<OpenInvitation<'_>, DeviceListError> {
        let auth = self.server.session().await?;
        let one_at_a_time = self.list.0.changing.lock().await;
        self.current(&auth).await?;
        drop(one_at_a_time);
        let invitation = Invitation::new(&auth.user_id, self.now_ms(), &mut self.list.random());
        // By this row the new device recognizes a wrong code at once. It is not deleted, because it
        // says nothing without the code.
        let shown = PairingRow {
            user_id: auth.user_id.clone(),
            id: invitation.shown_id(),
            request: String::new(),
            answer: None,
            cosignature: None,
        };
        self.server.upsert(&auth, &[shown]).await?;
        Ok(OpenInvitation { admin: self, auth, invitation })
    }
}

impl OpenInvitation<'_> {
    /// The code to show to the person, who types it on the new device. Comment each call with the reason for the exposure.
    pub fn expose_code(&self) -> SecretString {
        self.invitation.expose_code()
    }

    /// Waits until a device asks to be added. The person then compares its name and fingerprint with what the new device
    /// shows.
    ///
    /// # Errors
    /// [`DeviceListError::TimedOut`]; [`DeviceListError::Pairing`] for an expired code or a request that was altered.
    pub async fn request(&self, within: Duration) -> Result<PairingRequest, DeviceListError> {
        let (admin, patience) = (self.admin, self.admin.patience(within));
        let row = loop {
            let row = admin.pairing(&self.auth, &self.invitation.row_id()).await?;
            match row.filter(|row| !row.request.is_empty()) {
                Some(row) => break row,
                None => patience.wait().await?,
            }
        };
        Ok(self.invitation.open_request(&row.request, admin.now_ms())?)
    }

    /// Tells the device that asked that it is not added, because the person said no.
    ///
    /// # Errors
    /// [`DeviceListError`]; it is not added then either.
    pub async fn decline(self, request: &PairingRequest) -> Result<(), DeviceListError> {
        let Self { admin, auth, invitation } = self;
        let row_id = invitation.row_id();
        let answer = invitation.decline(request, &mut admin.list.random())?;
        admin.update_pairing(&auth, &row_id, &Answered { answer: &answer }).await
    }

    /// Adds the device that asked, because the person said yes. Returns its id: all sessions are then to be shared with it
    /// (`SessionSyncService::share_with_device`).
    ///
    /// # Errors
    /// [`DeviceListError`]; the device is not on the list then, unless the server did not answer.
    pub async fn accept(self, request: PairingRequest) -> Result<DeviceId, DeviceListError> {
        let Self { admin, auth, invitation } = self;
        let (new, row_id) = (request.member().id().clone(), invitation.row_id());
        let list = {
            let _one_at_a_time = admin.list.0.changing.lock().await;
            admin.current(&auth).await?
        };
        let stamp = admin.stamp(&auth, &list).await?.ok_or(PairingError::ListChanged)?;
        let signer = (admin.list.device_id(), &admin.list.0.keys);
        let (answer, pending) = invitation.answer(request, &list, signer, stamp, &mut admin.list.random())?;
        admin.update_pairing(&auth, &row_id, &Answered { answer: &answer }).await?;
        let patience = admin.patience(COSIGN_WITHIN);
        let cosignature = loop {
            match admin.pairing(&auth, &row_id).await?.and_then(|row| row.cosignature) {
                Some(cosignature) => break cosignature,
                None => patience.wait().await?,
            }
        };
        let _one_at_a_time = admin.list.0.changing.lock().await;
        let list = admin.current(&auth).await?;
        let signed = pending.finish(&list, &cosignature)?;
        admin.add(&auth, list, signed, &new).await?;
        // Its content is no longer needed. The row stays, empty, so that the code cannot be used again.
        let emptied = Emptied { request: "", answer: None, cosignature: None };
        admin.update_pairing(&auth, &row_id, &emptied).await?;
        Ok(new)
    }
}

impl DeviceListAdmin {
    async fn add(
        &self,
        auth: &AuthSession,
        mut list: levi_devices::list::DeviceList,
        signed: SignedEntry,
        new: &DeviceId,
    ) -> Result<(), DeviceListError> {
        list.accept(&signed)?;
        let keyring = self.keyring(auth)?;
        // Before the entry: nobody reads a keyring without its entry, and the new device finds both at once.
        let rows = keyring_rows(&list, &keyring, std::iter::once(new))?;
        self.server.upsert(auth, &rows).await?;
        if !self.insert(auth, &signed).await? {
            return Err(PairingError::ListChanged.into());
        }
        Ok(self.list.keep_change(list, Some(keyring), Keyrings::Written)?)
    }

    /// The pairing, if its row is there.
    pub(super) async fn pairing(
        &self,
        auth: &AuthSession,
        id: &str,
    ) -> Result<Option<PairingRow>, DeviceListError> {
        let rows = read_one(&self.reads(auth), Select::pairing(&auth.user_id, id)).await?;
        Ok(decode_rows::<PairingRow>(&rows)?.into_iter().next())
    }

    pub(super) async fn update_pairing(
        &self,
        auth: &AuthSession,
        id: &str,
        columns: &impl Serialize,
    ) -> Result<(), DeviceListError> {
        let body = serde_json::to_vec(columns).unwrap_or_default();
        let found = self.server.update(auth, Update::pairing(&auth.user_id, id, body)).await?;
        if found { Ok(()) } else { Err(DeviceListError::TimedOut) }
    }
}
