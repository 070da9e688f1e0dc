//! `levi sync` and `levi pull`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::io::Write as _;
use std::time::Duration;

use levi::transport::{Table, Upsert};
use levi_testkit::fixtures::transcript;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::{Outcome, PATIENCE, Project, lines, path};

const SESSION: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";

#[test]
fn what_is_synced_on_one_device_is_pulled_on_another_byte_for_byte() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let mut contents: Vec<String> = transcript(3).take(250).collect();
    contents.extend(["".to_owned(), "\0 \u{1F680} \u{FEFF}".to_owned(), "x".repeat(1 << 20)]);
    let scanner = project.server.scan_for(&contents);
    let file = project.file("session.ndjson", lines(&contents));
    let synced = laptop.run(&["sync", path(&file), "--json"]).assert_code(0).json();
    assert_eq!(synced["messages"], 253);
    assert_eq!((synced["pending"].as_u64(), synced["parked"].as_u64()), (Some(0), Some(0)));
    let session = synced["sessions"][0].as_str().unwrap();
    let expected: Vec<_> = (1..).zip(contents).collect();
    assert_eq!(phone.pulled(session), expected);
    let rest = phone.run(&["pull", "--session", session, "--after", "252"]).assert_code(0).objects();
    assert_eq!(rest.len(), 1, "only what is after the cursor");
    let all = phone.run(&["pull"]).assert_code(0).objects();
    assert_eq!(all.len(), 253, "without --session: every session that this device may read");
    assert_eq!(scanner.leaks(), []);
    assert_eq!(project.server.order_violations(), []);
}

/// Pages may overlap by a few rows, and no row is read twice otherwise.
#[test]
fn a_pull_downloads_hardly_more_than_the_rows() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let file = project.file("long.ndjson", lines(transcript(5).take(1_500)));
    let synced = laptop.run(&["sync", path(&file), "--json"]).assert_code(0).json();
    let read = || project.server.stats().table(Table::Messages).rows_read;
    let before = read();
    assert_eq!(phone.pulled(synced["sessions"][0].as_str().unwrap()).len(), 1_500);
    assert!(read() - before <= 1_575, "{} rows", read() - before);
}

/// No plaintext and no key reaches a log, but a daemon author finds each request in it.
#[test]
fn the_log_tells_of_every_request_and_of_no_content_key_or_token() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let mut sync = laptop.command(&["sync", "--session", SESSION]);
    let mut child = sync.env("LEVI_LOG", "trace").spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines(["a secret plan"]).as_bytes()).unwrap();
    let ran = Outcome::of(child.wait_with_output().unwrap()).assert_code(0);
    for expected in ["levi.send{batch=", "levi.send_control{key=session/", ": accepted"] {
        assert!(ran.err.contains(expected), "no {expected} in:\n{}", ran.err);
    }
    for hidden in ["secret plan", "sess_", "Bearer", "eyJ"] {
        assert!(!ran.err.contains(hidden), "{hidden} in:\n{}", ran.err);
    }
}

#[test]
fn a_log_level_is_documented_and_a_wrong_one_is_reported() {
    let project = Project::new();
    let blank = project.blank("blank");
    for help in [&["--help"][..], &["sync", "--help"]] {
        assert!(blank.run(help).assert_code(0).out.contains("LEVI_LOG"), "{help:?}");
    }
    let child = blank.command(&["status"]).env("LEVI_LOG", "loud").spawn().unwrap();
    let ran = Outcome::of(child.wait_with_output().unwrap()).assert_code(0);
    assert!(ran.err.contains("LEVI_LOG is \"loud\"") && ran.err.contains("debug"), "{}", ran.err);
    let child = blank.command(&["status"]).env("LEVI_LOG", "debug").spawn().unwrap();
    assert_eq!(Outcome::of(child.wait_with_output().unwrap()).assert_code(0).err, "");
}

