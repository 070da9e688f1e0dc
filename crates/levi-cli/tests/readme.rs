//! The README's first screen, as somebody copies it: two devices, one after the other in a shell each.
#![cfg(all(unix, feature = "demo"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use project::{Outcome, Project};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

/// What is to be copied into each terminal.
fn blocks() -> Vec<String> {
    let readme = std::fs::read_to_string(README).unwrap();
    let section = readme
        .split_once("\n## Two devices in a minute\n")
        .unwrap()
        .1
        .split("\n## ")
        .next()
        .unwrap()
        .to_owned();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A terminal in `folder`, in which `levi` is the built command.
fn terminal(folder: &Path, line: &str) -> Child {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", line]).current_dir(folder).env("PATH", path);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LEVI_")) {
        shell.env_remove(name);
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(mut child: Child) {
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_newcomer_reads_on_one_device_what_the_other_one_writes() {
    let project = Project::new();
    let folder = project.directory.path();
    std::fs::create_dir(folder.join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_levi"), folder.join("bin/levi")).unwrap();
    let [install, serve, phone, laptop] = blocks().try_into().unwrap();
    assert_eq!(install, "cargo install --locked --path crates/levi-cli\n");

    let mut server = terminal(folder, &format!("exec {serve}"));
    let mut printed = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = printed.by_ref().take_while(|line| !line.contains("sync --text")).collect();
    assert!(said[0].contains("a fake Supabase") || said[0].contains("A fake Supabase"), "{said:?}");
    assert_eq!(
        Outcome::of(terminal(folder, &serve).wait_with_output().unwrap()).code,
        1,
        "the folder is taken"
    );

    let mut reader =
        terminal(folder, &phone.replace("levi --profile phone pull", "exec levi --profile phone pull"));
    let mut read = BufReader::new(reader.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(read.next().unwrap().contains("(phone)"), "the phone is signed in before the laptop writes");
    Outcome::of(terminal(folder, &laptop).wait_with_output().unwrap()).assert_code(0);
    assert!(read.next().unwrap().contains("hello from the laptop"));
    end(reader);
    end(server);
    assert!(!folder.join("levi-demo").exists(), "nothing is left behind");
}
