//! Why a request as the signed-in user failed.

use levi_transport::ApiError;
use levi_types::AuthError;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The server refused it or could not be reached.
    Api(ApiError),
    /// The server refused the token, and there is no other one.
    TokenRefused { refusal: ApiError, auth: AuthError },
}

impl From<ApiError> for RequestError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}
