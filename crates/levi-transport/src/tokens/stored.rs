//! The stored sign-in: one JSON object under one name, so that it changes in one write.

use levi_types::{CredentialName, Credentials, CredentialsError, PortErrorKind, SecretString};
use serde::{Deserialize, Serialize};

use crate::port::Tokens;

#[derive(Serialize)]
struct Written<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
    user_id: &'a str,
}

#[derive(Deserialize)]
struct Read {
    access_token: String,
    refresh_token: String,
    user_id: String,
}

pub(super) fn load(credentials: &dyn Credentials) -> Result<Option<Tokens>, CredentialsError> {
    let Some(secret) = credentials.load(&CredentialName::SignIn)? else { return Ok(None) };
    // Exposed to be taken apart into tokens, which are secrets again.
    match serde_json::from_str::<Read>(secret.expose()) {
        Ok(read) => Ok(Some(Tokens {
            access_token: read.access_token.into(),
            refresh_token: read.refresh_token.into(),
            user_id: read.user_id.into(),
        })),
        // The parser's own words could quote a token, so they are not passed on.
        Err(_) => {
            Err(CredentialsError::new(PortErrorKind::Corrupt, "the sign-in has another form; sign in again"))
        }
    }
}

pub(super) fn save(credentials: &dyn Credentials, tokens: &Tokens) -> Result<(), CredentialsError> {
    let written = Written {
        // Exposed to the credentials store, which is where they are kept.
        access_token: tokens.access_token.expose(),
        refresh_token: tokens.refresh_token.expose(),
        user_id: tokens.user_id.as_str(),
    };
    let text = serde_json::to_string(&written)
        .map_err(|error| CredentialsError::new(PortErrorKind::Corrupt, error.to_string()))?;
    credentials.save(&CredentialName::SignIn, &SecretString::new(text))
}
