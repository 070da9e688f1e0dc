//! The last number of a session, as the server knows it.

use std::sync::Arc;

use levi_transport::Supabase;
use levi_types::{Auth, SessionId};

use crate::secrets_cache::SecretsCache;
use crate::server::Server;
use crate::sync_error::SyncError;

/// The highest sequence number of a session's messages on the server; `None` if it shows none.
///
/// # Errors
/// [`SyncError`] if there is no sign-in, or the server does not answer.
pub async fn last_sequence_number(
    supabase: Arc<dyn Supabase>,
    auth: Arc<dyn Auth>,
    cache: SecretsCache,
    session: &SessionId,
) -> Result<Option<i64>, SyncError> {
    let server = Server::new(supabase, auth, cache);
    let auth = server.session().await?;
    Ok(server.last_sequence_number(&auth, session).await?)
}