#[test]
fn a_start_with_a_valid_sign_in_logs_no_line_about_tokens_at_info() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let mut child = laptop.command(&["sync"]).env("LEVI_LOG", "info").spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines(["x"]).as_bytes()).unwrap();
    let ran = Outcome::of(child.wait_with_output().unwrap()).assert_code(0);
    assert!(!ran.err.contains("token") && !ran.err.contains("sending"), "{}", ran.err);
}

#[test]
fn each_bad_line_is_named_by_its_number_and_everything_else_goes_through() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let large = serde_json::json!({ "content": "x".repeat((1 << 20) + 1) }).to_string();
    let input: Vec<(&[u8], Option<&str>)> = vec![
        (b"{\"content\":\"one\"}", None),
        (b"{\"content\":\"secret words", Some("the line ends inside the JSON")),
        (b"{\"content\":\"secret \xff words\"}", Some("not UTF-8")),
        (b"{\"content\":\"nul is \\u0000 fine\"}", None),
        (b"", None),
        (b"{\"text\":\"secret words\"}", Some("a message has no field \"text\"")),
        (b"{\"content\":\"x\",\"sequence_number\":-3}", Some("sequence_number is -3")),
        (b"{\"content\":\"x\",\"sequence_number\":1}", Some("sequence_number 1 was on an earlier line")),
        (
            b"{\"content\":\"x\",\"sequence_number\":\"secret words\"}",
            Some("sequence_number is not a whole number"),
        ),
        (b"{\"content\":\"x\",\"session_id\":\"\"}", Some("session_id is empty")),
        (b"{\"content\":\"x\",\"message_id\":\"\"}", Some("message_id is empty")),
        (b"{\"content\":\"x\",\"message_id\":\"a\\u0000b\"}", Some("message_id holds a control character")),
        (b"{\"content\":\"x\",\"session_id\":\"secret words\"}", Some("session_id is not a uuid")),
        (large.as_bytes(), Some("the limit is 1048576")),
        (b"{\"content\":\"last\",\"sequence_number\":9007199254740993}", None),
    ];
    let mut bytes = Vec::new();
    for (line, _) in &input {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    let file = project.file("broken.ndjson", bytes);
    let ran = laptop.run(&["sync", path(&file), "--session", SESSION, "--json"]).assert_code(2);
    let diagnostics: Vec<serde_json::Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected: Vec<_> = input
        .iter()
        .enumerate()
        .filter_map(|(place, (_, error))| Some((place as u64 + 1, (*error)?)))
        .collect();
    assert_eq!(diagnostics.len(), expected.len(), "{diagnostics:#?}");
    for (diagnostic, (line, error)) in diagnostics.iter().zip(expected) {
        assert_eq!(diagnostic["line"], line, "{diagnostic}");
        assert!(
            diagnostic["error"].as_str().unwrap().starts_with(error)
                || diagnostic["error"].as_str().unwrap().contains(error),
            "{diagnostic}"
        );
    }
    assert!(!ran.err.contains("secret words"), "{}", ran.err);
    assert_eq!(project.numbers(SESSION), [1, 4, 9_007_199_254_740_993]);
    let text = laptop.run(&["sync", path(&file), "--session", SESSION]).assert_code(2);
    assert!(text.err.starts_with("levi: line 2: "), "{}", text.err);
}

#[test]
fn killed_in_the_middle_and_run_again_each_message_is_there_once_and_in_order() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let contents: Vec<String> = (0..6000).map(|n| format!("message {n} {}", "x".repeat(200))).collect();
    let file = project.file("long.ndjson", lines(&contents));
    project.server.faults().latency(Duration::from_millis(40));
    let mut sync = laptop.start(&["sync", path(&file)]);
    let some = |stats: &levi_testkit::supabase::Stats| stats.table(Table::Messages).rows_inserted >= 700;
    project.server.wait_for(PATIENCE, some).unwrap();
    sync.kill().unwrap();
    assert!(!sync.wait().unwrap().success());
    assert!(project.messages_on_server() < 6000, "the sync ended before it was killed");
    project.server.faults().clear();
    let again = laptop.run(&["sync", path(&file), "--json"]).assert_code(0).json();
    assert_eq!(project.messages_on_server(), 6000);
    let session = again["sessions"][0].as_str().unwrap();
    assert_eq!(project.numbers(session), (1..=6000).collect::<Vec<_>>());
    assert_eq!(project.server.order_violations(), []);
    assert_eq!(laptop.pulled(session), (1..).zip(contents).collect::<Vec<_>>());
}

