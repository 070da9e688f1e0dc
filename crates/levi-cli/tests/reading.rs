//! Reading on another device: sessions, what comes, sharing by name.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::io::{BufRead, BufReader};
use std::process::Child;

use levi::transport::Table;
use project::{PASSWORD, Project, lines};

const SESSION: &str = "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03";

/// What a command that goes on prints, up to the line with this text.
fn until(out: &mut impl BufRead, text: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    while texts.last().is_none_or(|last| last != text) {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["session_id"], SESSION);
        texts.push(line["content"].as_str().unwrap().to_owned());
    }
    texts
}

#[test]
fn a_follower_prints_what_comes_and_the_next_run_goes_on_behind_it() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let sync = |text: &str| {
        laptop.run_with(&["sync", "--session", SESSION], lines([text])).assert_code(0);
    };
    let follow = |more: &[&str]| {
        let mut child = phone.start(&[&["pull", "--follow"], more].concat());
        let out = BufReader::new(child.stdout.take().unwrap());
        (child, out)
    };
    let stop = |mut child: Child| {
        child.kill().unwrap();
        child.wait().unwrap();
    };
    sync("one");
    let (child, mut out) = follow(&[]);
    assert_eq!(until(&mut out, "one"), ["one"]);
    sync("two");
    assert_eq!(until(&mut out, "two"), ["two"]);
    sync("three");
    until(&mut out, "three");
    stop(child);

    let (child, mut out) = follow(&[]);
    sync("four");
    let texts = until(&mut out, "four");
    // The cursor of the last line may not have been written yet; those of the lines before it were.
    assert!(texts == ["four"] || texts == ["three", "four"], "{texts:?}");
    stop(child);

    let (child, mut out) = follow(&["--from-start"]);
    assert_eq!(until(&mut out, "four"), ["one", "two", "three", "four"]);
    stop(child);
}

/// With these commands a person looks whom to trust, and who has a stolen token may write any name.
#[test]
fn a_name_from_the_server_moves_no_cursor_of_the_terminal() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let name = "\u{1b}[2J\u{1b}]0;x\u{7}evil\r\u{202e}\u{9b}1mname\nphone";
    laptop.login_with(&["--device-name", name], PASSWORD).assert_code(0);
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    for command in ["sessions", "devices"] {
        let shown = laptop.run(&[command]).assert_code(0).out;
        let line = shown.lines().find(|line| line.contains("evil")).unwrap();
        assert!(line.contains("name\u{fffd}phone"), "{line:?}");
        let foreign =
            |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
        assert!(!shown.contains(foreign), "{shown:?}");
    }
}

/// Each would go on behind what only the other has printed.
#[test]
fn a_second_follower_in_one_folder_is_refused() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    let mut first = laptop.start(&["pull", "--follow"]);
    // Kept open: a follower whose output nobody reads ends.
    let mut shown = BufReader::new(first.stdout.take().unwrap());
    until(&mut shown, "one");
    let refused = laptop.run(&["pull", "--follow"]);
    let advice = "follows with the cursor pull; end it, or follow beside it with --cursor";
    assert!(refused.err.contains(advice), "{}", refused.err);
    let mut beside = laptop.start(&["pull", "--follow", "--cursor", "beside"]);
    until(&mut BufReader::new(beside.stdout.take().unwrap()), "one");
    beside.kill().unwrap();
    beside.wait().unwrap();
    for name in ["", "a b", "../x", "a-name-with-28-letters-aaaaa"] {
        laptop.run(&["pull", "--follow", "--cursor", name]).assert_code(2);
    }
    laptop.run(&["pull", "--cursor", "beside"]).assert_code(2);
    first.kill().unwrap();
    first.wait().unwrap();
    let mut again = laptop.start(&["pull", "--follow", "--from-start"]);
    until(&mut BufReader::new(again.stdout.take().unwrap()), "one");
    again.kill().unwrap();
    again.wait().unwrap();
}

#[test]
fn one_session_is_followed_by_a_cursor_of_its_own() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    laptop.run_with(&["sync"], lines(["of another session"])).assert_code(0);
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    let follow = |args: &[&str], texts: &[&str]| {
        let mut child = phone.start(&[&["pull", "--follow"], args].concat());
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        for text in texts {
            assert!(out.next().unwrap().unwrap().contains(text), "{args:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let before = project.server.requests().len();
    follow(&["--session", SESSION], &["one"]);
    let requests = project.server.requests().split_off(before);
    let feed: Vec<_> = requests.iter().filter(|request| request.target.contains("change_id")).collect();
    let filter = format!("session_id=eq.{SESSION}");
    assert!(!feed.is_empty() && feed.iter().all(|request| request.target.contains(&filter)), "{feed:?}");
    // Nothing was passed over for those who follow all sessions.
    follow(&[], &["of another session", "one"]);
    phone.run(&["pull", "--follow", "--session", "x"]).assert_code(2);
}

#[test]
fn a_session_that_is_not_there_is_told_from_one_that_is_not_shared() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["x"])).assert_code(0);
    let phone = project.device("phone");
    let id = phone.run(&["status", "--json"]).json()["device_id"].as_str().unwrap().to_owned();
    for command in [&["pull"][..], &["pull", "--follow"]] {
        let pull = |session: &str| phone.run(&[command, &["--session", session]].concat()).assert_code(2).err;
        let none = pull("00000000-0000-4000-8000-000000000000");
        assert!(none.contains("there is no session") && none.contains("levi sessions"), "{none}");
        assert!(pull(SESSION).contains(&format!("levi share {id}")), "{}", pull(SESSION));
    }
}

#[test]
fn sessions_are_listed_and_shared_with_devices_by_name() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION, "--title", "a parser"], lines(["x"])).assert_code(0);
    let phone = project.blank("phone");
    phone.login_with(&["--device-name", "the phone"], PASSWORD).assert_code(0);
    let listed = phone.run(&["sessions", "--json"]).assert_code(0).json();
    assert_eq!((&listed["session_id"], &listed["readable"]), (&SESSION.into(), &false.into()));
    assert_eq!((&listed["title"], &listed["status"]), (&"a parser".into(), &"active".into()));
    let said = phone.run(&["sessions"]).assert_code(0);
    assert!(said.err.contains("levi share"), "{}", said.err);

    laptop.run(&["share", "no such device"]).assert_code(2);
    let shared = laptop.run(&["share", "the phone", "--json"]).assert_code(0).json();
    assert_eq!(shared["shared"], 1);
    assert_eq!(phone.run(&["sessions", "--json"]).json()["readable"], true);
    project.blank("tablet").login(PASSWORD).assert_code(0);
    let all = laptop.run(&["share", "--all", "--json"]).assert_code(0);
    assert_eq!(all.out.lines().count(), 2);
    let devices = project.server.row_count(Table::Devices).unwrap();
    assert_eq!(project.server.row_count(Table::Secrets).unwrap(), devices);
}
