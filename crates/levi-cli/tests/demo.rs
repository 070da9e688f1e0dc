//! The main job in one command.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use world::{Ran, World, lines, path};

fn assert_all_kept(ran: &Ran, messages: u64) {
    let report = ran.json();
    for promise in ["lost", "duplicated", "out_of_order", "plaintext_seen_by_server"] {
        assert_eq!(report[promise], 0, "{promise}: {report}");
    }
    assert_eq!(report["messages"], messages, "{report}");
    assert_eq!(report["messages_read"], messages * (report["devices"].as_u64().unwrap() - 1), "{report}");
}

#[test]
fn the_shipped_transcript_survives_an_outage() {
    let world = World::new();
    let ran = world.blank("unused").run(&["demo", "--outage", "0.3", "--seed", "7", "--json"]).assert_code(0);
    let messages = ran.json()["messages"].as_u64().unwrap();
    assert!(messages >= 300);
    assert_all_kept(&ran, messages);
    let report = ran.json();
    assert!(report["retries"].as_u64().unwrap() > 0, "an outage costs retries: {report}");
    assert!(report["texts_watched_for"].as_u64().unwrap() > 200, "{report}");
    assert_eq!(report["seed"], 7);
}

#[test]
fn any_ndjson_will_do_repeated_and_with_bad_lines_left_out() {
    let world = World::new();
    let text = lines(["an input of one's own, long enough to be looked for", "ok", ""]);
    let file =
        world.file("own.ndjson", format!("{text}broken\n{{\"content\":\"x\",\"sequence_number\":1}}\n"));
    let args =
        ["demo", "--input", path(&file), "--messages", "500", "--devices", "2", "--outage", "0", "--json"];
    let ran = world.blank("unused").run(&args).assert_code(2);
    assert_all_kept(&ran, 300);
    assert_eq!(ran.json()["bad_lines"], 2);
    let piped = world.blank("unused").run_with(&["demo", "--input", "-", "--outage", "0", "--json"], &text);
    assert_all_kept(&piped.assert_code(0), 3);
    world.blank("unused").run(&["demo", "--input", "no such file"]).assert_code(1);
    world.blank("unused").run_with(&["demo", "--input", "-"], "\n\n").assert_code(1);
}
