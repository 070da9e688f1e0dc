//! Pairing on the new device, with the code that a device on the list shows.

use std::time::Duration;

use levi_devices::pairing::{Join, PairingCode, PairingError};
use levi_transport::rows::PairingRow;
use serde::Serialize;

use super::{DeviceListAdmin, DeviceListError};
use crate::device_list::fetch::all_rows;

/// The column of a pairing that the new device writes last.
#[derive(Serialize)]
struct Cosigned<'a> {
    cosignature: &'a str,
}

impl DeviceListAdmin {
    /// Asks to be put on the list under `name`, with the code that a device on it shows, and waits until it is there.
    ///
    /// Meanwhile the person compares this device's name and [`fingerprint`](Self::fingerprint) with what the other device
    /// shows, and says yes there.
    ///
    /// # Errors
    /// [`DeviceListError::CodeNotShown`], [`DeviceListError::CodeUsed`], [`DeviceListError::TimedOut`], [`DeviceListError::AlreadyListed`],
    /// [`DeviceListError::Pairing`]; otherwise as named.
    pub async fn join(
        &self,
        code: &PairingCode,
        name: &str,
        within: Duration,
    ) -> Result<(), DeviceListError> {
        let auth = self.server.session().await?;
        let one_at_a_time = self.list.0.changing.lock().await;
        self.begin_anew(&auth).await?;
        drop(one_at_a_time);
        let user = &auth.user_id;
        let join = Join::new(user, code, self.this_device(name)?, &mut self.list.random());
        if self.pairing(&auth, &join.shown_id()).await?.is_none() {
            return Err(DeviceListError::CodeNotShown);
        }
        let (id, request) = (join.row_id(), join.request(&mut self.list.random())?);
        let row =
            PairingRow { user_id: user.clone(), id: id.clone(), request, answer: None, cosignature: None };
        if !self.server.insert(&auth, row).await? {
            return Err(DeviceListError::CodeUsed);
        }
        let patience = self.patience(within);
        let answer = loop {
            match self.pairing(&auth, &id).await?.and_then(|row| row.answer) {
                Some(answer) => break answer,
                None => patience.wait().await?,
            }
        };
        let answer = join.open_answer(&answer)?;
        let rows = all_rows(&self.reads(&auth), user).await?;
        let cosignature = join.cosign(&answer, &rows, &self.list.0.keys)?.to_base64();
        self.update_pairing(&auth, &id, &Cosigned { cosignature: &cosignature }).await?;
        let list = loop {
            let rows = all_rows(&self.reads(&auth), user).await?;
            match join.finish(&answer, &rows) {
                Ok(list) => break list,
                Err(PairingError::NotAdded) => patience.wait().await?,
                Err(error) => return Err(error.into()),
            }
        };
        let _one_at_a_time = self.list.0.changing.lock().await;
        Ok(self.list.adopt(&self.reads(&auth), list).await?)
    }
}
