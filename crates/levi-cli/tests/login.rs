//! Signing in, and what else the data folder remembers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::io::Write as _;

use levi::Table;
use levi_testkit::supabase::{Fault, Scope, Times};
use world::{EMAIL, PASSWORD, PATIENCE, World, lines};

#[test]
fn a_sign_in_registers_the_device_once_and_says_so() {
    let world = World::new();
    let laptop = world.device("laptop");
    laptop.login(PASSWORD);
    let devices = world.server.rows(Table::Devices).unwrap();
    assert_eq!(devices.len(), 1, "a second sign-in is the same device");
    let status = laptop.run(&["status", "--json"]).assert_code(0).json();
    assert_eq!(status["signed_in"], true);
    assert_eq!(status["device_id"], devices[0]["id"]);
    assert_eq!(status["user_id"], world.user_id.as_str());
    laptop.run(&["logout"]).assert_code(0);
    assert_eq!(laptop.run(&["status", "--json"]).json()["signed_in"], false);
    laptop.run_with(&["sync"], lines(["x"])).assert_code(4);
}

#[test]
fn tokens_from_another_flow_will_do() {
    let world = World::new();
    let tokens = world.server.sign_in(&world.user_id).unwrap();
    let given = serde_json::json!({
        "access_token": tokens.access_token.expose(),
        "refresh_token": tokens.refresh_token.expose(),
        "user_id": tokens.user_id,
    });
    let phone = world.blank("phone");
    let (url, key) = (world.server.url(), world.server.publishable_key().to_owned());
    let args = ["login", "--url", &url, "--key", &key, "--tokens-stdin", "--json"];
    let bad = phone.run_with(&args, "{\"access_token\":\"a-secret-token\"}").assert_code(1);
    assert!(!bad.err.contains("a-secret-token"), "{}", bad.err);
    let ran = phone.run_with(&args, given.to_string()).assert_code(0);
    assert_eq!(ran.json()["user_id"], world.user_id.as_str());
    assert!(!ran.out.contains(tokens.access_token.expose()));
    phone.run_with(&["sync"], lines(["x"])).assert_code(0);
}

#[test]
fn a_wrong_password_leaves_nothing_behind_and_shows_nothing() {
    let world = World::new();
    let laptop = world.blank("laptop");
    let ran = laptop.login("a wrong password").assert_code(4);
    assert!(!ran.err.contains("a wrong password"), "{}", ran.err);
    assert!(!laptop.data.exists());
    world.server.go_down();
    laptop.login(PASSWORD).assert_code(5);
}

#[test]
fn tokens_are_never_shown_to_another_project_and_a_folder_belongs_to_one_user() {
    let world = World::new();
    let laptop = world.device("laptop");
    let other = World::new();
    let url = other.server.url();
    let key = other.server.publishable_key().to_owned();
    let args = ["login", "--url", &url, "--key", &key, "--email", EMAIL, "--password-stdin"];
    laptop.run_with(&args, PASSWORD).assert_code(4);
    laptop.run(&["pull", "--url", &url]).assert_code(4);
    assert_eq!(other.server.stats().requests, 0);
    world.server.add_user("eve@example.org", "pw").unwrap();
    let eve =
        laptop.run_with(&["login", "--email", "eve@example.org", "--password-stdin"], "pw").assert_code(4);
    assert!(eve.err.contains("--data-dir"), "{}", eve.err);
    assert_eq!(laptop.run(&["status", "--json"]).json()["user_id"], world.user_id.as_str());
}

/// The server has used the old refresh token up, and the process is gone before it knows the new one.
#[test]
fn a_kill_between_the_servers_new_token_and_the_file_that_keeps_it_signs_nobody_out() {
    let world = World::new();
    let laptop = world.device("laptop");
    let file = laptop.data.join("credentials/sign-in");
    let before = std::fs::read(&file).unwrap();
    world.server.faults().plan(Scope::auth(), Times::Next(1), Fault::StallAfterWrite);
    world.server.expire_tokens(&world.user_id);
    let mut killed = laptop.start(&["sync"]);
    killed.stdin.take().unwrap().write_all(lines(["before the kill"]).as_bytes()).unwrap();
    world.server.wait_for(PATIENCE, |stats| stats.refreshes == 1).unwrap();
    // SIGKILL, where there are signals.
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before, "the new tokens never arrived");

    laptop.run_with(&["sync"], lines(["after the kill"])).assert_code(0);
    assert_eq!(world.server.stats().sign_ins, 1, "nobody was asked for a password again");
    assert_ne!(std::fs::read(&file).unwrap(), before);
    // With the tokens that are on disk now, it goes on.
    world.server.expire_tokens(&world.user_id);
    laptop.run_with(&["sync"], lines(["after the next hour"])).assert_code(0);
}

#[test]
fn a_device_that_comes_later_is_told_so_and_reads_earlier_sessions_once_they_are_shared() {
    let world = World::new();
    let laptop = world.device("laptop");
    laptop.run_with(&["sync"], lines(["before you came"])).assert_code(0);
    let phone = world.device("phone");
    let hint = phone.run(&["pull"]).assert_code(0);
    let id = phone.run(&["status", "--json"]).json()["device_id"].as_str().unwrap().to_owned();
    assert!(hint.err.contains(&format!("levi share {id}")), "{}", hint.err);
    assert_eq!(laptop.run(&["share", &id, "--json"]).assert_code(0).json()["shared"], 1);
    assert_eq!(phone.run(&["pull"]).assert_code(0).objects().len(), 1);
    laptop.run(&["share", "not-a-device"]).assert_code(1);
}
