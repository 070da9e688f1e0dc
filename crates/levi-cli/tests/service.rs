//! The units of `docs/services`, run as their service managers run them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use project::{Device, PATIENCE, Project};

const SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/services");
const SESSION: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";

/// What the shell of the unit for systemd runs.
fn line_of_systemd() -> String {
    let unit = std::fs::read_to_string(format!("{SERVICES}/levi-sync.service")).unwrap();
    let line = unit.split_once("ExecStart=/bin/sh -c '").unwrap().1.split_once('\'').unwrap().0;
    // For systemd a `$` is written twice.
    line.replace("$$", "$")
}

/// What the shell of the launch agent runs.
fn line_of_launchd() -> String {
    let agent = std::fs::read_to_string(format!("{SERVICES}/dev.levi.sync.plist")).unwrap();
    let line = agent.split_once("<string>-c</string>").unwrap().1.split_once("<string>").unwrap().1;
    line.split_once("</string>").unwrap().0.to_owned()
}

/// A running service, in a process group of its own, as a service manager ends it.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.0.wait();
    }
}

fn start(device: &Device<'_>, line: &str, log: &str) -> Service {
    let bin = device.data.with_file_name("bin");
    std::fs::create_dir(&bin).unwrap();
    let levi = device.command(&[]);
    std::os::unix::fs::symlink(levi.get_program(), bin.join("levi")).unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", line]).process_group(0);
    for (name, value) in levi.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    shell.env("PATH", path).env("LOG", log).env("SESSION", SESSION);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Service(shell.spawn().unwrap())
}

fn add(log: &mut File, line: &str) {
    log.write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[test]
fn a_service_sends_what_a_log_gets_from_its_end_on() {
    assert_eq!(line_of_systemd(), line_of_launchd());
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let path = project.file("agent.log", "of before\n");
    let mut log = OpenOptions::new().append(true).open(&path).unwrap();
    let _service = start(&laptop, &line_of_systemd(), project::path(&path));
    // Nothing tells when `tail` has found the end of the log, so lines come until one arrives.
    let began = Instant::now();
    while project.messages_on_server() == 0 {
        assert!(began.elapsed() < PATIENCE, "no line of the log arrives");
        add(&mut log, "begin");
        let _ = project.server.wait_for(Duration::from_secs(1), |_| project.messages_on_server() > 0);
    }
    add(&mut log, "the last line");
    let texts = || phone.pulled(SESSION).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let began = Instant::now();
    while texts().last().map(String::as_str) != Some("the last line") {
        assert!(began.elapsed() < PATIENCE, "the last line of the log does not arrive");
    }
    assert!(!texts().contains(&"of before".to_owned()), "a log is read from its end on");
}
