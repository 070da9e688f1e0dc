//! `levi status --watch` on a terminal and without one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod project;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use project::{Device, PATIENCE, Project, lines};

const TO_SCREEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const FROM_SCREEN: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The command on a terminal of its own, which util-linux's `script` makes.
struct Terminal {
    child: Child,
    shown: std::sync::mpsc::Receiver<Vec<u8>>,
    all: String,
}

impl Terminal {
    fn open(device: &Device<'_>, args: &str, variables: &[(&str, &str)]) -> Self {
        Self::run(device, &format!("\"$LEVI\" {args}"), variables)
    }

    /// Runs a line of a shell, with the command as `$LEVI`.
    fn run(device: &Device<'_>, line: &str, variables: &[(&str, &str)]) -> Self {
        let levi = device.command(&[]);
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", line, "/dev/null"]);
        for (name, value) in levi.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.env("LEVI", levi.get_program()).env("TERM", "xterm-256color").envs(variables.iter().copied());
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, shown) = std::sync::mpsc::channel();
        let mut out = child.stdout.take().unwrap();
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut some) {
                let _ = sender.send(some[..read].to_vec());
            }
        });
        Self { child, shown, all: String::new() }
    }

    /// Waits until what was shown since the start contains `text`.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.all.contains(text) {
            match self.shown.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.all.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("no {text:?} ({error}) at the end of {:?}", self.tail()),
            }
        }
    }

    fn tail(&self) -> String {
        let from = self.all.chars().count().saturating_sub(2000);
        self.all.chars().skip(from).collect()
    }

    fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        while let Ok(bytes) = self.shown.recv() {
            self.all.push_str(&String::from_utf8_lossy(&bytes));
        }
        (code, std::mem::take(&mut self.all))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal closes with it, after a failed test too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_shows_what_waits_and_why_as_it_changes_and_is_clean_after_ctrl_c() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let mut terminal = Terminal::open(&laptop, "status --watch", &[]);
    terminal.wait_for("outbox          none yet");
    assert!(terminal.all.starts_with(TO_SCREEN), "{:?}", terminal.all);
    project.server.go_down();
    laptop.run_with(&["sync", "--patience", "1"], lines(["one", "two"])).assert_code(3);
    terminal.wait_for("pending         2 messages");
    terminal.wait_for("the server cannot be reached");
    project.server.come_up().unwrap();
    laptop.run_with(&["sync"], "").assert_code(0);
    terminal.wait_for("pending         0 messages");
    terminal.type_in("\x03");
    let (code, shown) = terminal.end();
    assert_eq!(code, 130);
    // Nothing is left on the terminal but what the terminal itself echoes.
    assert!(shown.trim_end().ends_with(FROM_SCREEN), "{shown:?}");
    assert!(!shown.contains("panicked"));
}

#[test]
fn a_small_terminal_shows_the_beginning_and_does_not_scroll() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let mut terminal = Terminal::run(&laptop, "stty rows 3 cols 40; exec \"$LEVI\" status --watch", &[]);
    terminal.wait_for("... 2 more");
    terminal.type_in("\x03");
    let (_, shown) = terminal.end();
    assert!(shown.contains("data directory") && !shown.contains("outbox"), "{shown:?}");
    for frame in shown.split("\x1b[H").skip(1) {
        assert!(frame.matches('\n').count() <= 2 && frame.len() < 3 * 60, "{frame:?}");
    }
}

#[test]
fn a_stopped_watch_gives_the_terminal_back_and_takes_it_again() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let line = "bash -c 'set -m; \"$LEVI\" status --watch; echo the shell; fg'";
    let mut terminal = Terminal::run(&laptop, line, &[]);
    terminal.wait_for("none yet");
    terminal.type_in("\x1a");
    terminal.wait_for("the shell");
    let after = terminal.all.split_off(terminal.all.find("the shell").unwrap());
    let before = std::mem::replace(&mut terminal.all, after);
    assert_eq!(before.matches(FROM_SCREEN).count(), 1, "{before:?}");
    terminal.wait_for(TO_SCREEN);
    terminal.wait_for("none yet");
    terminal.type_in("\x03");
    let (code, shown) = terminal.end();
    assert_eq!(code, 130);
    assert!(shown.trim_end().ends_with(FROM_SCREEN), "{shown:?}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let shown = |args: &str, variables: &[(&str, &str)]| Terminal::open(&laptop, args, variables).end().1;
    assert!(shown("doctor", &[]).contains("\x1b[1m\x1b[31mPROBLEM"));
    for (args, variables) in [
        ("doctor", &[("NO_COLOR", "1")][..]),
        ("doctor", &[("TERM", "dumb")]),
        ("doctor", &[("TERM", "dumb"), ("CI", "true")]),
        ("doctor --json", &[]),
        ("doctor | cat", &[]),
        ("--help", &[("NO_COLOR", "1")]),
    ] {
        let text = shown(args, variables);
        assert!(!text.contains('\x1b') && text.contains("levi"), "{args}: {text:?}");
    }
}

#[test]
fn without_a_terminal_a_status_is_printed_when_more_than_the_time_changed() {
    let project = Project::new();
    let laptop = project.device("laptop");
    project.server.go_down();
    laptop.run_with(&["sync", "--patience", "1"], lines(["one"])).assert_code(3);
    let mut child = laptop.start(&["status", "--watch", "--json"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut pending = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let status: serde_json::Value = serde_json::from_str(&line).unwrap();
        status["outbox"]["pending"].as_u64().unwrap()
    };
    assert_eq!(pending(), 1);
    project.server.come_up().unwrap();
    laptop.run_with(&["sync"], "").assert_code(0);
    // The age of the message has changed several times meanwhile, and that is no news.
    let mut seen = vec![pending()];
    while seen.last() != Some(&0) {
        seen.push(pending());
    }
    assert!(seen.len() <= 3, "{seen:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}
