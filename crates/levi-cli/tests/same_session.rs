//! `levi sync` of a session whose secret is elsewhere: on another device, or in a store that was lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use levi::transport::Table;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::{Project, lines, path};

const SESSION: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";

/// The data of a device is damaged and moved away but for its keys: the file's session keeps its secret.
#[test]
fn a_file_that_is_synced_again_after_its_stores_are_lost_stays_readable() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let file = project.file("one.ndjson", lines(["one", "two"]));
    let synced = laptop.run(&["sync", path(&file), "--json"]).assert_code(0).json();
    let session = synced["sessions"][0].as_str().unwrap();
    for entry in std::fs::read_dir(&laptop.data).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().contains(".sqlite") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let file = project.file("one.ndjson", lines(["one", "two", "three"]));
    laptop.run(&["sync", path(&file), "--replace"]).assert_code(0);
    let expected = ["one", "two", "three"].map(str::to_owned);
    assert_eq!(phone.pulled(session), (1..).zip(expected).collect::<Vec<_>>());
}

/// Both name the session, and neither has heard of the other's secret when it makes its own.
#[test]
fn a_second_device_that_made_a_secret_of_its_own_goes_on_with_the_sessions() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let parked = Fault::Answer(Canned::error(400, "23514", "not now"));
    project.server.faults().plan(Scope::table(Table::Sessions).method("POST"), Times::Next(1), parked);
    // Its secret stays on it, and its row is refused.
    phone.run_with(&["sync", "--session", SESSION], lines(["lost"])).assert_code(2);
    laptop.run_with(&["sync", "--session", SESSION], lines(["of the laptop"])).assert_code(0);
    phone.run_with(&["sync", "--session", SESSION], lines(["of the phone"])).assert_code(0);
    let expected = [(1, "of the laptop".to_owned()), (2, "of the phone".to_owned())];
    assert_eq!(laptop.pulled(SESSION), expected);
    assert_eq!(phone.pulled(SESSION), expected);
}

#[test]
fn a_usage_does_not_show_what_the_environment_sets_as_if_it_had_to_be_given() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let ran = laptop.run(&["share"]).assert_code(2);
    assert!(ran.err.contains("Usage: levi share") && !ran.err.contains("--data-dir"), "{}", ran.err);
}
