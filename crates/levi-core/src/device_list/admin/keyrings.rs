//! The members' keyrings, compared with what they should be.

use levi_types::AuthSession;

use super::{DeviceListAdmin, DeviceListError};
use crate::device_list::spoiled::{Mending, Spoiled};

impl DeviceListAdmin {
    /// The names of the members whose keyrings on the server are not what the devices on the list write. Somebody has
    /// overwritten them, which takes a token of the user's and nothing else.
    ///
    /// # Errors
    /// [`DeviceListError`]
    pub async fn spoiled_keyrings(&self) -> Result<Vec<String>, DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.lock().await;
        let spoiled = self.compare_keyrings(&auth).await?;
        Ok(self.names_of(&auth, &spoiled))
    }

    /// Writes these keyrings again, and returns the names of their members.
    ///
    /// # Errors
    /// [`DeviceListError`]
    pub async fn mend_keyrings(&self) -> Result<Vec<String>, DeviceListError> {
        let auth = self.server.session().await?;
        let _one_at_a_time = self.list.lock().await;
        let spoiled = self.compare_keyrings(&auth).await?;
        for keyring in &spoiled {
            match keyring.mending() {
                Mending::Insert(_) => self.server.insert(&auth, keyring.row.clone()).await?,
                Mending::Update(update) => self.server.update(&auth, update).await?,
            };
        }
        Ok(self.names_of(&auth, &spoiled))
    }

    async fn compare_keyrings(&self, auth: &AuthSession) -> Result<Vec<Spoiled>, DeviceListError> {
        let reads = self.reads(auth);
        let shown = self.list.shown_keyrings(&reads, &auth.user_id).await?;
        self.list.look_while_locked(&reads, &auth.user_id).await?;
        Ok(shown.map(|shown| self.list.spoiled_keyrings(&auth.user_id, &shown)).unwrap_or_default())
    }

    fn names_of(&self, auth: &AuthSession, spoiled: &[Spoiled]) -> Vec<String> {
        let Some(list) = self.list.list(&auth.user_id) else { return Vec::new() };
        let members = spoiled.iter().filter_map(|keyring| list.member(&keyring.row.member_id));
        members.map(|known| known.member.name().to_owned()).collect()
    }
}
