//! `levi doctor`: the problems that it finds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::path::Path;

use levi::transport::Table;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::{Device, Outcome, Project, lines, path};

fn problems(ran: &Outcome) -> Vec<String> {
    let findings = ran.objects().into_iter();
    findings
        .filter(|finding| finding["verdict"] == "problem")
        .inspect(|finding| assert!(finding["advice"].is_string(), "{finding}"))
        .map(|finding| {
            format!("{}: {}", finding["check"].as_str().unwrap(), finding["detail"].as_str().unwrap())
        })
        .collect()
}

fn examined(device: &Device<'_>) -> Vec<String> {
    let ran = device.run(&["doctor", "--server", "--json"]);
    let problems = problems(&ran);
    assert_eq!(ran.code, if problems.is_empty() { 0 } else { 7 }, "{ran:?}");
    problems
}

#[test]
fn a_sound_project_has_no_problems_and_is_not_written_to() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["x"])).assert_code(0);
    let rows = || Table::ALL.map(|table| project.server.row_count(table).unwrap());
    let before = rows();
    assert_eq!(examined(&laptop), Vec::<String>::new());
    assert_eq!(rows(), before);
    let text = laptop.run(&["doctor", "--server"]).assert_code(0);
    for table in Table::ALL {
        assert!(text.out.contains(table.name()), "{}", text.out);
    }
}

#[test]
fn each_missing_table_column_key_and_policy_is_named() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let faults = project.server.faults();
    let always = |table, method, canned| {
        faults.plan(Scope::table(table).method(method), Times::Always, Fault::Answer(canned));
    };
    always(Table::Secrets, "GET", Canned::error(404, "PGRST205", "Could not find the table"));
    let no_column = Canned::error(400, "42703", "column repositories.is_worktree does not exist");
    // The read of all columns, then of seven single columns that exist, then of the missing one.
    let reads = Scope::table(Table::Repositories).method("GET");
    faults.plan(reads.clone(), Times::Next(1), Fault::Answer(no_column.clone()));
    let there = Canned::new(200).header("Content-Type", "application/json").body("[]");
    faults.plan(reads.clone(), Times::Next(7), Fault::Answer(there));
    faults.plan(reads, Times::Next(1), Fault::Answer(no_column));
    let no_key = Canned::error(400, "42P10", "there is no unique or exclusion constraint");
    always(Table::Messages, "POST", no_key);
    let no_policy = Canned::error(400, "23502", "null value in column \"name\"");
    let posts = Scope::table(Table::Devices).method("POST");
    faults.plan(posts.clone(), Times::Next(1), Fault::Answer(Canned::new(201)));
    faults.plan(posts, Times::Next(1), Fault::Answer(no_policy));
    let found = examined(&laptop);
    for expected in [
        "agent_coding_session_secrets: the table is missing",
        "repositories: the column is_worktree is missing",
        "agent_coding_session_messages: there is no unique key on (session_id,sequence_number)",
        "devices: row level security does not keep other users' rows apart",
    ] {
        assert!(found.iter().any(|problem| problem == expected), "{expected}: {found:#?}");
    }
    faults.clear();
    assert_eq!(examined(&laptop), Vec::<String>::new());
}