#[test]
fn a_bad_line_that_is_corrected_later_gets_its_own_number() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("notes.ndjson", "{\"content\":\"a\"}\n{\"content\":\"b\n{\"content\":\"c\"}\n");
    let first = laptop.run(&["sync", path(&file), "--json"]).assert_code(2).json();
    let session = first["sessions"][0].as_str().unwrap();
    assert_eq!(project.numbers(session), [1, 3]);
    project.file("notes.ndjson", lines(["a", "b", "c"]));
    laptop.run(&["sync", path(&file)]).assert_code(0);
    let contents: Vec<_> = laptop.pulled(session).into_iter().map(|(_, content)| content).collect();
    assert_eq!(contents, ["a", "b", "c"]);
}

#[test]
fn while_the_server_is_down_messages_wait_and_the_next_run_sends_them() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("offline.ndjson", lines(["kept while offline"]));
    project.server.go_down();
    let ran = laptop.run(&["sync", path(&file), "--patience", "1"]).assert_code(3);
    assert!(ran.out.contains("\n1 message left in the outbox: "), "{}", ran.out);
    laptop.run(&["status"]).assert_code(3);
    project.server.come_up().unwrap();
    let empty = project.file("empty.ndjson", "");
    laptop.run(&["sync", path(&empty)]).assert_code(0);
    assert_eq!(project.messages_on_server(), 1);
    laptop.run(&["status"]).assert_code(0);
}

#[test]
fn stdin_gets_a_session_of_its_own_each_time_unless_one_is_named() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let run = |args: &[&str]| -> String {
        let ran = laptop.run_with(args, lines(["from a pipe"])).assert_code(0);
        ran.json()["sessions"][0].as_str().unwrap().to_owned()
    };
    assert_ne!(run(&["sync", "--json"]), run(&["sync", "-", "--json"]));
    let upper = SESSION.to_uppercase();
    assert_eq!(run(&["sync", "--session", &upper, "--json"]), SESSION, "in the server's spelling");
    assert_eq!(run(&["sync", "--session", SESSION, "--json"]), SESSION);
    // What comes through a pipe goes on after the last message, also of another device.
    let expected = [(1, "from a pipe".to_owned()), (2, "from a pipe".to_owned())];
    assert_eq!(laptop.pulled(SESSION), expected);
    assert_eq!(project.messages_on_server(), 4);
}

#[test]
fn a_line_after_the_highest_number_is_refused_and_overwrites_nothing() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let highest = format!("{{\"content\":\"the last\",\"sequence_number\":{}}}\n", i64::MAX);
    laptop.run_with(&["sync", "--session", SESSION], highest).assert_code(0);
    let ran = laptop.run_with(&["sync", "--session", SESSION, "--replace"], lines(["more"])).assert_code(2);
    assert!(ran.err.contains("line 1: no sequence_number is left"), "{}", ran.err);
    assert_eq!(laptop.pulled(SESSION), [(i64::MAX, "the last".to_owned())]);
}

