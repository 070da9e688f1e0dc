//! `/auth/v1/token`: GoTrue's answers, distinguished by `error_code`.

use serde_json::json;

use crate::contract::case::{Case, Seen};
use crate::contract::client::{Call, Reply};
use crate::contract::environment::Environment;
use crate::contract::error::ContractError;

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, run: fn(&Environment<'_>) -> Result<Seen, ContractError>| {
        Case::new("sign-in", name, run)
    };
    vec![
        case("email and password", |env| Ok(Seen::auth(&password(env)?))).signs_in(),
        case("a wrong password", |env| {
            let body = json!({"email": env.mine.user.email, "password": "not the password"});
            Ok(Seen::auth(&token(env, "password", &body)?))
        })
        .refuses_sign_in(&["invalid_credentials"]),
        case("a refresh token", |env| {
            let first = password(env)?.json();
            let reply = token(env, "refresh_token", &json!({"refresh_token": first["refresh_token"]}))?;
            let replaced = reply.json()["refresh_token"] != first["refresh_token"];
            Ok(Seen::auth(&reply).effect("a new refresh token", replaced, true))
        })
        .signs_in(),
        // A process that was killed before it received the answer has only this token.
        case("a refresh token again, as after an answer that was lost", |env| {
            let body = json!({"refresh_token": password(env)?.json()["refresh_token"]});
            token(env, "refresh_token", &body)?;
            Ok(Seen::auth(&token(env, "refresh_token", &body)?))
        })
        .signs_in(),
        case("a refresh token that never was", |env| {
            let body = json!({"refresh_token": "levi-no-such-token"});
            Ok(Seen::auth(&token(env, "refresh_token", &body)?))
        })
        .refuses_sign_in(&["refresh_token_not_found", "validation_failed"]),
        case("a refresh token after sign-out", |env| {
            let session = password(env)?.json();
            let access = session["access_token"].as_str().unwrap_or_default();
            let out = env.send_as_is(Call::post("/auth/v1/logout?scope=local", "").token(access))?;
            if out.status != 204 {
                return Err(out.preparation("signing out"));
            }
            let body = json!({"refresh_token": session["refresh_token"]});
            Ok(Seen::auth(&token(env, "refresh_token", &body)?))
        })
        .refuses_sign_in(&["refresh_token_not_found", "session_not_found"]),
        case("without the publishable key", |env| {
            let user = &env.mine.user;
            let body = json!({"email": user.email, "password": user.password}).to_string();
            let call = Call::post("/auth/v1/token?grant_type=password", body).no_key();
            Ok(Seen::auth(&env.send_as_is(call)?))
        })
        .refuses_sign_in(&["401"]),
    ]
}

fn password(env: &Environment<'_>) -> Result<Reply, ContractError> {
    let user = &env.mine.user;
    token(env, "password", &json!({"email": user.email, "password": user.password}))
}

fn token(env: &Environment<'_>, grant: &str, body: &serde_json::Value) -> Result<Reply, ContractError> {
    env.send_as_is(Call::post(format!("/auth/v1/token?grant_type={grant}"), body.to_string()))
}