#[test]
fn a_project_with_the_first_migration_only_has_notes_and_no_problems() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["x"])).assert_code(0);
    let faults = project.server.faults();
    for table in Table::TRUST {
        let missing = Canned::error(404, "PGRST205", "Could not find the table");
        faults.plan(Scope::table(table), Times::Always, Fault::Answer(missing));
    }
    // The read of all columns, the pattern matches on two and the foreign key, then the read of the feed's columns.
    let reads = Scope::table(Table::Messages).method("GET");
    let there = Canned::new(200).header("Content-Type", "application/json").body("[]");
    faults.plan(reads.clone(), Times::Next(4), Fault::Answer(there));
    faults.plan(reads, Times::Next(1), Fault::Answer(Canned::error(400, "42703", "no such column")));
    let ran = laptop.run(&["doctor", "--server", "--json"]).assert_code(0);
    assert_eq!(problems(&ran), Vec::<String>::new());
    let missing =
        ran.objects().into_iter().filter(|finding| finding["detail"].as_str().unwrap().contains("only"));
    let missing: Vec<_> = missing
        .inspect(|finding| {
            assert!(finding["verdict"] == "note" && finding["advice"].is_string(), "{finding}")
        })
        .map(|finding| finding["check"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(missing, ["levi_device_list", "levi_keyrings", "levi_pairings", "change feed"]);
}

#[test]
fn a_column_of_another_type_is_named() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let no_operator = Canned::error(404, "42883", "operator does not exist: bytea ~~* unknown");
    let reads = Scope::table(Table::Messages).method("GET");
    // The read of all columns, then the pattern matches on the two columns that must be text.
    let there = Canned::new(200).header("Content-Type", "application/json").body("[]");
    project.server.faults().plan(reads.clone(), Times::Next(2), Fault::Answer(there));
    project.server.faults().plan(reads, Times::Next(1), Fault::Answer(no_operator));
    let found = examined(&laptop);
    let expected = "agent_coding_session_messages: the column content_nonce is not text";
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
}

#[test]
fn a_table_whose_policy_refuses_this_user_is_named() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["x"])).assert_code(0);
    let no_policy = || Canned::error(403, "42501", "new row violates row-level security policy");
    for table in Table::ALL {
        // The upsert of no rows, the row of an unknown user, and the row of this user. The append-only list refuses every
        // upsert.
        let upsert = if table == Table::DeviceList { no_policy() } else { Canned::new(201) };
        for canned in [upsert, no_policy(), no_policy()] {
            let posts = Scope::table(table).method("POST");
            project.server.faults().plan(posts, Times::Next(1), Fault::Answer(canned));
        }
        let found = examined(&laptop);
        let expected = format!("{}: no policy lets you write", table.name());
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{expected}: {found:?}");
    }
}

#[test]
fn what_cannot_be_checked_before_the_first_session_is_no_problem() {
    let project = Project::new();
    let ran = project.device("laptop").run(&["doctor", "--server", "--json"]).assert_code(0);
    let findings = ran.objects().into_iter().filter(|finding| finding["verdict"] == "note");
    let unchecked =
        findings.filter(|finding| finding["detail"].as_str().unwrap().contains("your first session"));
    assert_eq!(
        unchecked.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        [Table::Messages, Table::Secrets].map(Table::name)
    );
}

#[test]
fn what_is_wrong_on_this_device_is_named() {
    let project = Project::new();
    let blank = project.blank("blank");
    assert_eq!(problems(&blank.run(&["doctor", "--json"]).assert_code(7)).len(), 1);
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["x"])).assert_code(0);
    let credentials = laptop.data.join("credentials");
    let key = credentials.join("database-key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::rename(&key, laptop.data.join("moved")).unwrap();
    assert_eq!(examined(&laptop), ["database key: is missing"]);
    std::fs::rename(laptop.data.join("moved"), &key).unwrap();
    std::fs::write(&key, "not a key").unwrap();
    assert_eq!(examined(&laptop), ["database key: is damaged"]);
    std::fs::write(&key, kept).unwrap();
    std::fs::write(laptop.outbox(), "this is not a database").unwrap();
    let found = examined(&laptop);
    assert!(found[0].starts_with("outbox: the outbox is damaged"), "{found:?}");
    let repaired = laptop.run_with(&["sync"], "").assert_code(0);
    assert!(repaired.err.contains("the outbox was damaged"), "{}", repaired.err);
    assert_eq!(examined(&laptop), Vec::<String>::new());
    project.server.go_down();
    assert!(examined(&laptop).iter().any(|problem| problem.starts_with("server: ")));
}

