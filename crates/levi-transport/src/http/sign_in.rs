use std::fmt;

use async_trait::async_trait;
use levi_types::{RefreshToken, SecretString};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use ureq::http::Method;
use zeroize::Zeroizing;

use super::exchange::{Call, Exchange, JSON, Response, redact};
use super::options::{HttpConfigError, HttpOptions};
use crate::api_error::{ApiError, Verdict};
use crate::classify::classify_sign_in;
use crate::sign_in::{SignIn, SignInError, Tokens};
use crate::sign_up::{SignUpError, SignedUp};

/// Sign-in to a Supabase project over HTTPS (GoTrue, `/auth/v1/token`). Clones share its
/// connections.
///
/// Calls run, and are cancelled, like those of [`HttpSupabase`](crate::HttpSupabase).
#[derive(Clone)]
pub struct HttpSignIn {
    exchange: Exchange,
}

impl HttpSignIn {
    /// Checks the options. Connects at the first request.
    ///
    /// # Errors
    /// [`HttpConfigError`], which says what to change.
    pub fn new(options: &HttpOptions) -> Result<Self, HttpConfigError> {
        Ok(Self { exchange: Exchange::new(options)? })
    }

    pub(super) const fn over(exchange: Exchange) -> Self {
        Self { exchange }
    }

    /// Signs up a new user (`/auth/v1/signup`), where the project allows it.
    ///
    /// # Errors
    /// [`SignUpError`]: no response, or the sign-in server's refusal.
    pub async fn sign_up(&self, email: &str, password: &SecretString) -> Result<SignedUp, SignUpError> {
        // Exposed to be sent to the sign-in server.
        let password = password.expose();
        let request = PasswordGrant { email, password };
        let answer = self.post("/auth/v1/signup", &request, password).await.map_err(SignUpError::of)?;
        match serde_json::from_slice::<NewUser>(&answer.body) {
            Ok(NewUser { access_token: None, identities: Some(none), .. }) if none.is_empty() => {
                Err(SignUpError::AlreadyRegistered)
            }
            Ok(NewUser { access_token: None, id: Some(_), .. }) => Ok(SignedUp::ConfirmationNeeded),
            _ => Ok(SignedUp::SignedIn(tokens(&answer)?)),
        }
    }

    /// `secret` is the password or token in `request`. It is redacted from errors, because a proxy
    /// may echo it.
    async fn token(
        &self,
        grant: &str,
        request: &impl Serialize,
        secret: &str,
    ) -> Result<Tokens, SignInError> {
        tokens(&self.post(&format!("/auth/v1/token?grant_type={grant}"), request, secret).await?)
    }

    /// Returns a response that means success.
    async fn post(
        &self,
        path: &str,
        request: &impl Serialize,
        secret: &str,
    ) -> Result<Response, SignInError> {
        let mut body = Zeroizing::new(Vec::with_capacity(1024));
        if let Err(error) = serde_json::to_writer(&mut *body, request) {
            return Err(unavailable("bad_request", error.to_string()));
        }
        let call = Call {
            method: Method::POST,
            path: path.to_owned(),
            bearer: None,
            prefer: None,
            body: Some(body),
            accept: JSON,
        };
        let mut response = self.exchange.run(call).await.map_err(SignInError::Unavailable)?;
        if response.is_success() {
            return Ok(response);
        }
        redact(&mut response.body, secret.as_bytes());
        Err(classify_sign_in(response.status, response.head(), &response.body))
    }
}

#[async_trait]
impl SignIn for HttpSignIn {
    async fn with_password(&self, email: &str, password: &SecretString) -> Result<Tokens, SignInError> {
        // Exposed to be sent to the sign-in server.
        let password = password.expose();
        self.token("password", &PasswordGrant { email, password }, password).await
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<Tokens, SignInError> {
        // Exposed to be sent to the sign-in server.
        let refresh_token = refresh_token.expose();
        self.token("refresh_token", &RefreshGrant { refresh_token }, refresh_token).await
    }
}

#[derive(Serialize)]
struct PasswordGrant<'a> {
    email: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct RefreshGrant<'a> {
    refresh_token: &'a str,
}

/// A user who is not signed in yet; with `access_token` the answer is a [`Granted`].
#[derive(Deserialize)]
struct NewUser {
    access_token: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
    identities: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: String,
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

fn tokens(response: &Response) -> Result<Tokens, SignInError> {
    // The parser's message could quote a token, so it is not shown.
    let granted: Granted = serde_json::from_slice(&response.body)
        .map_err(|_| unavailable("bad_response", format!("HTTP {} without tokens", response.status)))?;
    if granted.access_token.is_empty() || granted.refresh_token.is_empty() || granted.user.id.is_empty() {
        return Err(unavailable("bad_response", "the server granted empty tokens".to_owned()));
    }
    Ok(Tokens {
        access_token: granted.access_token.into(),
        refresh_token: granted.refresh_token.into(),
        user_id: granted.user.id.into(),
    })
}

fn unavailable(code: &str, detail: String) -> SignInError {
    SignInError::Unavailable(ApiError::new(Verdict::Unreachable, code, detail))
}

impl fmt::Debug for HttpSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSignIn").finish_non_exhaustive()
    }
}
