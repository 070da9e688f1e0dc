use crate::AccessToken;

/// The credentials for sending.
///
/// The token's `sub` says whose they are: rows that were recorded for another user are not sent
/// with it. Levi uses a token that names no user only if no user is known yet.
///
/// A daemon that refreshes tokens by itself passes it to Levi after sign-in and after each refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncContext {
    /// Sent as `Authorization: Bearer`.
    pub access_token: AccessToken,
}