#[test]
fn a_missing_device_key_is_named_and_not_replaced() {
    let project = Project::new();
    let laptop = project.device("laptop");
    std::fs::remove_file(laptop.data.join("credentials/device-private-key")).unwrap();
    // `doctor` only reads: it must not create a new key.
    let ran = laptop.run(&["doctor", "--json"]).assert_code(7);
    assert_eq!(problems(&ran), ["device key: is missing"]);
    assert!(!laptop.data.join("credentials/device-private-key").exists());
}

fn notes(ran: &Outcome) -> Vec<String> {
    let notes = ran.objects().into_iter().filter(|finding| finding["verdict"] == "note");
    notes
        .map(|note| format!("{}: {}", note["check"].as_str().unwrap(), note["detail"].as_str().unwrap()))
        .collect()
}

#[track_caller]
fn assert_has(found: &[String], expected: &[&str]) {
    for expected in expected {
        assert!(found.iter().any(|found| found == expected), "{expected}: {found:#?}");
    }
}

#[test]
fn types_keys_and_nullability_of_the_description_are_compared() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let column = |format: &str, note: &str| serde_json::json!({ "format": format, "description": note });
    let to_devices = "Note:\nThis is a Foreign Key to `devices.id`.<fk table='devices' column='id'/>";
    let document = serde_json::json!({ "definitions": {
        "agent_coding_session_messages": {
            "required": ["session_id", "sequence_number", "content_nonce", "change_id", "role"],
            "properties": {
                "session_id": column("uuid", "<pk/>"),
                "sequence_number": column("integer", "<pk/>"),
                "content_encrypted": column("text", ""),
                "content_nonce": column("text", ""),
                "role": column("text", ""),
            },
        },
        "agent_coding_sessions": {
            "required": ["id", "title"],
            "properties": { "title": column("text", ""), "device_id": column("uuid", to_devices) },
        },
        "levi_device_list": {
            "required": ["user_id", "slot"],
            "properties": { "user_id": column("uuid", "<pk/>"), "slot": column("bigint", "") },
        },
    } });
    let root = Canned::new(200).header("Content-Type", "application/openapi+json").body(document.to_string());
    let faults = project.server.faults();
    faults.plan(Scope::root(), Times::Always, Fault::Answer(root));
    // The foreign key that is named as in the migrations, after the read of all columns.
    let none = Canned::error(400, "PGRST200", "Could not find a relationship");
    let reads = Scope::table(Table::Sessions).method("GET");
    let there = Canned::new(200).header("Content-Type", "application/json").body("[]");
    faults.plan(reads.clone(), Times::Next(1), Fault::Answer(there));
    faults.plan(reads, Times::Next(1), Fault::Answer(none));
    let ran = laptop.run(&["doctor", "--server", "--json"]).assert_code(7);
    assert_has(
        &problems(&ran),
        &[
            "agent_coding_session_messages: the column sequence_number is integer, and must be bigint",
            "agent_coding_sessions: the column title must not be NULL, and Levi may leave it empty",
            "levi_device_list: the primary key is (user_id), and must be (user_id,slot)",
        ],
    );
    assert_has(
        &notes(&ran),
        &[
            "agent_coding_session_messages: the column content_encrypted may be NULL; Levi fills it, and others may not",
            "agent_coding_session_messages: the column role must not be NULL, and Levi does not know it",
            "agent_coding_sessions: the foreign key of device_id is not tied to the user",
        ],
    );
}

