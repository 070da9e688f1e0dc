//! Commands that go on until they are stopped, and outputs that nobody reads or that are full.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use levi::transport::Table;
use levi_testkit::supabase::{Fault, Scope, Times};
use project::{Outcome, PATIENCE, Project, lines};

const SESSION: &str = "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03";

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The service manager stops `levi sync` while its input goes on.
#[test]
fn a_sync_that_is_stopped_stores_and_sends_what_it_has_read() {
    let project = Project::new();
    let laptop = project.device("laptop");
    for (name, code) in [("-TERM", 143), ("-INT", 130)] {
        let before = project.messages_on_server();
        let mut child = laptop.start(&["sync", "--json"]);
        let mut input = child.stdin.take().unwrap();
        input.write_all(lines(["one", "two"]).as_bytes()).unwrap();
        project.server.wait_for(PATIENCE, |_| project.messages_on_server() == before + 2).unwrap();
        input.write_all(lines(["three"]).as_bytes()).unwrap();
        signal(&child, name);
        // The input stays open.
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let outcome = Outcome::of(child.wait_with_output().unwrap()).assert_code(code);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["messages"], &said["pending"]), (&3.into(), &0.into()), "{outcome:?}");
        assert_eq!(project.messages_on_server(), before + 3);
        drop(input);
    }
}

/// A service that begins again with a log: a device that came since the last run is given the secret at the first new line.
#[test]
fn a_new_device_reads_a_session_that_goes_on_while_the_input_stays_open() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    let phone = project.device("phone");
    let secrets = || project.server.row_count(Table::Secrets).unwrap();
    let before = secrets();
    let mut child = laptop.start(&["sync", "--session", SESSION]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines(["two"]).as_bytes()).unwrap();
    project.server.wait_for(PATIENCE, |_| secrets() > before).unwrap();
    assert_eq!(phone.pulled(SESSION)[0].1, "one");
    drop(input);
    Outcome::of(child.wait_with_output().unwrap()).assert_code(0);
}

#[test]
fn a_stopped_sync_without_a_server_keeps_what_it_has_read() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["known"])).assert_code(0);
    project.server.go_down();
    let mut child = laptop.start(&["sync", "--session", SESSION, "--patience", "600"]);
    child.stdin.take().unwrap().write_all(lines(["kept"]).as_bytes()).unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    err.read_line(&mut first).unwrap();
    signal(&child, "-TERM");
    let out = Outcome::of(child.wait_with_output().unwrap()).assert_code(143).out;
    assert!(out.contains("Nothing is lost"), "{out}");
    project.server.come_up().unwrap();
    laptop.run_with(&["sync"], "").assert_code(0);
    assert_eq!(project.messages_on_server(), 2);
}

#[test]
fn a_follower_that_is_stopped_ends_after_a_whole_line_and_without_noise() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        // With Realtime, it says how changes come as soon as that is known.
        let mut child = laptop.start(&["pull", "--follow", "--from-start", "--no-realtime"]);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        signal(&child, name);
        out.read_to_string(&mut line).unwrap();
        assert_eq!(Outcome::of(child.wait_with_output().unwrap()).assert_code(code).err, "");
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
    }
}

/// Waits until the command closes this end of its output, which it does when it ends.
#[track_caller]
fn rest_of(mut out: impl std::io::Read + Send + 'static) {
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut rest = Vec::new();
        sender.send(out.read_to_end(&mut rest).is_ok())
    });
    ended.recv_timeout(Duration::from_secs(10)).unwrap();
}

/// It waits for the reader of a pipe, which takes 64 kB at most, in the middle of a page.
#[test]
fn a_follower_whose_output_nobody_reads_ends_at_the_first_signal_and_prints_it_again() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let long = "x".repeat(1000);
    let texts: Vec<String> = (1..=900).map(|number| format!("{number} {long}")).collect();
    laptop.run_with(&["sync", "--session", SESSION], lines(texts)).assert_code(0);
    let phone = project.device("phone");
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        // Its cursor is behind nothing, because nothing was read to the end of the page.
        let mut child = laptop.start(&["pull", "--follow", "--no-realtime"]);
        let mut out = child.stdout.take().unwrap();
        let mut first = [0; 200];
        out.read_exact(&mut first).unwrap();
        assert!(String::from_utf8_lossy(&first).contains(r#""content":"1 x"#));
        signal(&child, name);
        rest_of(child.stderr.take().unwrap());
        Outcome::of(child.wait_with_output().unwrap()).assert_code(code);

        // The same where only the errors are not read: this device has no secret of the session.
        let mut child = phone.start(&["pull", "--follow", "--from-start", "--no-realtime"]);
        let mut err = child.stderr.take().unwrap();
        err.read_exact(&mut first).unwrap();
        signal(&child, name);
        rest_of(child.stdout.take().unwrap());
        Outcome::of(child.wait_with_output().unwrap()).assert_code(code);
    }
}

/// A server that takes a request and is silent is not waited for without a word, and not at all after a signal.
#[test]
fn a_silent_server_is_named_and_keeps_nobody_from_stopping() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    project.server.faults().plan(Scope::any(), Times::Always, Fault::StallBeforeWrite);
    for args in [&["pull"][..], &["share", "--all"], &["sessions"]] {
        let mut child = laptop.start(args);
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("has not answered for 10"), "{args:?}: {said}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let asked = project.server.stats().requests;
    let child = laptop.start(&["pull", "--follow"]);
    project.server.wait_for(PATIENCE, |stats| stats.requests > asked).unwrap();
    let began = Instant::now();
    signal(&child, "-INT");
    Outcome::of(child.wait_with_output().unwrap()).assert_code(130);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    project.server.faults().clear();
    project.server.faults().release();
}

/// The reader goes, and nothing more comes that could tell the follower by a failed write.
#[test]
fn a_follower_ends_when_nobody_reads_it_any_more() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["one", "two"])).assert_code(0);
    for command in
        ["levi pull --follow --from-start --no-realtime", "levi pull", "levi status --watch", "levi sessions"]
    {
        let ran = laptop.in_shell(&format!("{command} | head -1")).assert_code(0);
        assert_eq!((ran.out.lines().count(), ran.err.as_str()), (1, ""), "{command}: {ran:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_that_names_it() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync", "--session", SESSION], lines(["one"])).assert_code(0);
    for command in
        ["pull", "pull --follow --from-start", "status", "sessions --json", "doctor", "completions bash"]
    {
        let ran = laptop.in_shell(&format!("levi {command} > /dev/full")).assert_code(1);
        assert!(ran.err.contains("cannot write the output"), "{command}: {}", ran.err);
    }
    laptop.in_shell("levi --help > /dev/full").assert_code(1);
    // What could not be printed comes again.
    let again = laptop.in_shell("levi pull --follow | head -1").assert_code(0);
    assert!(again.out.contains("one"), "{again:?}");
    // Without a place for errors there is no panic either.
    laptop.in_shell("levi share nobody 2> /dev/full").assert_code(2);
    laptop.in_shell("levi share nobody 2>&-").assert_code(2);
    laptop.in_shell("levi sessions >&-");
}
