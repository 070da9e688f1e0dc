//! `/auth/v1`: GoTrue's sign-in by password, refresh and sign-out.

mod state;

use levi_types::Wall;
use serde::Deserialize;
use serde_json::json;

pub use state::SignUps;
pub(crate) use state::{AuthState, Bearer, Issued, Refusal, User};

use super::http::{Request, Response};
use super::rest::decode;
use super::value::Uuid;

const MIN_PASSWORD_BYTES: usize = 6;

#[derive(Deserialize)]
struct PasswordGrant {
    email: String,
    password: String,
}

#[derive(Deserialize)]
struct RefreshGrant {
    refresh_token: String,
}

/// What a request to `/auth/v1` did, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthEvent {
    SignedIn,
    /// A new user signed up, who must be added to the tables.
    SignedUp(Uuid),
    /// As `SignedUp`, but the address is to be confirmed first.
    Registered(Uuid),
    Refreshed,
    Other,
}

/// Answers one request to `/auth/v1`.
pub(crate) fn answer(state: &mut AuthState, request: &Request, now: Wall) -> (Response, AuthEvent) {
    let now = now.as_millis();
    let response = match (request.method.as_str(), request.path()) {
        ("POST", "/auth/v1/token") => return token(state, request, now),
        ("POST", "/auth/v1/signup") => return sign_up(state, request, now),
        ("GET", "/auth/v1/user") => who(state, request, now),
        ("POST", "/auth/v1/logout") => sign_out(state, request, now),
        ("GET", "/auth/v1/health") => Response::json(200, br#"{"name":"GoTrue"}"#.to_vec()),
        _ => refuse(404, "not_found", "404 page not found"),
    };
    (response, AuthEvent::Other)
}

fn token(state: &mut AuthState, request: &Request, now: i64) -> (Response, AuthEvent) {
    let grant = request.query().split('&').find_map(|pair| pair.strip_prefix("grant_type=")).map(decode);
    let (issued, event) = match grant.as_deref() {
        Some("password") => match serde_json::from_slice::<PasswordGrant>(&request.body) {
            Ok(grant) => (state.with_password(&grant.email, &grant.password, now), AuthEvent::SignedIn),
            Err(_) => return (bad_json(), AuthEvent::Other),
        },
        Some("refresh_token") => match serde_json::from_slice::<RefreshGrant>(&request.body) {
            Ok(grant) => (state.refresh(&grant.refresh_token, now), AuthEvent::Refreshed),
            Err(_) => return (bad_json(), AuthEvent::Other),
        },
        _ => {
            let message = "unsupported_grant_type";
            return (refuse(400, "validation_failed", message), AuthEvent::Other);
        }
    };
    match issued {
        Ok(issued) => (issued_response(&issued), event),
        Err(refusal) => (refusal_response(refusal), AuthEvent::Other),
    }
}

/// Signs a new user up, in GoTrue's order: whether anybody may, the password, the address, who is
/// there.
fn sign_up(state: &mut AuthState, request: &Request, now: i64) -> (Response, AuthEvent) {
    let Ok(grant) = serde_json::from_slice::<PasswordGrant>(&request.body) else {
        return (bad_json(), AuthEvent::Other);
    };
    let existing = state.user_of_email(&grant.email).map(|user| user.confirmed);
    let refusal = match (state.sign_ups, existing) {
        (SignUps::Disabled, _) => refuse(422, "signup_disabled", "Signups not allowed for this instance"),
        _ if grant.password.len() < MIN_PASSWORD_BYTES => weak_password(),
        _ if !grant.email.contains('@') => {
            refuse(400, "validation_failed", "Unable to validate email address: invalid format")
        }
        (SignUps::AtOnce, Some(_)) => refuse(422, "user_already_exists", "User already registered"),
        // As if the address were new, so that nobody learns who has an account; but for the
        // identities.
        (SignUps::Confirmed, Some(true)) => new_user(&Uuid([0x5a; 16]), &grant.email, false),
        (SignUps::Confirmed, _) => match state.put_unconfirmed(&grant.email, &grant.password) {
            Some(user) => {
                return (new_user(&user.id, &user.email, true), AuthEvent::Registered(user.id));
            }
            None => refuse(500, "unexpected_failure", "Unexpected failure"),
        },
        (SignUps::AtOnce, None) => return sign_up_at_once(state, &grant, now),
    };
    (refusal, AuthEvent::Other)
}

fn sign_up_at_once(state: &mut AuthState, grant: &PasswordGrant, now: i64) -> (Response, AuthEvent) {
    let user = state.put_user(&grant.email, &grant.password);
    match state.user(user).cloned() {
        Some(user) => {
            let id = user.id;
            (issued_response(&state.start_session(user, now)), AuthEvent::SignedUp(id))
        }
        None => (refuse(500, "unexpected_failure", "Unexpected failure"), AuthEvent::Other),
    }
}

fn weak_password() -> Response {
    let (code, message) = ("weak_password", "Password should be at least 6 characters.");
    let body = json!({
        "code": 422, "error_code": code, "msg": message, "weak_password": { "reasons": ["length"] },
    });
    Response::json(422, body.to_string().into_bytes()).header("X-Sb-Error-Code", code)
}

/// A user whose address is to be confirmed, not wrapped in anything.
fn new_user(id: &Uuid, email: &str, is_new: bool) -> Response {
    let identity = json!({ "id": id.to_string(), "provider": "email", "email": email });
    let body = json!({
        "id": id.to_string(),
        "aud": "authenticated",
        "role": if is_new { "authenticated" } else { "" },
        "email": email,
        "confirmation_sent_at": "2026-01-01T00:00:00Z",
        "app_metadata": { "provider": "email", "providers": ["email"] },
        "user_metadata": {},
        "identities": if is_new { vec![identity] } else { Vec::new() },
    });
    Response::json(200, body.to_string().into_bytes())
}

fn issued_response(issued: &Issued) -> Response {
    let body = json!({
        "access_token": issued.access_token,
        "token_type": "bearer",
        "expires_in": issued.lifetime.as_secs(),
        "expires_at": issued.expires_at,
        "refresh_token": issued.refresh_token,
        "user": user_json(&issued.user),
    });
    Response::json(200, body.to_string().into_bytes())
}

fn user_json(user: &User) -> serde_json::Value {
    json!({
        "id": user.id.to_string(),
        "aud": "authenticated",
        "role": "authenticated",
        "email": user.email,
        "app_metadata": { "provider": "email", "providers": ["email"] },
        "user_metadata": {},
    })
}

fn refusal_response(refusal: Refusal) -> Response {
    let (code, message) = match refusal {
        Refusal::InvalidCredentials => ("invalid_credentials", "Invalid login credentials"),
        Refusal::EmailNotConfirmed => ("email_not_confirmed", "Email not confirmed"),
        Refusal::RefreshTokenNotFound => {
            ("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        }
        Refusal::RefreshTokenAlreadyUsed => {
            ("refresh_token_already_used", "Invalid Refresh Token: Already Used")
        }
    };
    refuse(400, code, message)
}

fn who(state: &AuthState, request: &Request, now: i64) -> Response {
    match authorized(state, request, now) {
        Ok((user, _)) => Response::json(200, user_json(&user).to_string().into_bytes()),
        Err(response) => response,
    }
}

fn sign_out(state: &mut AuthState, request: &Request, now: i64) -> Response {
    match authorized(state, request, now) {
        Ok((_, token)) => {
            state.sign_out(&token);
            Response::empty(204)
        }
        Err(response) => response,
    }
}

fn authorized(state: &AuthState, request: &Request, now: i64) -> Result<(User, String), Response> {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some(token) = token else {
        return Err(refuse(401, "no_authorization", "This endpoint requires a valid Bearer token"));
    };
    let bad_jwt = "invalid JWT: unable to parse or verify signature";
    match state.bearer(token, now) {
        Bearer::Unknown => Err(refuse(403, "bad_jwt", bad_jwt)),
        Bearer::Expired => {
            Err(refuse(403, "bad_jwt", &format!("{bad_jwt}, token has invalid claims: token is expired")))
        }
        Bearer::Valid(_) if !state.session_alive(token) => {
            Err(refuse(403, "session_not_found", "Session from session_id claim in JWT does not exist"))
        }
        Bearer::Valid(user) => match state.user(user) {
            Some(user) => Ok((user.clone(), token.to_owned())),
            None => Err(refuse(403, "user_not_found", "User from sub claim in JWT does not exist")),
        },
    }
}

fn bad_json() -> Response {
    refuse(400, "bad_json", "Could not parse request body as JSON")
}

fn refuse(status: u16, error_code: &str, msg: &str) -> Response {
    let body = json!({ "code": status, "error_code": error_code, "msg": msg });
    Response::json(status, body.to_string().into_bytes()).header("X-Sb-Error-Code", error_code)
}
