//! Signing in and out, and sharing with a later device.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::io::Write as _;

use levi::transport::Table;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::{EMAIL, PASSWORD, PATIENCE, Project, lines};

#[test]
fn a_sign_in_registers_the_device_once() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.login(PASSWORD);
    let devices = project.server.rows(Table::Devices).unwrap();
    assert_eq!(devices.len(), 1, "a second sign-in is the same device");
    let status = laptop.run(&["status", "--json"]).assert_code(0).json();
    assert_eq!(status["signed_in"], true);
    assert_eq!(status["device_id"], devices[0]["id"]);
    assert_eq!(status["user_id"], project.user_id.as_str());
    laptop.run(&["logout"]).assert_code(0);
    assert_eq!(laptop.run(&["status", "--json"]).json()["signed_in"], false);
    laptop.run_with(&["sync"], lines(["x"])).assert_code(4);
}

#[test]
fn a_project_with_a_list_of_device_types_is_given_one_of_its_own() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let not_in_enum = || Fault::Answer(Canned::error(400, "22P02", "invalid input value for enum"));
    let devices = Scope::table(Table::Devices).method("POST");
    project.server.faults().plan(devices.clone(), Times::Next(1), not_in_enum());
    laptop.login(PASSWORD).assert_code(0);
    let rows = project.server.rows(Table::Devices).unwrap();
    assert!(rows[0]["device_type"].as_str().unwrap().ends_with("-desktop"), "{rows:?}");
    project.server.faults().plan(devices, Times::Always, not_in_enum());
    let refused = laptop.login(PASSWORD).assert_code(2);
    assert!(refused.err.contains("--device-type"), "{}", refused.err);
}

#[test]
fn tokens_from_another_sign_in_flow_are_accepted() {
    let project = Project::new();
    let tokens = project.server.sign_in(&project.user_id).unwrap();
    let given = serde_json::json!({
        "access_token": tokens.access_token.expose(),
        "refresh_token": tokens.refresh_token.expose(),
        "user_id": tokens.user_id,
    });
    let phone = project.blank("phone");
    let (url, key) = (project.server.url(), project.server.publishable_key().to_owned());
    let args = ["login", "--url", &url, "--key", &key, "--tokens-stdin", "--json"];
    let bad = phone.run_with(&args, "{\"access_token\":\"a-secret-token\"}").assert_code(2);
    assert!(!bad.err.contains("a-secret-token"), "{}", bad.err);
    let ran = phone.run_with(&args, given.to_string()).assert_code(0);
    assert_eq!(ran.json()["user_id"], project.user_id.as_str());
    assert!(!ran.out.contains(tokens.access_token.expose()));
    phone.run_with(&["sync"], lines(["x"])).assert_code(0);
}

#[test]
fn a_wrong_password_creates_no_files_and_is_not_printed() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let ran = laptop.login("a wrong password").assert_code(4);
    assert!(!ran.err.contains("a wrong password") && ran.err.contains("password is wrong"), "{}", ran.err);
    let nobody = laptop.run(&["logout"]).assert_code(0);
    assert!(nobody.out.contains("nobody was signed in"), "{}", nobody.out);
    assert!(!laptop.data.exists());
    project.server.go_down();
    laptop.login(PASSWORD).assert_code(5);
}

#[test]
fn tokens_are_never_sent_to_another_project_and_a_data_directory_belongs_to_one_user() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let other = Project::new();
    let url = other.server.url();
    let key = other.server.publishable_key().to_owned();
    let args = ["login", "--url", &url, "--key", &key, "--email", EMAIL, "--password-stdin"];
    laptop.run_with(&args, PASSWORD).assert_code(4);
    laptop.run(&["pull", "--url", &url]).assert_code(4);
    assert_eq!(other.server.stats().requests, 0);
    project.server.add_user("eve@example.org", "pw").unwrap();
    let eve =
        laptop.run_with(&["login", "--email", "eve@example.org", "--password-stdin"], "pw").assert_code(4);
    assert!(eve.err.contains("--data-dir"), "{}", eve.err);
    assert_eq!(laptop.run(&["status", "--json"]).json()["user_id"], project.user_id.as_str());
}

/// The server has replaced the refresh token, and the process is killed before it receives the new
/// one.
#[test]
fn a_kill_before_the_new_tokens_are_saved_does_not_sign_the_user_out() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = laptop.data.join("credentials/sign-in");
    let before = std::fs::read(&file).unwrap();
    project.server.faults().plan(Scope::auth(), Times::Next(1), Fault::StallAfterWrite);
    project.server.expire_tokens(&project.user_id);
    let mut killed = laptop.start(&["sync"]);
    killed.stdin.take().unwrap().write_all(lines(["before the kill"]).as_bytes()).unwrap();
    project.server.wait_for(PATIENCE, |stats| stats.refreshes == 1).unwrap();
    // SIGKILL on Unix.
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before, "the new tokens never arrived");

    laptop.run_with(&["sync"], lines(["after the kill"])).assert_code(0);
    assert_eq!(project.server.stats().sign_ins, 1, "the password was not needed again");
    assert_ne!(std::fs::read(&file).unwrap(), before);
    // The saved tokens work.
    project.server.expire_tokens(&project.user_id);
    laptop.run_with(&["sync"], lines(["after the next hour"])).assert_code(0);
}

