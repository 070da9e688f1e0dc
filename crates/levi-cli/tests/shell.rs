//! What a person expects of a command beside what it does: completions, manual pages, hints.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use project::{PASSWORD, Project, lines};

#[test]
fn completions_and_manual_pages_name_every_command() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let commands = laptop.commands();
    assert!(commands.contains(&"outbox-restore".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = laptop.run(&["completions", shell]).assert_code(0).out;
        let names = commands.iter().map(|command| command.rsplit('-').next().unwrap());
        for word in names.chain(["from-start", "sign-up", "text", "profile", "quiet"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let pages = project.directory.path().to_str().unwrap();
    laptop.run(&["man", pages]).assert_code(0);
    for command in commands {
        let page = project.directory.path().join(format!("levi-{command}.1"));
        assert!(page.exists(), "{}", page.display());
    }
}

/// A hint names a command that is there, and is for people only.
#[test]
fn a_hint_at_the_next_step_is_for_people() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let login = laptop.login(PASSWORD);
    let sync = laptop.run_with(&["sync"], lines(["one"]));
    project.device("phone");
    let share = laptop.run(&["share", "--all"]);
    let commands = laptop.commands();
    for outcome in [login, sync, share] {
        let hint = outcome.err.lines().find(|line| line.starts_with("next: ")).unwrap_or_default();
        let named: Vec<&str> = hint.split("`levi ").skip(1).collect();
        assert!(!named.is_empty(), "{outcome:?}");
        for command in named {
            let name = command.split([' ', '`']).next().unwrap();
            assert!(commands.iter().any(|command| command == name), "{hint}");
        }
    }
    for silent in ["--json", "--quiet"] {
        let login = laptop.login_with(&[silent], PASSWORD);
        let sync = laptop.run_with(&["sync", silent], lines(["one"]));
        project.device(&format!("tablet{silent}"));
        let share = laptop.run(&["share", "--all", silent]);
        for outcome in [login, sync, share] {
            assert!(!outcome.err.contains("next: "), "{silent}: {outcome:?}");
        }
    }
}
