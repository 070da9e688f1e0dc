//! `levi status` and `levi outbox`, while a process owns the outbox and when none does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use levi::outbox::sqlite::{SqliteOptions, SqliteOutbox};
use levi::transport::Table;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::{Device, Project, lines, path};

const SESSION: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";

/// A device with three pending messages, because its server is down.
fn with_pending_messages(project: &Project) -> Device<'_> {
    let laptop = project.device("laptop");
    // Creates the session, because its owner cannot be looked up while the server is down.
    laptop.run_with(&["sync", "--session", SESSION], "").assert_code(0);
    let first = "{\"content\":\"zero\",\"sequence_number\":0}\n";
    laptop.run_with(&["sync", "--session", SESSION], first).assert_code(0);
    project.server.go_down();
    let input = lines(["one", "two", "three"]);
    laptop.run_with(&["sync", "--session", SESSION, "--patience", "1"], input).assert_code(3);
    laptop
}

/// The messages among the listed rows.
fn messages(listed: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    listed.into_iter().filter(|line| line["kind"] == "message").collect()
}

#[test]
fn pending_messages_are_listed_exported_retried_and_discarded() {
    let project = Project::new();
    let laptop = with_pending_messages(&project);
    let listed = messages(laptop.run(&["outbox", "list", "--json"]).assert_code(0).objects());
    let numbers: Vec<_> = listed.iter().map(|row| row["sequence_number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    // Whether the user's devices keep a list is not known without the server, so nothing is sealed for it yet.
    assert!(listed.iter().all(|row| row["state"] == "pending" && row["encryption"] == "database_key"));
    let exported = laptop.run(&["outbox", "export"]).assert_code(0);
    let contents: Vec<_> =
        exported.objects().iter().map(|row| row["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(contents, ["one", "two", "three"]);
    let row = listed[1]["row"].to_string();
    laptop.run(&["outbox", "discard", &row]).assert_code(0);
    laptop.run(&["outbox", "discard", &row]).assert_code(2);
    laptop.run(&["outbox", "retry", &listed[0]["row"].to_string()]).assert_code(0);
    project.server.come_up().unwrap();
    laptop.run_with(&["sync"], "").assert_code(0);
    assert_eq!(project.numbers(SESSION), [0, 1, 3]);
    // What was exported can be synced.
    laptop.run_with(&["sync"], &exported.out).assert_code(0);
    assert_eq!(laptop.pulled(SESSION).len(), 4);
}

#[test]
fn while_another_process_owns_the_outbox_reading_works_and_sync_changes_nothing() {
    let project = Project::new();
    let laptop = with_pending_messages(&project);
    let owner = SqliteOutbox::open(laptop.outbox(), SqliteOptions::default()).unwrap();
    let before = std::fs::read(laptop.outbox()).unwrap();
    let status = laptop.run(&["status", "--json"]).assert_code(3).json();
    assert_eq!(status["daemon_running"], true);
    assert_eq!(status["outbox"]["pending"], 3);
    assert_eq!(messages(laptop.run(&["outbox", "list", "--json"]).assert_code(0).objects()).len(), 3);
    assert_eq!(laptop.run(&["outbox", "export"]).assert_code(0).objects().len(), 3);
    laptop.run(&["doctor"]).assert_code(0);
    let ran = laptop.run(&["sync", "--session", SESSION]).assert_code(6);
    assert!(ran.err.contains("another process owns the outbox"), "{}", ran.err);
    assert_eq!(std::fs::read(laptop.outbox()).unwrap(), before);
    drop(owner);
    assert_eq!(laptop.run(&["status", "--json"]).json()["daemon_running"], false);
}

#[test]
fn a_parked_message_is_named_and_can_be_sent_again() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop
        .run_with(&["sync", "--session", SESSION], "{\"content\":\"first\",\"sequence_number\":0}")
        .assert_code(0);
    let refusal = Canned::error(400, "22P05", "unsupported Unicode escape sequence");
    let posts = Scope::table(Table::Messages).method("POST");
    // More than once: if the session's row is written meanwhile, the first refusal does not count.
    project.server.faults().plan(posts, Times::Always, Fault::Answer(refusal));
    let ran = laptop.run_with(&["sync", "--session", SESSION], lines(["poison?"])).assert_code(3);
    project.server.faults().clear();
    assert!(ran.out.contains("outbox list --parked"), "{}", ran.out);
    let parked = laptop.run(&["outbox", "list", "--parked", "--json"]).assert_code(0).objects();
    assert_eq!((parked.len(), parked[0]["code"].as_str()), (1, Some("22P05")));
    let doctor = laptop.run(&["doctor"]).assert_code(7);
    assert!(doctor.out.contains("22P05"), "{}", doctor.out);
    // A later run is not taken for the one that was refused.
    let later = laptop.run_with(&["sync"], lines(["sound"])).assert_code(3);
    assert!(later.out.contains("the server has everything"), "{}", later.out);
    assert!(later.out.contains("1 message of earlier runs parked"), "{}", later.out);
    laptop.run(&["outbox", "retry", "--all-parked"]).assert_code(0);
    laptop.run_with(&["sync"], "").assert_code(0);
    assert_eq!(project.numbers(SESSION), [0, 1]);
    laptop.run(&["doctor"]).assert_code(0);
}

#[test]
fn a_parked_session_row_is_named_and_can_be_sent_again() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let refusal = Canned::error(400, "23514", "new row violates a check");
    let posts = Scope::table(Table::Sessions).method("POST");
    project.server.faults().plan(posts, Times::Always, Fault::Answer(refusal));
    laptop.run_with(&["sync", "--session", SESSION, "--patience", "2"], lines(["one"])).assert_code(2);
    project.server.faults().clear();
    let name = format!("session/{SESSION}");
    let parked = laptop.run(&["outbox", "list", "--parked", "--json"]).assert_code(0).objects();
    let row = parked.iter().find(|line| line["lane"] == name.as_str()).unwrap();
    assert_eq!((row["state"].as_str(), row["code"].as_str()), (Some("parked"), Some("23514")));
    let doctor = laptop.run(&["doctor"]).assert_code(7);
    assert!(doctor.out.contains(&name), "{}", doctor.out);
    laptop.run(&["outbox", "retry", &row["row"].to_string()]).assert_code(0);
    laptop.run_with(&["sync"], "").assert_code(0);
    assert_eq!(laptop.run(&["outbox", "list", "--json"]).objects().len(), 0);
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    assert_eq!(project.numbers(SESSION).len(), 1);
}

#[test]
fn a_row_that_others_wait_for_is_discarded_only_together_with_them() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("offline.ndjson", lines(["never sent"]));
    project.server.go_down();
    laptop.run(&["sync", path(&file), "--patience", "1"]).assert_code(3);
    let rows = laptop.run(&["outbox", "list", "--json"]).assert_code(0).objects();
    let number = |row: &serde_json::Value| row["row"].to_string();
    let session = rows.iter().find(|row| row["kind"] == "session").unwrap();
    let refused = laptop.run(&["outbox", "discard", &number(session)]).assert_code(2);
    assert!(refused.err.contains("discard those first"), "{}", refused.err);
    let numbers: Vec<String> = rows.iter().map(number).collect();
    let mut args = vec!["outbox", "discard"];
    args.extend(numbers.iter().map(String::as_str));
    laptop.run(&args).assert_code(0);
    assert_eq!(laptop.run(&["status", "--json"]).assert_code(0).json()["outbox"]["control_rows"], 0);
}
