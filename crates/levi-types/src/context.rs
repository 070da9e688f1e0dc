use crate::AccessToken;

/// The credentials for sending.
///
/// Whose they are is what the token says (`sub`): what was recorded for another user is not sent with it. A token
/// that names no user is not used.
///
/// A daemon that refreshes tokens by itself passes it to Levi after sign-in and after each refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncContext {
    /// Sent as `Authorization: Bearer`.
    pub access_token: AccessToken,
}
