//! The walk in `docs/trust.md`, section "Two terminals", with the real command: what the page shows is what it prints.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod project;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use project::{Device, Outcome, Project};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/trust.md");
const HEADING: &str = "\n## Two terminals\n";

/// One command of the page, at one terminal, and what is printed below it.
struct Step {
    terminal: String,
    command: String,
    printed: String,
}

/// The device that shows a code, and waits.
struct Inviting {
    step: usize,
    child: Child,
    out: BufReader<ChildStdout>,
    shown: String,
    code: String,
}

#[test]
fn two_terminals_print_what_the_page_shows() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 10);
    let project = Project::new();
    let mut devices: HashMap<&str, Device<'_>> = HashMap::new();
    let mut printed = vec![String::new(); steps.len()];
    let mut inviting: Option<Inviting> = None;
    for (at, Step { terminal, command, printed: shown }) in steps.iter().enumerate() {
        if command.starts_with("levi login") {
            devices.insert(terminal, project.device(terminal));
            printed[at].clone_from(shown);
        } else if command.starts_with("levi pair --yes") {
            // The next command is at the new device, whose fingerprint is another one in each run.
            inviting = Some(Inviting::new(
                at,
                &devices[terminal.as_str()],
                &devices[steps[at + 1].terminal.as_str()],
            ));
        } else if let Some(inviting) = inviting.take() {
            let command = command.replace("CODE", &inviting.code);
            printed[at] = run(&devices[terminal.as_str()], &command);
            let step = inviting.step;
            printed[step] = inviting.end();
        } else {
            printed[at] = run(&devices[terminal.as_str()], command);
        }
    }
    let shown: String = steps.iter().map(|step| step.with(&step.printed)).collect();
    let real: String = steps.iter().zip(&printed).map(|(step, printed)| step.with(printed)).collect();
    assert_eq!(comparable(&real), comparable(&shown), "the page should show:\n{real}");
}

fn steps(page: &str) -> Vec<Step> {
    let section = page.split_once(HEADING).unwrap().1.split("\n## ").next().unwrap();
    let blocks = section.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.split_once("$ ").filter(|(terminal, _)| !terminal.contains(' ')) {
            Some((terminal, command)) => {
                let (terminal, command) = (terminal.to_owned(), command.to_owned());
                steps.push(Step { terminal, command, printed: String::new() });
            }
            None => steps.last_mut().unwrap().printed.push_str(&(line.to_owned() + "\n")),
        }
    }
    steps
}

impl Step {
    fn with(&self, printed: &str) -> String {
        format!("{}$ {}\n{printed}", self.terminal, self.command)
    }
}

impl Inviting {
    fn new(step: usize, old: &Device<'_>, new: &Device<'_>) -> Self {
        let fingerprint = run(new, "levi devices 2> /dev/null");
        let fingerprint = fingerprint.trim().rsplit(' ').next().unwrap();
        let mut child = old.start(&["pair", "--yes", fingerprint]);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut shown = String::new();
        let code = loop {
            let from = shown.len();
            assert!(out.read_line(&mut shown).unwrap() > 0, "{shown}");
            if let Some(code) = shown[from..].trim().strip_prefix("levi pair ") {
                break code.to_owned();
            }
        };
        Self { step, child, out, shown, code }
    }

    fn end(mut self) -> String {
        self.out.read_to_string(&mut self.shown).unwrap();
        Outcome::of(self.child.wait_with_output().unwrap()).assert_code(0);
        self.shown
    }
}

/// Runs a line of the page in a shell, and returns what both streams show.
fn run(device: &Device<'_>, line: &str) -> String {
    let levi = device.command(&[]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("levi() {{ \"$LEVI\" \"$@\"; }}; {line}"));
    for (name, value) in levi.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("LEVI", levi.get_program()).current_dir(levi.get_current_dir().unwrap());
    let Outcome { out, err, .. } = Outcome::of(shell.stdin(Stdio::null()).output().unwrap());
    out + &err
}

/// Replaces what each run prints differently: codes, fingerprints, digits, ids, times.
fn comparable(text: &str) -> String {
    let same = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let groups = || core.split('-');
        let is_code = groups().count() >= 4
            && groups().all(|group| {
                group.len() == 4 && group.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
            });
        let is_id = core.len() == 36 && core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let is_number = core.len() >= 4 && core.chars().all(|c| c.is_ascii_digit() || c == '-' || c == ':');
        if is_code || is_id || is_number { "#".to_owned() } else { word.to_owned() }
    };
    text.lines().map(|line| line.split_whitespace().map(same).collect::<Vec<_>>().join(" ") + "\n").collect()
}