#[test]
fn a_later_device_reads_earlier_sessions_once_they_are_shared() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["before you came"])).assert_code(0);
    let phone = project.device("phone");
    let hint = phone.run(&["pull"]).assert_code(0);
    let id = phone.run(&["status", "--json"]).json()["device_id"].as_str().unwrap().to_owned();
    assert!(hint.err.contains(&format!("levi share {id}")), "{}", hint.err);
    assert_eq!(laptop.run(&["share", &id, "--json"]).assert_code(0).json()["shared"], 1);
    assert_eq!(phone.run(&["pull"]).assert_code(0).objects().len(), 1);
    laptop.run(&["share", "not-a-device"]).assert_code(2);
}

#[test]
fn a_device_that_cannot_be_shared_with_is_named_and_so_are_those_that_can() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let share = |device: &str| laptop.run(&["share", device]).assert_code(2).err;
    let unknown = "11111111-2222-4333-8444-555555555555";
    assert!(share(unknown).contains("there are no others"), "{}", share(unknown));
    let phone = project.blank("phone");
    phone.login_with(&["--device-name", "phone"], PASSWORD).assert_code(0);
    let id = phone.run(&["status", "--json"]).json()["device_id"].as_str().unwrap().to_owned();
    for given in [unknown, "fone", ""] {
        assert!(share(given).contains(&format!("they are \"phone\" ({id})")), "{}", share(given));
    }
    project.blank("other").login_with(&["--device-name", "phone"], PASSWORD).assert_code(0);
    assert!(share("phone").contains("several of your devices") && share("phone").contains(&id));
    let own = laptop.run(&["status", "--json"]).json()["device_id"].as_str().unwrap().to_owned();
    assert!(share(&own).contains("is this device"), "{}", share(&own));
    assert!(laptop.run(&["share"]).assert_code(2).err.contains("<DEVICE|--all>"));
    laptop.run(&["logout"]).assert_code(0);
    laptop.run(&["share", "--all"]).assert_code(4);
}

/// The password is right, the sign-in still valid, and the server said when to come back.
#[test]
fn a_sign_in_server_that_stumbles_is_named_and_not_asked_again_before_its_wait_is_over() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["before"])).assert_code(0);
    let faults = project.server.faults();
    let hook = r#"{"code":422,"error_code":"hook_timeout","msg":"m"}"#;
    faults.plan(Scope::auth(), Times::Next(2), Fault::Answer(Canned::new(422).body(hook)));
    project.server.expire_tokens(&project.user_id);
    for command in ["pull", "doctor"] {
        let args: &[&str] = if command == "doctor" { &["doctor", "--server"] } else { &["pull"] };
        let ran = laptop.run(args).assert_code(if command == "doctor" { 7 } else { 5 });
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("hook_timeout"), "{said}");
        assert!(!said.contains("levi login") && !said.contains("password"), "{said}");
    }
    laptop.run(&["pull"]).assert_code(0);

    let fired = faults.fired();
    faults.plan(Scope::auth(), Times::Next(100), Fault::Answer(Canned::new(429).header("Retry-After", "60")));
    project.server.expire_tokens(&project.user_id);
    for _ in 0..3 {
        let ran = laptop.run(&["pull"]).assert_code(5);
        assert!(ran.err.contains("next try in"), "{}", ran.err);
    }
    let ran = laptop.login(PASSWORD).assert_code(5);
    assert!(ran.err.contains("next try in"), "{}", ran.err);
    let status = laptop.run(&["status"]);
    assert!(status.out.contains("waiting for the sign-in server (429), next try in"), "{}", status.out);
    assert_eq!(faults.fired(), fired + 1);
}

/// What helps is another thing than a new password.
#[test]
fn a_sign_in_that_needs_something_first_names_it() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let table = [
        (400, r#"{"error_code":"email_not_confirmed"}"#, 5, "confirm the email address"),
        (400, r#"{"error_code":"captcha_failed"}"#, 5, "project's own page"),
        (401, r#"{"message":"Invalid API key"}"#, 5, "check the publishable key"),
        (404, "", 5, "check the project's address"),
        (400, r#"{"error_code":"user_banned"}"#, 4, "ask the project's owner"),
    ];
    for (status, body, code, advice) in table {
        let answer = Fault::Answer(Canned::new(status).header("Content-Type", "application/json").body(body));
        project.server.faults().plan(Scope::auth(), Times::Next(1), answer);
        let ran = laptop.login(PASSWORD).assert_code(code);
        assert!(ran.err.contains(advice), "{}", ran.err);
    }
}

#[test]
fn an_expired_token_is_refreshed_and_a_revoked_one_asks_for_a_sign_in() {
    const SESSION: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";
    let project = Project::new();
    let laptop = project.device("laptop");
    project.server.expire_tokens(&project.user_id);
    laptop.run_with(&["sync", "--session", SESSION], lines(["after the token expired"])).assert_code(0);
    assert_eq!(project.server.stats().refreshes, 1);
    project.server.expire_tokens(&project.user_id);
    assert_eq!(laptop.pulled(SESSION).len(), 1);
    project.server.revoke(&project.user_id);
    let input = "{\"content\":\"after it was revoked\",\"sequence_number\":2}\n";
    let ran = laptop.run_with(&["sync", "--session", SESSION], input).assert_code(4);
    assert!(ran.out.contains("levi login"), "{}", ran.out);
    assert_eq!(laptop.login(PASSWORD).code, 0);
    laptop.run_with(&["sync"], "").assert_code(0);
    assert_eq!(laptop.pulled(SESSION).len(), 2, "what was pending was sent after the sign-in");
}
