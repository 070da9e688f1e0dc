//! Sign-in and refresh with GoTrue's rules, over a real socket and a virtual clock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::sync::Arc;
use std::time::Duration;

use levi_testkit::clock::VirtualClock;
use levi_testkit::supabase::FakeSupabase;
use raw::{Answer, Raw, User, request};
use serde_json::json;

fn auth(server: &FakeSupabase, target: &str, body: serde_json::Value) -> Answer {
    let headers = [("apikey", server.publishable_key()), ("Content-Type", "application/json")];
    let bytes = request("POST", target, &headers, body.to_string().as_bytes());
    Raw::connect(server).unwrap().exchange(&bytes).unwrap()
}

fn password(server: &FakeSupabase, password: &str) -> Answer {
    let body = json!({ "email": "ada@example.org", "password": password });
    auth(server, "/auth/v1/token?grant_type=password", body)
}

fn refresh(server: &FakeSupabase, token: &str) -> Answer {
    auth(server, "/auth/v1/token?grant_type=refresh_token", json!({ "refresh_token": token }))
}

fn text(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()[name].as_str().unwrap().to_owned()
}

fn assert_refused(answer: &Answer, code: &str) {
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["code"], &body["error_code"]),
        (400, &json!(400), &json!(code)),
        "{body}"
    );
    assert!(body["msg"].is_string(), "{body}");
}

fn with_clock() -> (FakeSupabase, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::default());
    let server = FakeSupabase::builder().clock(clock.clone()).start().unwrap();
    server.add_user("ada@example.org", "correct horse").unwrap();
    (server, clock)
}

#[test]
fn a_password_gives_tokens_and_a_wrong_one_gotrues_refusal() {
    let (server, _) = with_clock();
    let answer = password(&server, "correct horse");
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("bearer"), &json!(3600)));
    assert_eq!(text(&answer, "access_token").split('.').count(), 3);
    assert_eq!(body["user"]["email"], "ada@example.org");
    assert_refused(&password(&server, "wrong"), "invalid_credentials");
    assert_refused(&refresh(&server, "made up"), "refresh_token_not_found");
    assert_eq!(server.stats().sign_ins, 1);
}

#[test]
fn a_refresh_token_works_once_except_for_lost_answers_and_ten_seconds() {
    let (server, clock) = with_clock();
    let first = text(&password(&server, "correct horse"), "refresh_token");
    let second = text(&refresh(&server, &first), "refresh_token");
    assert_ne!(first, second);
    clock.advance(Duration::from_secs(3600));
    let again = text(&refresh(&server, &first), "refresh_token");
    assert_eq!(again, second, "the parent of the active token gets that one again, however late");
    let third = text(&refresh(&server, &second), "refresh_token");
    clock.advance(Duration::from_secs(9));
    // `second` was used nine seconds ago and its child is current. `first` was used long ago, and
    // so was its child.
    assert_eq!(text(&refresh(&server, &second), "refresh_token"), third);
    assert_refused(&refresh(&server, &first), "refresh_token_already_used");
    assert_refused(&refresh(&server, &third), "refresh_token_already_used");
}

#[test]
fn a_used_token_works_again_within_ten_seconds_even_if_its_child_is_used() {
    for (wait, works) in [(10, true), (11, false)] {
        let (server, clock) = with_clock();
        let first = text(&password(&server, "correct horse"), "refresh_token");
        let second = text(&refresh(&server, &first), "refresh_token");
        text(&refresh(&server, &second), "refresh_token");
        clock.advance(Duration::from_secs(wait));
        assert_eq!(refresh(&server, &first).status == 200, works, "after {wait} s");
    }
}

#[test]
fn access_tokens_expire_by_the_clock_and_on_command() {
    let (server, clock) = with_clock();
    let mut user = User::sign_in(&server, "ada@example.org");
    let status = |user: &User<'_>| user.get("/rest/v1/devices").status;
    clock.advance(Duration::from_secs(3599));
    assert_eq!(status(&user), 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(user.get("/rest/v1/devices").error().1, "PGRST303");

    let tokens = server.sign_in(&user.id).unwrap();
    user.token = tokens.access_token.expose().to_owned();
    assert_eq!(status(&user), 200);
    server.expire_tokens(&user.id);
    assert_eq!(status(&user), 401);
    let answer = refresh(&server, tokens.refresh_token.expose());
    user.token = text(&answer, "access_token");
    assert_eq!(status(&user), 200, "refreshing helps");
    assert_eq!(user.get("/auth/v1/user").json()["id"], user.id.as_str());

    server.revoke(&user.id);
    assert_eq!(status(&user), 401);
    assert_refused(&refresh(&server, &text(&answer, "refresh_token")), "refresh_token_not_found");
}

#[test]
fn signing_out_ends_the_session_and_signing_up_starts_one() {
    let (server, _) = with_clock();
    let body = json!({ "email": "new@example.org", "password": "long enough" });
    let signed_up = auth(&server, "/auth/v1/signup", body.clone());
    let id = signed_up.json()["user"]["id"].as_str().unwrap().into();
    let user = User { server: &server, id, token: text(&signed_up, "access_token") };
    user.set_up(1);
    assert_eq!(auth(&server, "/auth/v1/signup", body).status, 422, "twice");
    assert_eq!(user.send("POST", "/auth/v1/logout?scope=local", &[], "").status, 204);
    assert_refused(&refresh(&server, &text(&signed_up, "refresh_token")), "refresh_token_not_found");
    let who = user.get("/auth/v1/user");
    assert_eq!((who.status, &who.json()["error_code"]), (403, &json!("session_not_found")));
    assert_eq!(user.get("/rest/v1/devices").status, 200, "PostgREST knows no sessions, only expiry");
}
