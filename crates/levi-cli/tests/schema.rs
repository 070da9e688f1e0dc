//! Every `--json` output has a document in `docs/schema`, and is as it says. All other tests hold
//! the outputs of what they run to it, too.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod project;

use std::io::{BufRead as _, BufReader, Read as _};

use levi_cli::ndjson;
use levi_testkit::fixtures::TestUser;
use levi_testkit::supabase::SignUps;
use project::schema::{check, document, documents, forms, held, hold_line, hold_stderr_line};
use project::{Device, PASSWORD, Project, lines, path};
use serde_json::{Value, json};

const SESSION: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";

/// Runs a command with `--json`, which holds its output to the document.
fn run(device: &Device<'_>, args: &[&str], stdin: &str) -> Vec<Value> {
    device.run_with(&[args, &["--json"]].concat(), stdin).objects()
}

/// `new` asks, and `old` adds it.
fn pair(old: &Device<'_>, new: &Device<'_>) {
    let fingerprint =
        run(new, &["devices"], "").last().unwrap()["this_fingerprint"].as_str().unwrap().to_owned();
    let mut child = old.start(&["pair", "--json", "--yes", &fingerprint]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut code = String::new();
    out.read_line(&mut code).unwrap();
    hold_line("pair", &code);
    let code: Value = serde_json::from_str(&code).unwrap();
    assert_eq!(run(new, &["pair", code["pairing_code"].as_str().unwrap(), "--name", "phone"], "").len(), 2);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    rest.lines().for_each(|line| hold_line("pair", line));
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_command_prints_what_its_document_says() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    laptop.login_with(&["--json"], PASSWORD).assert_code(0);
    let phone = project.device("phone");
    run(&laptop, &["sync", "--session", SESSION], &lines(["before"]));
    // An outage leaves rows in the outbox, a malformed line an error.
    project.server.go_down();
    run(&laptop, &["sync", "--session", SESSION, "--patience", "1"], &format!("{}broken\n", lines(["x"])));
    for command in [&["status"][..], &["outbox", "list"], &["outbox", "export"], &["outbox", "retry", "999"]]
    {
        run(&laptop, command, "");
    }
    project.server.come_up().unwrap();
    run(&laptop, &["sync"], &lines(["y"]));
    project.file("config.toml", "[profiles.work]\nurl = 'https://abcd.supabase.co'\n");
    for command in [
        &["pull"][..],
        &["sessions"],
        &["share", "--all"],
        &["doctor", "--server"],
        &["outbox", "restore", SESSION],
        &["outbox", "discard", "999"],
        &["outbox", "repair"],
        &["devices"],
        &["profiles"],
    ] {
        run(&laptop, command, "");
    }
    let key = laptop.data.with_file_name("key");
    run(&laptop, &["init", "--migrate", "--name", "laptop", "--recovery-key-file", path(&key)], "");
    let key = std::fs::read_to_string(key).unwrap();
    pair(&laptop, &phone);
    let key_file = laptop.data.with_file_name("new-key");
    run(&laptop, &["recovery", "new", "--key-stdin", "--recovery-key-file", path(&key_file)], &key);
    let key = std::fs::read_to_string(key_file).unwrap();
    for command in [&["verify"][..], &["devices"], &["status"], &["remove", "phone", "--yes"]] {
        run(&laptop, command, "");
    }
    run(&project.device("tablet"), &["recover", "--key-stdin", "--name", "tablet"], &key);
    run(&laptop, &["logout"], "");
    run(&laptop, &["logout", "--no-such-option"], "");
    sign_up(&project.blank("new"));
    follow_through_an_outage();
    if cfg!(feature = "demo") {
        run(&laptop, &["demo", "--outage", "0"], "");
        let mut child = laptop.start(&["demo", "--serve", "served", "--json"]);
        reader_of("demo", child.stdout.take().unwrap())();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut documents = documents();
    documents.remove("input");
    if cfg!(not(feature = "demo")) {
        documents.remove("demo");
    }
    let held = held();
    let forms = documents.iter().flat_map(|name| forms(name)).map(|(form, _)| form);
    let unheld: Vec<String> = forms.filter(|form| !held.contains(form)).collect();
    assert!(unheld.is_empty(), "no output was held to {unheld:?}");
}

/// Where addresses are confirmed first.
fn sign_up(new: &Device<'_>) {
    let server = TestUser::new().unwrap().server;
    server.set_sign_ups(SignUps::Confirmed);
    let (url, key) = (server.url(), server.publishable_key().to_owned());
    let args = ["login", "--sign-up", "--url", &url, "--key", &key, "--email", "grace@example.org"];
    run(new, &[&args[..], &["--password-stdin"]].concat(), PASSWORD);
}

/// Rows that were not shared at first come again, behind higher numbers or not.
#[test]
fn what_comes_while_a_command_follows_is_as_its_document_says() {
    let project = Project::new();
    let laptop = project.device("laptop");
    run(&laptop, &["sync", "--session", SESSION], &lines(["one", "two"]));
    let phone = project.device("phone");
    let mut child = phone.start(&["pull", "--follow", "--json", "--no-realtime"]);
    let mut next = reader_of("pull", child.stdout.take().unwrap());
    let mut unreadable = stderr_of(child.stderr.take().unwrap());
    for number in [1, 2] {
        let line = first_of(&mut unreadable, |line| !line["sequence_number"].is_null());
        assert_eq!(line["sequence_number"], number);
    }
    run(&laptop, &["share", "--all"], "");
    for text in ["one", "two"] {
        let line = next();
        assert_eq!((line["content"].as_str(), &line["edited"]), (Some(text), &json!(true)));
    }
    run(&laptop, &["sync", "--session", SESSION], &lines(["three"]));
    let line = next();
    assert_eq!((line["content"].as_str(), &line["edited"]), (Some("three"), &Value::Null));
    child.kill().unwrap();
    child.wait().unwrap();

    let mut child = laptop.start(&["status", "--watch", "--json"]);
    reader_of("status", child.stdout.take().unwrap())();
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Reads line after line, each of which `document` describes; null at the end.
fn reader_of(document: &'static str, out: impl std::io::Read) -> impl FnMut() -> Value {
    line_reader(move |line| hold_line(document, line), out)
}

/// The first line that is as wanted. Fails at the end.
fn first_of(next: &mut impl FnMut() -> Value, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line = next();
        assert!(!line.is_null(), "the command ended before the line that is waited for");
        if is_wanted(&line) {
            return line;
        }
    }
}

/// As [`reader_of`], of errors and notices.
fn stderr_of(err: impl std::io::Read) -> impl FnMut() -> Value {
    line_reader(hold_stderr_line, err)
}

fn line_reader(hold: impl Fn(&str), out: impl std::io::Read) -> impl FnMut() -> Value {
    let mut out = BufReader::new(out);
    move || {
        let mut line = String::new();
        if out.read_line(&mut line).unwrap() == 0 {
            return Value::Null;
        }
        hold(&line);
        serde_json::from_str(&line).unwrap()
    }
}

/// Good news is no error, and `--quiet` leaves it out.
fn follow_through_an_outage() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    assert_eq!(run(&phone, &["pull"], "").len(), 0);
    let resumed = json!({ "notice": "resumed" });
    for more in [&[][..], &["--quiet"]] {
        let quiet = !more.is_empty();
        let mut child = phone.start(&[&["pull", "--follow", "--json"], more].concat());
        let mut next = reader_of("pull", child.stdout.take().unwrap());
        let mut said = stderr_of(child.stderr.take().unwrap());
        let mut sync = |text| {
            run(&laptop, &["sync", "--session", SESSION], &lines([text]));
            first_of(&mut next, |line| line["content"] == text);
        };
        sync("before");
        if !quiet {
            assert_eq!(said(), json!({ "notice": "notifications", "by": "connected" }));
        }
        project.server.go_down();
        let mut lines = vec![said(), said()];
        assert!(lines.iter().any(|line| line["error"].is_string()), "{lines:?}");
        project.server.come_up().unwrap();
        sync("after");
        // What is said of the first page is said before the second.
        sync("and after");
        child.kill().unwrap();
        child.wait().unwrap();
        let mut line = said();
        while !line.is_null() {
            lines.push(line);
            line = said();
        }
        assert!(lines.iter().any(|line| line["by"] == "polling"), "{lines:?}");
        assert_eq!(lines.contains(&resumed), !quiet, "{lines:?}");
        assert!(!quiet || lines.iter().all(|line| line["by"] != "connected"), "{lines:?}");
    }
}

#[test]
fn every_command_with_json_output_has_a_document() {
    let project = Project::new();
    let documents = documents();
    for command in project.blank("laptop").commands() {
        // They print a script and write files.
        let has_none = ["completions", "man"].contains(&command.as_str());
        assert!(has_none || documents.contains(&command), "{command} of {documents:?}");
    }
}

/// The document of the input and the reader of the input agree on every line.
#[test]
fn an_input_line_is_read_if_and_only_if_its_document_describes_it() {
    let input = document("input");
    for value in [
        json!({ "content": "" }),
        json!({ "content": "a", "other": [1], "sequence_number": 0 }),
        json!({ "content": "a", "session_id": null, "message_id": "m", "sequence_number": i64::MAX }),
        json!({}),
        json!({ "content": null }),
        json!({ "content": 7 }),
        json!({ "content": "", "session_id": "" }),
        json!({ "content": "", "message_id": 3 }),
        json!({ "content": "", "sequence_number": -4 }),
        json!({ "content": "", "sequence_number": 1.5 }),
        json!({ "content": "", "sequence_number": u64::MAX }),
        json!(["a"]),
        json!("a"),
    ] {
        let read = ndjson::parse(value.to_string().as_bytes());
        assert_eq!(read.is_ok(), check(&input, &value).is_ok(), "{value}: {read:?}");
    }
}

/// Else the documents would hold nothing.
#[test]
fn a_field_too_many_and_a_field_too_few_are_seen() {
    let sync = document("sync");
    let good = json!({
        "messages": 1, "already_synced": 0, "bad_lines": 0, "batches": 1, "retries": 0, "pending": 0, "parked": 0,
        "sessions": ["a"]
    });
    check(&sync, &good).unwrap();
    for (field, value) in [("added", json!(1)), ("pending", json!(-1)), ("sessions", json!([1]))] {
        let mut bad = good.clone();
        bad[field] = value;
        check(&sync, &bad).unwrap_err();
    }
    let mut short = good;
    short.as_object_mut().unwrap().remove("parked");
    check(&sync, &short).unwrap_err();
}
