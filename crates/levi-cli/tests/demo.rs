//! `levi demo`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::io::Write as _;

use levi::transport::Table;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::{EMAIL, Outcome, PASSWORD, Project, lines, path};

fn assert_sound(ran: &Outcome, messages: u64) {
    let report = ran.json();
    for error in ["lost", "duplicated", "out_of_order", "plaintext_seen_by_server"] {
        assert_eq!(report[error], 0, "{error}: {report}");
    }
    assert_eq!(report["messages"], messages, "{report}");
    assert_eq!(report["synced"], messages, "{report}");
    assert_eq!(report["messages_read"], messages * (report["devices"].as_u64().unwrap() - 1), "{report}");
}

#[test]
fn the_built_in_transcript_survives_an_outage() {
    let project = Project::new();
    let ran =
        project.blank("unused").run(&["demo", "--outage", "0.3", "--seed", "7", "--json"]).assert_code(0);
    let messages = ran.json()["messages"].as_u64().unwrap();
    assert!(messages >= 300);
    assert_sound(&ran, messages);
    let report = ran.json();
    assert!(report["retries"].as_u64().unwrap() > 0, "an outage costs retries: {report}");
    assert!(report["texts_watched_for"].as_u64().unwrap() > 200, "{report}");
    assert_eq!(report["seed"], 7);
}

#[test]
fn any_ndjson_is_repeated_and_its_bad_lines_are_skipped() {
    let project = Project::new();
    let text = lines(["an input of one's own, long enough to be looked for", "ok", ""]);
    let file =
        project.file("own.ndjson", format!("{text}broken\n{{\"content\":\"x\",\"sequence_number\":1}}\n"));
    let args =
        ["demo", "--input", path(&file), "--messages", "500", "--devices", "2", "--outage", "0", "--json"];
    let ran = project.blank("unused").run(&args).assert_code(2);
    assert_sound(&ran, 300);
    assert_eq!(ran.json()["bad_lines"], 2);
    let piped = project.blank("unused").run_with(&["demo", "--input", "-", "--outage", "0", "--json"], &text);
    assert_sound(&piped.assert_code(0), 3);
    project.blank("unused").run(&["demo", "--input", "no such file"]).assert_code(1);
    project.blank("unused").run_with(&["demo", "--input", "-"], "\n\n").assert_code(2);
    // A line that holds a byte order mark only is blank, too.
    project.blank("unused").run_with(&["demo", "--input", "-"], "\u{feff}\n").assert_code(2);
}

/// Levi sends what is in the outbox by number, so what is enqueued late with a low number arrives late.
#[test]
fn numbers_that_do_not_rise_as_they_are_enqueued_are_no_fault_of_levis() {
    let project = Project::new();
    let lines: String = (0..3000)
        .map(|line| format!("{{\"content\":\"line {line}\",\"sequence_number\":{}}}\n", 3000 - line))
        .collect();
    let file = project.file("falling.ndjson", lines);
    let args = ["demo", "--input", path(&file), "--outage", "0.2", "--json"];
    assert_sound(&project.blank("unused").run(&args).assert_code(0), 3000);
}

#[test]
fn a_message_that_was_stored_but_never_reached_the_server_is_not_counted_as_synced() {
    let project = Project::new();
    let refusal = Canned::error(400, "22P05", "unsupported Unicode escape sequence");
    let posts = Scope::table(Table::Messages).method("POST");
    project.server.faults().plan(posts, Times::Next(1), Fault::Answer(refusal));
    let (url, key) = (project.server.url(), project.server.publishable_key().to_owned());
    let args = ["demo", "--server", &url, "--key", &key, "--email", EMAIL, "--input", "-", "--json"];
    let device = project.blank("unused");
    let mut child = device.command(&args).env("LEVI_PASSWORD", PASSWORD).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines(["refused"]).as_bytes()).unwrap();
    let report = Outcome::of(child.wait_with_output().unwrap()).assert_code(7).json();
    assert_eq!((report["messages"].as_u64(), report["synced"].as_u64()), (Some(1), Some(0)), "{report}");
    assert_eq!(report["lost"], 2, "one on each reading device: {report}");
}
