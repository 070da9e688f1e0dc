//! Signs up the user of the demo.

use levi::HttpOptions;
use levi::transport::{HttpSignIn, SignInError, SignUpError, Verdict};
use levi::types::SecretString;

use crate::error::CliError;

/// Signs a user up. Some projects let a user sign in only after the address is confirmed.
pub(crate) async fn sign_up(
    http: &HttpOptions,
    email: &str,
    password: &SecretString,
) -> Result<(), CliError> {
    match HttpSignIn::new(http)?.sign_up(email, password).await {
        Ok(_) => Ok(()),
        Err(SignUpError::SignIn(SignInError::Unavailable(error)))
            if error.verdict == Verdict::Unreachable =>
        {
            Err(SignInError::Unavailable(error).into())
        }
        Err(error) => Err(CliError::Demo(format!(
            "the project refuses to sign {email} in or up: {error}; give --email and LEVI_PASSWORD of an existing user"
        ))),
    }
}
