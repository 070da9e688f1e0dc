//! `/auth/v1/token`: GoTrue's answers, told apart by `error_code`.

use serde_json::json;

use crate::contract::case::{Case, Seen};
use crate::contract::client::{Call, Reply};
use crate::contract::stage::Stage;
use crate::contract::trouble::Trouble;

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, play: fn(&Stage<'_>) -> Result<Seen, Trouble>| Case::new("sign-in", name, play);
    vec![
        case("email and password", |stage| Ok(Seen::auth(&password(stage)?))).signs_in(),
        case("a wrong password", |stage| {
            let body = json!({"email": stage.mine.user.email, "password": "not the password"});
            Ok(Seen::auth(&token(stage, "password", &body)?))
        })
        .refuses_sign_in(&["invalid_credentials"]),
        case("a refresh token", |stage| {
            let first = password(stage)?.json();
            let reply = token(stage, "refresh_token", &json!({"refresh_token": first["refresh_token"]}))?;
            let replaced = reply.json()["refresh_token"] != first["refresh_token"];
            Ok(Seen::auth(&reply).effect("a new refresh token", replaced, true))
        })
        .signs_in(),
        // A process that was killed before it had the answer has nothing else to come with.
        case("a refresh token again, as after an answer that was lost", |stage| {
            let body = json!({"refresh_token": password(stage)?.json()["refresh_token"]});
            token(stage, "refresh_token", &body)?;
            Ok(Seen::auth(&token(stage, "refresh_token", &body)?))
        })
        .signs_in(),
        case("a refresh token that never was", |stage| {
            let body = json!({"refresh_token": "levi-no-such-token"});
            Ok(Seen::auth(&token(stage, "refresh_token", &body)?))
        })
        .refuses_sign_in(&["refresh_token_not_found", "validation_failed"]),
        case("a refresh token after sign-out", |stage| {
            let session = password(stage)?.json();
            let access = session["access_token"].as_str().unwrap_or_default();
            let out = stage.send_as_is(Call::post("/auth/v1/logout?scope=local", "").token(access))?;
            if out.status != 204 {
                return Err(out.preparation("signing out"));
            }
            let body = json!({"refresh_token": session["refresh_token"]});
            Ok(Seen::auth(&token(stage, "refresh_token", &body)?))
        })
        .refuses_sign_in(&["refresh_token_not_found", "session_not_found"]),
        case("without the publishable key", |stage| {
            let user = &stage.mine.user;
            let body = json!({"email": user.email, "password": user.password}).to_string();
            let call = Call::post("/auth/v1/token?grant_type=password", body).no_key();
            Ok(Seen::auth(&stage.send_as_is(call)?))
        })
        .refuses_sign_in(&["401"]),
    ]
}

fn password(stage: &Stage<'_>) -> Result<Reply, Trouble> {
    let user = &stage.mine.user;
    token(stage, "password", &json!({"email": user.email, "password": user.password}))
}

fn token(stage: &Stage<'_>, grant: &str, body: &serde_json::Value) -> Result<Reply, Trouble> {
    stage.send_as_is(Call::post(format!("/auth/v1/token?grant_type={grant}"), body.to_string()))
}