#[test]
fn a_missing_foreign_key_and_a_list_that_can_be_changed_are_named() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["x"])).assert_code(0);
    let faults = project.server.faults();
    let rows = || Canned::new(200).header("Content-Type", "application/json").body("[]");
    let none = Canned::error(400, "PGRST200", "Could not find a relationship");
    // The read of all columns and two pattern matches, then both ways to ask for the first foreign key.
    let reads = Scope::table(Table::Secrets).method("GET");
    faults.plan(reads.clone(), Times::Next(3), Fault::Answer(rows()));
    faults.plan(reads, Times::Next(2), Fault::Answer(none));
    let refused = Canned::error(403, "42501", "You cannot consume this service");
    faults.plan(Scope::root(), Times::Always, Fault::Answer(refused));
    let updates = Scope::table(Table::DeviceList).method("PATCH");
    faults.plan(updates, Times::Always, Fault::Answer(rows()));
    let ran = laptop.run(&["doctor", "--server", "--json"]).assert_code(7);
    let key = "agent_coding_session_secrets: there is no foreign key from (session_id) to agent_coding_sessions (id)";
    assert_eq!(problems(&ran), [key]);
    let update = "levi_device_list: users have the privilege to update";
    assert!(notes(&ran).iter().any(|note| note.starts_with(update)), "{ran:?}");
}

/// As on hosted projects, which show the description to secret keys only.
#[test]
fn what_a_project_does_not_describe_is_said_and_no_problem() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let refused = Canned::error(403, "42501", "You cannot consume this service");
    project.server.faults().plan(Scope::root(), Times::Always, Fault::Answer(refused));
    let ran = laptop.run(&["doctor", "--server", "--json"]).assert_code(0);
    assert!(notes(&ran).iter().any(|note| note.starts_with("description: types, primary keys")), "{ran:?}");
}

#[test]
fn what_server_and_device_say_alike_of_the_device_list_is_said_once() {
    let project = Project::new();
    let laptop = project.device("laptop");
    laptop.run_with(&["sync"], lines(["x"])).assert_code(0);
    let ran = laptop.run(&["doctor", "--server", "--json"]).assert_code(0);
    let said: Vec<_> =
        ran.objects().into_iter().filter(|finding| finding["check"] == "device list").collect();
    assert_eq!(said.len(), 1, "{said:#?}");
}

/// A page of the session store is lost.
#[test]
fn a_damaged_session_store_is_named_and_repaired() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    let file = project.file("one.ndjson", lines(["one", "two"]));
    let synced = laptop.run(&["sync", path(&file), "--json"]).assert_code(0).json();
    let session = synced["sessions"][0].as_str().unwrap();
    let store = laptop.data.join("sessions.sqlite");
    move_log_into(&store);
    let mut bytes = std::fs::read(&store).unwrap();
    // The table of the repositories is the second, on the page after that of the schema's own.
    bytes[2 * 4096..3 * 4096].fill(0xa5);
    std::fs::write(&store, &bytes).unwrap();

    let found = laptop.run(&["doctor", "--json"]).assert_code(7);
    let problem = found.objects().into_iter().find(|finding| finding["check"] == "session store").unwrap();
    assert!(problem["advice"].as_str().unwrap().contains("levi outbox repair"), "{problem}");
    let refused = laptop.run(&["sync", path(&file)]).assert_code(1);
    assert!(refused.err.contains("levi outbox repair"), "{}", refused.err);

    let repaired = laptop.run(&["outbox", "repair", "--json"]).assert_code(0).json();
    let report = &repaired["session_store"];
    assert_eq!((&report["sessions"], &report["secrets"]), (&1.into(), &1.into()), "{repaired}");
    assert_eq!(std::fs::read(report["quarantined"].as_str().unwrap()).unwrap(), bytes);
    laptop.run(&["doctor"]).assert_code(0);
    project.file("one.ndjson", lines(["one", "two", "three"]));
    laptop.run(&["sync", path(&file)]).assert_code(0);
    assert_eq!(phone.pulled(session).len(), 3);
}

/// A process can end before its last connection is closed. It then leaves its commits in the
/// write-ahead log, and SQLite reads a page of the log instead of the damaged one.
fn move_log_into(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert!(!busy, "another process has the session store open");
}
