use crate::AccessToken;

/// What sending needs to know about the signed-in user.
///
/// Handed to Levi after sign-in and again whenever the daemon has a fresher token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncContext {
    /// Sent as `Authorization: Bearer`.
    pub access_token: AccessToken,
}
