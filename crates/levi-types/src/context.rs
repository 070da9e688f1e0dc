use crate::AccessToken;

/// The credentials for sending.
///
/// A daemon that refreshes tokens by itself passes it to Levi after sign-in and after each refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncContext {
    /// Sent as `Authorization: Bearer`.
    pub access_token: AccessToken,
}