#[test]
fn a_line_that_was_changed_is_refused_with_both_fingerprints_unless_it_is_to_replace() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("notes.ndjson", lines(["a", "b"]));
    let first = laptop.run(&["sync", path(&file), "--json"]).assert_code(0).json();
    let session = first["sessions"][0].as_str().unwrap();
    let again = laptop.run(&["sync", path(&file)]).assert_code(0);
    assert!(again.out.contains("the server has everything"), "{}", again.out);
    project.file("notes.ndjson", lines(["a", "changed", "c"]));
    let refused = laptop.run(&["sync", path(&file)]).assert_code(3);
    assert!(refused.out.contains("1 message parked"), "{}", refused.out);
    let listed = laptop.run(&["outbox", "list", "--parked"]).assert_code(0);
    assert!(listed.out.contains("sequence_taken") && listed.out.contains("fingerprint"), "{}", listed.out);
    let texts = |expected: [&str; 3]| {
        let contents: Vec<_> = laptop.pulled(session).into_iter().map(|(_, content)| content).collect();
        assert_eq!(contents, expected);
    };
    texts(["a", "b", "c"]);
    // Another text than the one that is parked, which is this device's own.
    project.file("notes.ndjson", lines(["a", "changed again", "c"]));
    laptop.run(&["sync", path(&file), "--replace"]).assert_code(0);
    texts(["a", "changed again", "c"]);
}

#[test]
fn the_same_file_again_sends_nothing_and_a_longer_one_sends_what_is_new() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("notes.ndjson", lines((0..300).map(|number| format!("note {number}"))));
    laptop.run(&["sync", path(&file)]).assert_code(0);
    let requests = || {
        let stats = project.server.stats();
        let of = |table| (stats.table(table).posts, stats.table(table).gets, stats.table(table).rows_updated);
        [Table::Repositories, Table::Sessions, Table::Secrets, Table::Messages].map(of)
    };
    let before = requests();
    let again = laptop.run(&["sync", path(&file), "--json"]).assert_code(0).json();
    assert_eq!((again["messages"].as_u64(), again["already_synced"].as_u64()), (Some(0), Some(300)));
    assert_eq!(again["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(requests(), before, "nothing was asked of the server");

    project.file("notes.ndjson", lines((0..301).map(|number| format!("note {number}"))));
    let longer = laptop.run(&["sync", path(&file)]).assert_code(0);
    assert!(longer.out.contains("1 message stored, 300 messages on the server before"), "{}", longer.out);
    assert_eq!(project.messages_on_server(), 301);
    let [.., messages] = requests();
    assert_eq!(messages.0 - before[3].0, 1, "one request for the one message");
    // Who replaces texts wants them sent.
    let replaced = laptop.run(&["sync", path(&file), "--replace", "--json"]).assert_code(0).json();
    assert_eq!((replaced["messages"].as_u64(), replaced["already_synced"].as_u64()), (Some(301), Some(0)));
}

#[test]
fn a_session_that_another_device_deleted_is_held_and_restored_only_when_asked_for() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let line = |number: u32| format!("{{\"content\":\"m{number}\",\"sequence_number\":{number}}}\n");
    laptop.run_with(&["sync", "--session", SESSION], line(1)).assert_code(0);
    project.server.delete_session(&SESSION.into()).unwrap();
    let ran = laptop.run_with(&["sync", "--session", SESSION], line(2)).assert_code(3);
    assert!(ran.err.contains("was deleted on another device"), "{}", ran.err);
    assert!(ran.out.contains("1 message left in the outbox: session_gone"), "{}", ran.out);
    assert_eq!((project.messages_on_server(), project.server.row_count(Table::Sessions).unwrap()), (0, 0));
    laptop.run(&["outbox", "restore", SESSION]).assert_code(0);
    laptop.run_with(&["sync", "--session", SESSION], line(2)).assert_code(0);
    assert_eq!(phone.pulled(SESSION), [(2, "m2".to_owned())], "row, secret and what is here");
}

