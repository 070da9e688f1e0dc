//! The walk in `docs/trust.md`, section "Two terminals", with the real command: what is printed there is what it prints.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod project;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use project::{Device, Outcome, Project};

const PAGE: &str = include_str!("../../../docs/trust.md");
const HEADING: &str = "\n## Two terminals\n";
/// What stands for the other device's code, and for the fingerprint that it is added by.
const CODE: &str = "levi pair CODE";

/// One command of the page, at one terminal, and what is printed below it.
struct Step<'p> {
    terminal: &'p str,
    command: &'p str,
    printed: String,
}

fn steps() -> Vec<Step<'static>> {
    let section = PAGE.split_once(HEADING).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let mut steps: Vec<Step<'_>> = Vec::new();
    let blocks = section.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    for line in blocks.flat_map(str::lines) {
        match (line.split_once("$ "), steps.last_mut()) {
            (Some((terminal, command)), _) if !terminal.contains(' ') => {
                steps.push(Step { terminal, command, printed: String::new() });
            }
            (_, Some(step)) => step.printed.push_str(&(line.to_owned() + "\n")),
            (_, None) => panic!("{line:?} is before the first command"),
        }
    }
    steps
}

/// Replaces what another run prints differently: codes, fingerprints, digits, ids, times.
fn comparable(text: &str) -> String {
    let is_random = |word: &&str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_code = word.len() >= 19
            && word.split('-').all(|group| {
                group.len() >= 4 && group.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
            });
        let is_id = word.len() == 36 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let is_digits = word.len() == 4 && word.chars().all(|c| c.is_ascii_digit());
        let is_time = word.len() > 4 && word.chars().all(|c| c.is_ascii_digit() || "-:".contains(c));
        is_code || is_id || is_digits || is_time
    };
    let line = |line: &str| {
        line.split_whitespace()
            .map(|word| if is_random(&word) { "#" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines().map(|text| line(text) + "\n").collect::<String>().trim().to_owned()
}

/// Runs a command as a shell does that shows both streams. Returns what is printed.
fn run(device: &Device<'_>, command: &str) -> String {
    let mut shell = device.command(&[]);
    shell_of(&mut shell, command);
    let ran = shell.stdin(Stdio::null()).output().unwrap();
    let Outcome { out, err, .. } = Outcome::of(ran);
    out + &err
}

/// Makes `levi` in `command` the built one.
fn shell_of(to: &mut std::process::Command, command: &str) {
    let levi = to.get_program().to_owned();
    let env: Vec<_> =
        to.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    let directory = to.get_current_dir().unwrap().to_owned();
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("levi() {{ \"$LEVI\" \"$@\"; }}; {command}"))
        .env("LEVI", levi)
        .current_dir(directory);
    for (name, value) in env {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    *to = shell;
}

#[test]
fn two_terminals_print_what_the_page_shows() {
    let project = Project::new();
    let mut devices: HashMap<&str, Device<'_>> = HashMap::new();
    let mut invitation = None;
    let mut printed = String::new();
    let steps = steps();
    for (at, step) in steps.iter().enumerate() {
        if step.command.starts_with("levi login") {
            devices.insert(step.terminal, project.device(step.terminal));
            continue;
        }
        let device = &devices[step.terminal];
        if step.command.starts_with("levi pair --yes") {
            // It waits for the next command, which is at the other terminal.
            let next = &steps[at + 1];
            let shown = run(&devices[next.terminal], "levi devices 2> /dev/null");
            let fingerprint = shown.trim().rsplit(' ').next().unwrap().to_owned();
            let mut child = device.start(&["pair", "--yes", &fingerprint]);
            let mut out = BufReader::new(child.stdout.take().unwrap());
            let mut before = String::new();
            let code = loop {
                let from = before.len();
                out.read_line(&mut before).unwrap();
                if let Some(code) = before[from..].trim().strip_prefix("levi pair ") {
                    break code.to_owned();
                }
                assert!(before.len() > from, "{before}");
            };
            invitation = Some((child, out, before, code, &step.printed));
            continue;
        }
        if step.command.starts_with(CODE) {
            let (child, mut out, mut before, code, expected) = invitation.take().unwrap();
            let joined = run(device, &step.command.replace("CODE", &code));
            std::io::Read::read_to_string(&mut out, &mut before).unwrap();
            Outcome::of(child.wait_with_output().unwrap()).assert_code(0);
            printed.push_str(&format!("(pair)\n{before}\n{} {}\n{joined}\n", step.terminal, step.command));
            assert_eq!(comparable(&before), comparable(expected), "{printed}");
            assert_eq!(comparable(&joined), comparable(&step.printed), "{printed}");
            continue;
        }
        let ran = run(device, step.command);
        printed.push_str(&format!("{}$ {}\n{ran}", step.terminal, step.command));
        assert_eq!(comparable(&ran), comparable(&step.printed), "{printed}");
    }
    std::io::stdout().write_all(printed.as_bytes()).unwrap();
}
