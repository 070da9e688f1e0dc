//! A recovery key that takes the place of an earlier one, through the command.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod project;

use levi::transport::Table;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::Project;
use project::pairing::init;

const SESSION: &str = "3d6b1c6e-9f0a-4f6e-8c1d-2b7a5e4f3c21";

/// The session's messages, written as a daemon would that numbers them itself.
fn message(number: i64, content: &str) -> String {
    serde_json::json!({ "session_id": SESSION, "sequence_number": number, "content": content }).to_string()
        + "\n"
}

#[test]
fn another_recovery_key_takes_the_place_of_the_old_one() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let old = init(&laptop, "laptop");
    laptop.run_with(&["sync"], message(1, "before")).assert_code(0);
    let args = ["recovery", "new", "--key-stdin", "--recovery-key-file", "new-key", "--json"];
    let replaced = laptop.run_with(&args, &old).assert_code(0);
    assert_eq!(replaced.json()["shared"], 1);
    let new = std::fs::read_to_string(laptop.data.with_file_name("new-key")).unwrap();
    let phone = project.device("phone");
    let refused = phone.run_with(&["recover", "--key-stdin"], &old).assert_code(2);
    assert!(refused.err.contains("replaced"), "{}", refused.err);
    phone.run_with(&["recover", "--key-stdin", "--keep", "laptop"], &new).assert_code(0);
    assert_eq!(phone.pulled(SESSION), [(1, "before".to_owned())]);
    // Both are on the list now.
    laptop.run_with(&["sync"], message(2, "after")).assert_code(0);
    assert_eq!(phone.pulled(SESSION).len(), 2);
}

#[test]
fn a_recovery_key_that_was_replaced_halfway_is_given_the_sessions_later() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let old = init(&laptop, "laptop");
    laptop.run_with(&["sync"], message(1, "before")).assert_code(0);
    let refused = Fault::Answer(Canned::error(403, "42501", "permission denied for table"));
    project.server.faults().plan(Scope::table(Table::Secrets).method("POST"), Times::Always, refused);
    let args = ["recovery", "new", "--key-stdin", "--recovery-key-file", "new-key"];
    let halfway = laptop.run_with(&args, &old);
    assert_ne!(halfway.code, 0, "{halfway:?}");
    project.server.faults().clear();
    let again = laptop.run_with(&["recovery", "new", "--key-stdin", "--recovery-key-file", "another"], &old);
    let again = again.assert_code(2);
    assert!(again.out.contains("1 session shared with the newer key"), "{again:?}");
    assert!(again.err.contains("was replaced by a newer one"), "{}", again.err);
    let new = std::fs::read_to_string(laptop.data.with_file_name("new-key")).unwrap();
    let phone = project.device("phone");
    phone.run_with(&["recover", "--key-stdin"], &new).assert_code(0);
    assert_eq!(phone.pulled(SESSION), [(1, "before".to_owned())]);
}