#[test]
fn another_devices_session_is_written_under_its_own_secret_or_not_at_all() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    laptop.run_with(&["sync", "--session", SESSION], lines(["from the laptop"])).assert_code(0);
    let second = "{\"content\":\"from the phone\",\"sequence_number\":2}\n";
    phone.run_with(&["sync", "--session", SESSION], second).assert_code(0);
    let both = [(1, "from the laptop".to_owned()), (2, "from the phone".to_owned())];
    assert_eq!(laptop.pulled(SESSION), both);
    // A device that was registered later has no secret: its lines are refused, and nothing is
    // overwritten.
    let tablet = project.device("tablet");
    let other = "11111111-2222-4333-8444-555555555555";
    let input = format!(
        "{{\"content\":\"lost?\",\"sequence_number\":3}}\n{{\"content\":\"mine\",\"session_id\":\"{other}\"}}\n"
    );
    let ran = tablet.run_with(&["sync", "--session", SESSION], input).assert_code(2);
    assert!(
        ran.err.contains("line 1: ") && ran.err.contains("share it from a device that has it"),
        "{}",
        ran.err
    );
    assert_eq!(laptop.pulled(SESSION), both);
    assert_eq!(tablet.pulled(other), [(2, "mine".to_owned())]);
    tablet.run(&["pull", "--session", SESSION]).assert_code(2);
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_the_others_are_printed() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["one", "two", "three"])).assert_code(0);
    let rows = project.server.messages(&SESSION.into()).unwrap();
    // The server moves a ciphertext to another sequence number, where it must not decrypt.
    let row = |number: i64, content: &str, nonce: &str| {
        serde_json::json!({ "session_id": SESSION, "sequence_number": number,
            "content_encrypted": content, "content_nonce": nonce })
    };
    let altered = serde_json::json!([
        row(2, &rows[0].content_encrypted, &rows[0].content_nonce),
        row(3, "!!", &rows[2].content_nonce),
        row(4, "", ""),
    ]);
    let columns = Table::Messages.columns().into();
    let upsert = Upsert { table: Table::Messages, columns, body: altered.to_string().into_bytes() };
    project.server.seed(upsert).unwrap();
    let ran = laptop.run(&["pull", "--session", SESSION]).assert_code(2);
    assert_eq!(ran.objects().len(), 1, "{}", ran.out);
    for number in [2, 3, 4] {
        assert!(ran.err.contains(&format!("message {number}: ")), "{}", ran.err);
    }
}

#[test]
fn a_session_that_the_server_does_not_return_does_not_keep_the_others_back() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let other = "4be0643f-1d98-473b-97cd-ca98a65347de";
    for session in [SESSION, other] {
        laptop.run_with(&["sync", "--session", session], lines(["one"])).assert_code(0);
    }
    let refusal = Fault::Answer(Canned::error(400, "P0001", "not this one"));
    project.server.faults().plan(Scope::table(Table::Messages).method("GET"), Times::Next(1), refusal);
    let ran = laptop.run(&["pull"]).assert_code(5);
    let read: Vec<_> = ran.objects().iter().map(|row| row["session_id"].clone()).collect();
    assert_eq!(read, [other], "{ran:?}");
    assert!(ran.err.contains(SESSION) && ran.err.contains("P0001"), "{}", ran.err);
}

#[test]
fn each_kind_of_error_has_its_own_exit_code() {
    let project = Project::new();
    let blank = project.blank("blank");
    let file = project.file("a.ndjson", lines(["a"]));
    let signed_out = |ran: Outcome| assert!(ran.err.contains("levi login"), "{}", ran.err);
    signed_out(blank.run(&["sync", path(&file)]).assert_code(2));
    let (url, key) = (project.server.url(), project.server.publishable_key().to_owned());
    signed_out(blank.run(&["sync", path(&file), "--url", &url, "--key", &key]).assert_code(4));
    let laptop = project.device("laptop");
    laptop.run(&["sync", "no such file"]).assert_code(1);
    laptop.run(&["sync", path(project.directory.path())]).assert_code(1);
    laptop.run(&["sync", path(&file), "--session", "tuesday"]).assert_code(2);
    laptop.run(&["sync", "--nonsense"]).assert_code(2);
    laptop.run(&[]).assert_code(2);
    laptop.run(&["outbox"]).assert_code(2);
    laptop.run(&["sync", path(&file), "--url", "https://other.example"]).assert_code(4);
    laptop.run(&["--help"]).assert_code(0);
    laptop.run(&["pull", "--session", SESSION]).assert_code(2);
    project.server.go_down();
    laptop.run(&["pull"]).assert_code(5);
    assert_eq!(project.messages_on_server(), 0);
}
