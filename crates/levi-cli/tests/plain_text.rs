//! `levi sync --text`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use project::{Project, path};

const SESSION: &str = "4be0643f-1d98-473b-97cd-ca98a65347dd";

#[test]
fn lines_of_text_and_whole_texts_arrive_as_they_stand() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let sync = |more: &[&str], text: &str| {
        laptop.run_with(&[&["sync", "--session", SESSION], more].concat(), text).assert_code(0);
    };
    sync(&["--text"], "{\"content\": 1}\n\n  indented\r\n");
    sync(&["--text=whole"], "a\n\nb\n");
    sync(&["--text", "--role", "user"], "how?\n");
    let contents: Vec<String> = phone.pulled(SESSION).into_iter().map(|(_, content)| content).collect();
    let spoken = "{\"role\":\"user\",\"content\":\"how?\"}";
    assert_eq!(contents, ["{\"content\": 1}", "  indented", "a\n\nb\n", spoken]);
}

#[test]
fn a_text_file_can_be_synced_again_and_its_bad_lines_are_named() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("notes.txt", b"one\n\xff\nthree\n");
    for _ in 0..2 {
        let ran = laptop.run(&["sync", "--text", path(&file)]).assert_code(2);
        assert!(ran.err.contains("line 2: not UTF-8 (byte 1)"), "{}", ran.err);
        assert_eq!(project.messages_on_server(), 2);
    }
    let long = project.file("long.txt", "x".repeat((1 << 20) + 1));
    let refused = laptop.run(&["sync", "--text=whole", path(&long)]).assert_code(2);
    assert!(refused.err.contains("line 1") && project.messages_on_server() == 2, "{}", refused.err);
    for wrong in
        [&["sync", "--role", "user"][..], &["sync", "--text", "--role", ""], &["sync", "--text=page"]]
    {
        laptop.run_with(wrong, "x\n").assert_code(2);
    }
    // FILE may stand right after --text.
    laptop.run(&["sync", "--text", path(&file), "--patience", "5"]).assert_code(2);
}
