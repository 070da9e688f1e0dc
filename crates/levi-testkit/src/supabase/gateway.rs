//! The gateway in front of the services: checks keys and determines the role of a request.

use levi_types::Wall;

use super::auth::{AuthState, Bearer};
use super::http::{Request, Response};
use super::rest::decode;
use super::rest::error::RestError;
use super::role::Role;

/// The two keys of a project.
pub(crate) struct Keys {
    pub(crate) publishable: String,
    pub(crate) secret: String,
}

/// The key of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Publishable,
    Secret,
}

impl Keys {
    /// Returns the key of a request, or the gateway's error.
    pub(crate) fn check(&self, request: &Request) -> Result<Key, Response> {
        let in_query =
            || request.query().split('&').find_map(|pair| pair.strip_prefix("apikey=")).map(decode);
        let key = request.header("apikey").map(str::to_owned).or_else(in_query);
        match key {
            Some(key) if key == self.publishable => Ok(Key::Publishable),
            Some(key) if key == self.secret => Ok(Key::Secret),
            Some(_) => {
                Err(refuse("Invalid API key", "Double check your Supabase `anon` or `service_role` API key."))
            }
            None => Err(refuse(
                "No API key found in request",
                "No `apikey` request header or url param was found.",
            )),
        }
    }
}

fn refuse(message: &str, hint: &str) -> Response {
    let body = serde_json::json!({ "message": message, "hint": hint });
    Response::json(401, body.to_string().into_bytes())
}

/// As in PostgREST, a bearer token in `Authorization` determines the role; without one, the key
/// does.
pub(crate) fn role(auth: &AuthState, key: Key, request: &Request, now: Wall) -> Result<Role, RestError> {
    let without_token = match key {
        Key::Publishable => Role::Anon,
        Key::Secret => Role::Service,
    };
    let Some((scheme, token)) = request.header("authorization").map(|v| v.split_once(' ').unwrap_or((v, "")))
    else {
        return Ok(without_token);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(without_token);
    }
    let token = token.trim();
    if token.is_empty() {
        return Err(RestError::empty_jwt());
    }
    match auth.bearer(token, now.as_millis()) {
        Bearer::Valid(user) => Ok(Role::Authenticated(user)),
        Bearer::Expired => Err(RestError::jwt_expired()),
        Bearer::Unknown => {
            let parts = token.split('.').count();
            Err(if parts == 3 { RestError::unknown_key() } else { RestError::not_a_jwt(parts) })
        }
    }
}
