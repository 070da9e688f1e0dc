//! The device that reads, without a folder of its own.

use std::sync::Arc;

use async_trait::async_trait;
use levi::types::{AccessToken, AuthError, AuthSession};
use levi::{Auth, DevicePrivateKey, HttpSupabase, Reader, SecretsCache};
use levi_testkit::fixtures::uuid_of;
use levi_transport::user_of_token;

use crate::server::Address;
use crate::{Fallible, fixture};

/// The user whose token the server gave.
pub(crate) struct TokenAuth(pub(crate) AccessToken);

#[async_trait]
impl Auth for TokenAuth {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        let user_id = user_of_token(&self.0).ok_or(AuthError::SignedOut)?;
        Ok(AuthSession { user_id, access_token: self.0.clone() })
    }

    async fn refresh(&self, _: &AccessToken) -> Result<AuthSession, AuthError> {
        Err(AuthError::SignedOut)
    }
}

/// A device that has every session's secret.
pub(crate) fn reader(server: &Address) -> Fallible<Reader> {
    let supabase = Arc::new(HttpSupabase::new(&server.http())?);
    let auth = Arc::new(TokenAuth(server.token()));
    let device = uuid_of("device", "tablet").as_str().into();
    let key = DevicePrivateKey::generate(&mut rand::rng());
    Ok(Reader::new(supabase, auth, device, key, SecretsCache::new()).with_store(fixture::secrets()))
}
