//! The lines of `docs/command.md` that turn transcripts into input, and the units of services.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod project;

use std::process::{Command, Stdio};

use project::{Device, Outcome, Project};
use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command.md");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
const SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/services");
const AIDER: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";

const QUESTION: &str = "Why does \"parse\" fail on an empty file?";
const ANSWER: &str = "It takes the first line\nwithout looking whether there is one.";

/// Whether this machine has a program, which a developer's may lack.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("passed over: {program} is not installed");
    }
    found.is_ok()
}

/// The shell line below a heading of the page.
fn line_of(agent: &str) -> String {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let section = page.split_once(&format!("\n### {agent}\n")).unwrap().1;
    section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0.to_owned()
}

fn run(device: &Device<'_>, line: &str, file: &str) -> Outcome {
    device.in_shell_with(line, &[("SESSION", AIDER), ("FILE", &format!("{SAMPLES}/{file}"))])
}

#[test]
fn each_agent_s_transcript_becomes_messages_and_a_second_run_adds_none() {
    if !has("jq") {
        return;
    }
    let looks = ("assistant", "I look at the tests first.");
    let both = [("user", QUESTION), ("assistant", ANSWER)];
    for (agent, file, session, said) in [
        (
            "Claude Code",
            "claude-code.jsonl",
            "5f0c7d1e-2b1a-4c3d-9e4f-8a7b6c5d4e3f",
            vec![both[0], looks, both[1]],
        ),
        ("Codex CLI", "codex.jsonl", "019a2d7a-41c4-78b1-b7cc-a45d62a89cd5", both.to_vec()),
        ("Gemini CLI", "gemini.json", "7d0d4a3e-90d1-4f60-8a7c-1f2e3d4c5b6a", both.to_vec()),
        ("Aider", "aider.md", AIDER, both.to_vec()),
    ] {
        let project = Project::new();
        let (laptop, phone) = (project.device("laptop"), project.device("phone"));
        for _ in 0..2 {
            run(&laptop, &line_of(agent), file).assert_code(0);
            assert_eq!(project.messages_on_server(), said.len() as u64, "{agent}");
        }
        let pulled = phone.pulled(session).into_iter().map(|(_, text)| serde_json::from_str(&text).unwrap());
        let expected =
            said.iter().map(|(role, content)| serde_json::json!({ "role": role, "content": content }));
        assert_eq!(pulled.collect::<Vec<Value>>(), expected.collect::<Vec<_>>(), "{agent}");
    }
}

/// What a service manager refuses, it refuses when the service is started, without anybody looking.
#[test]
fn service_managers_accept_the_units() {
    let runtime = tempfile::tempdir().unwrap();
    let checked = |program: &str, args: &[&str]| {
        let ran = Command::new(program).args(args).env("XDG_RUNTIME_DIR", runtime.path()).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(ran.status.success() && !said.contains("levi-sync"), "{program}: {said}");
    };
    if has("systemd-analyze") {
        checked("systemd-analyze", &["verify", "--user", &format!("{SERVICES}/levi-sync.service")]);
    }
    let agent = format!("{SERVICES}/dev.levi.sync.plist");
    if has("plutil") {
        checked("plutil", &["-lint", &agent]);
    } else if has("python3") {
        checked(
            "python3",
            &["-c", "import plistlib, sys; plistlib.load(open(sys.argv[1], 'rb'))['Label']", &agent],
        );
    }
}
