//! The signed device list through the command, with each device at a terminal of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod project;

use std::io::Write as _;

use levi::transport::Table;
use levi::transport::rows::{KeyringRow, upsert_of};
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use project::pairing::{Invitation, fingerprint, init, pair, texts};
use project::{Outcome, Project, lines};

const SESSION: &str = "3d6b1c6e-9f0a-4f6e-8c1d-2b7a5e4f3c21";

/// A session that the phone begins before it is paired.
const PHONES: &str = "9c1f0a52-7f0e-4c3b-9a64-5d2c8b1e7f60";

/// The session's messages, written as a daemon would that numbers them itself.
fn message(number: i64, content: &str) -> String {
    message_in(SESSION, number, content)
}

fn message_in(session: &str, number: i64, content: &str) -> String {
    serde_json::json!({ "session_id": session, "sequence_number": number, "content": content }).to_string()
        + "\n"
}

#[test]
fn a_no_and_a_wrong_code_end_the_command_on_the_new_device() {
    let project = Project::new();
    let laptop = project.device("laptop");
    init(&laptop, "laptop");
    let phone = project.device("phone");
    let invitation = Invitation::new(&laptop, "0000-0000");
    let refused = phone.run_with(&["pair", "-"], &invitation.code).assert_code(2);
    assert!(refused.err.contains("was told not to add this one"), "{}", refused.err);
    assert!(invitation.end().err.contains("was not added"));
    // A code that a person has from elsewhere, or that was mistyped in more than one place.
    let refused = phone.run_with(&["pair", "-"], "7V67-3MZM-ZH9Z-HM6E-5675").assert_code(2);
    assert!(refused.err.contains("no device of yours shows this pairing code"), "{}", refused.err);
    assert_eq!(pair(&laptop, &phone, "phone"), 0);
    // Keyrings that somebody overwrites are named, and written again.
    let rows = project.server.rows(Table::Keyrings).unwrap().into_iter();
    let rows = rows.map(|row| serde_json::from_value(row.into()).unwrap());
    let garbage = |row: KeyringRow| KeyringRow { enc: row.enc.replace('A', "B"), ..row };
    let rows: Vec<KeyringRow> = rows.map(garbage).collect();
    project.server.seed(upsert_of(&rows)).unwrap();
    let doctor = laptop.run(&["doctor", "--server"]);
    assert!(doctor.out.contains("has overwritten the keyrings on the server of laptop"), "{}", doctor.out);
    let verified = laptop.run(&["verify", "--json"]).assert_code(0).json();
    assert_eq!(verified["mended_keyrings"], serde_json::json!(["laptop", "recovery key", "phone"]));
    assert!(phone.run(&["verify", "--json"]).assert_code(0).json()["mended_keyrings"].is_null());
}

#[test]
fn two_terminals_begin_pair_read_remove_and_recover() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let key = init(&laptop, "laptop");
    laptop.run_with(&["sync"], message(1, "written on the laptop")).assert_code(0);
    let sealed = project.server.messages(&SESSION.into()).unwrap();
    assert!(sealed[0].content_nonce.starts_with("v2:1:"), "{sealed:?}");

    // A device that signs in and is not on the list is given nothing and seals nothing. Its messages wait.
    let phone = project.device("phone");
    let refused = phone.run(&["pull"]).assert_code(8);
    assert!(refused.out.is_empty() && refused.err.contains("run `levi pair`"), "{refused:?}");
    let waiting =
        phone.run_with(&["sync"], message_in(PHONES, 7, "written before it was paired")).assert_code(8);
    assert!(waiting.out.contains("run `levi pair` on a device that is"), "{}", waiting.out);
    assert_eq!(project.messages_on_server(), 1);
    // Those who only look, and ask nobody, say so as well.
    let status = phone.run(&["status", "--json"]).assert_code(8).json();
    assert_eq!(status["device_list"]["code"], "not_on_device_list");
    let status = phone.run(&["status"]).assert_code(8);
    assert!(status.out.contains("STOPPED") && status.out.contains("run `levi pair`"), "{}", status.out);
    let doctor = phone.run(&["doctor"]).assert_code(8);
    assert!(doctor.out.contains("not on it; run `levi pair`"), "{}", doctor.out);
    assert_eq!(pair(&laptop, &phone, "phone"), 1);
    assert_eq!(phone.pulled(SESSION), [(1, "written on the laptop".to_owned())]);
    let [one, other] = [&laptop, &phone].map(|device| device.run(&["verify", "--json"]).json());
    assert_eq!(one["digits"], other["digits"]);
    let listed = phone.run(&["devices", "--json"]).assert_code(0).objects();
    let names: Vec<_> = listed.iter().map(|member| member["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["laptop", "recovery key", "phone"]);
    assert_eq!((&listed[2]["added_by"], &listed[2]["this_device"]), (&"laptop".into(), &true.into()));

    // The laptop is stolen.
    phone.run(&["remove", "laptop", "--yes"]).assert_code(0);
    phone.run_with(&["sync"], message(8, "written after the removal")).assert_code(0);
    let read = laptop.run(&["pull"]).assert_code(8);
    assert!(!read.out.contains("after the removal"), "{}", read.out);
    assert!(read.err.contains("message 8: it was sealed in epoch 2"), "{}", read.err);
    assert!(read.err.contains("this device was removed"), "{}", read.err);
    let waiting = laptop.run_with(&["sync"], message(9, "by the thief")).assert_code(8);
    assert!(waiting.out.contains("this device was removed"), "{}", waiting.out);
    let status = laptop.run(&["status", "--json"]).assert_code(8).json();
    assert_eq!(status["device_list"]["code"], "removed_from_device_list");
    laptop.run(&["doctor", "--server"]).assert_code(8);

    // The phone is lost, too.
    let new = project.device("new");
    let recovered =
        new.run_with(&["recover", "--key-stdin", "--name", "new laptop", "--json"], &key).assert_code(0);
    assert_eq!(recovered.json()["removed"], serde_json::json!(["phone"]));
    assert_eq!(recovered.json()["unreadable"], 0);
    let pulled = new.run(&["pull"]).assert_code(0);
    let all = ["written on the laptop", "written after the removal", "written before it was paired"];
    assert_eq!(texts(&pulled), all);
    assert!(!format!("{recovered:?}").contains(key.trim()));
    new.run_with(&["sync"], message(10, "and on")).assert_code(0);
    assert_eq!(new.run(&["status", "--json"]).assert_code(0).json()["device_list"]["mode"], "listed");
}

#[test]
fn what_waits_under_an_epoch_is_exported() {
    let project = Project::new();
    let laptop = project.device("laptop");
    init(&laptop, "laptop");
    laptop.run_with(&["sync"], message(1, "sent")).assert_code(0);
    project.server.go_down();
    laptop.run_with(&["sync", "--patience", "0"], message(2, "waits under epoch 1")).assert_code(3);
    let listed = laptop.run(&["outbox", "list", "--json"]).assert_code(0).objects();
    let message = listed.iter().find(|row| row["kind"] == "message").unwrap();
    assert_eq!(message["encryption"], "session_key");
    let exported = laptop.run(&["outbox", "export"]).assert_code(0);
    assert_eq!(texts(&exported), ["waits under epoch 1"]);
}

#[test]
fn a_removed_device_keeps_in_every_later_process_what_it_could_read() {
    let project = Project::new();
    let laptop = project.device("laptop");
    init(&laptop, "laptop");
    laptop.run_with(&["sync"], message(1, "read before")).assert_code(0);
    let phone = project.device("phone");
    pair(&laptop, &phone, "phone");
    assert_eq!(phone.pulled(SESSION), [(1, "read before".to_owned())]);
    project.server.go_down();
    phone.run_with(&["sync", "--patience", "0"], lines(["never sent"])).assert_code(3);
    project.server.come_up().unwrap();
    laptop.run(&["remove", "phone", "--yes"]).assert_code(0);

    // A process learns of the removal, and others come after it; then the list goes on without the device.
    for later in ["tablet", "desk"] {
        phone.run(&["devices"]).assert_code(8);
        assert_eq!(texts(&phone.run(&["pull"])), ["read before"]);
        assert_eq!(texts(&phone.run(&["outbox", "export"]).assert_code(0)), ["never sent"]);
        pair(&laptop, &project.device(later), later);
    }
}

#[test]
fn an_existing_project_goes_over_and_loses_nothing() {
    let project = Project::new();
    let (laptop, phone) = (project.device("laptop"), project.device("phone"));
    laptop.run_with(&["sync", "--session", SESSION], message(1, "from before")).assert_code(0);
    phone.run_with(&["sync"], lines(["from the phone"])).assert_code(0);
    // This one is broken, and will never be paired.
    let old = project.device("old phone");
    let another = "0198a7f2-6d1e-7c3a-9b54-2f6f0c1de0b9";
    old.run_with(&["sync"], message_in(another, 1, "from the old phone")).assert_code(0);
    let table = phone.run(&["devices"]).assert_code(0);
    assert!(table.out.contains("Without a signed device list"), "{}", table.out);
    assert!(laptop.run(&["status"]).out.contains("Without a signed device list"));

    let paper = laptop.data.with_extension("key");
    let args = ["init", "--name", "laptop", "--recovery-key-file", project::path(&paper)];
    let others = laptop.run(&args).assert_code(2);
    assert!(others.err.contains("levi init --migrate"), "{}", others.err);
    assert!(!paper.exists(), "a key that opens nothing is not left behind");
    let migrated = laptop.run(&[&args[..], &["--migrate", "--json"]].concat()).assert_code(0);
    assert_eq!(migrated.json()["outcome"], "begun");
    assert_eq!(migrated.json()["shared"], 3, "{migrated:?}");
    pair(&laptop, &phone, "phone");
    for device in [&laptop, &phone] {
        let mut read = texts(&device.run(&["pull"]).assert_code(0));
        read.sort();
        assert_eq!(read, ["from before", "from the old phone", "from the phone"]);
    }
    let key = std::fs::read_to_string(paper).unwrap();
    let new = project.device("new");
    let recovered = new.run_with(&["recover", "--key-stdin", "--json"], key).assert_code(0);
    assert_eq!(recovered.json()["shared"], 3);
}

#[test]
fn each_error_says_what_to_do_and_shows_no_secret() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let says = |ran: Outcome, code: i32, what: &str| {
        let ran = ran.assert_code(code);
        assert!(ran.err.contains(what), "{what:?}: {}", ran.err);
        ran
    };
    // Before there is a list.
    says(laptop.run(&["pair", "--yes", "x"]), 2, "begin one with `levi init`");
    says(laptop.run(&["init"]), 2, "--recovery-key-file PATH");
    says(laptop.run(&["pair", "7ZK4-9QWD-1M2N-XT5B"]), 2, "has 16 characters instead of 20");
    says(laptop.run(&["pair", "7ZK4-9QWD-1M2N-XT5U-0000"]), 2, "group 4 of the pairing code");
    let key = init(&laptop, "laptop");
    let paper = laptop.data.with_extension("recovery-key");

    // A second genesis.
    says(laptop.run(&["init", "--recovery-key-file", "again"]), 2, "on the device list already");
    let phone = project.device("phone");
    says(
        phone.run(&["init", "--recovery-key-file", "again"]),
        2,
        "keep a signed list already; run `levi pair`",
    );
    assert!(!phone.data.with_file_name("again").exists());
    // A key that exists is not overwritten.
    let other = Project::new();
    let elsewhere = other.device("laptop");
    says(elsewhere.run(&["init", "--recovery-key-file", project::path(&paper)]), 1, "cannot write");
    assert_eq!(std::fs::read_to_string(&paper).unwrap(), key);
    assert_eq!(other.server.row_count(Table::DeviceList).unwrap(), 0);

    // A device that is not on the list, and the last one that is.
    says(phone.run(&["pair", "--yes", "x"]), 8, "this one is not on it; run `levi pair` on a device that is");
    says(phone.run(&["verify"]), 8, "this one is not on it");
    says(laptop.run(&["remove", "tablet", "--yes"]), 2, "no device on the list is called \"tablet\"");
    says(laptop.run(&["remove", "laptop"]), 2, "give --yes");
    says(laptop.run(&["remove", "laptop", "--yes"]), 2, "the last device cannot be removed");

    // A device that the person did not mean.
    let asked = fingerprint(&phone);
    let other_fingerprint = if asked.starts_with('0') { "1" } else { "0" };
    let invitation = Invitation::new(&laptop, other_fingerprint);
    let code = invitation.code.clone();
    let mut joining = phone.start(&["pair", &code]);
    says(invitation.end(), 2, "was not added");
    joining.kill().unwrap();
    joining.wait().unwrap();
    // A code that was used.
    let invitation = Invitation::new(&laptop, &asked);
    let (code, tablet) = (invitation.code.clone(), project.device("tablet"));
    phone.run_with(&["pair", "-", "--name", "phone"], &code).assert_code(0);
    invitation.end().assert_code(0);
    let used = says(tablet.run(&["pair", &code]), 2, "used already; show a new one with `levi pair`");
    assert!(!used.err.contains(&code), "{}", used.err);
    says(phone.run(&["pair", &code]), 2, "on the device list already");

    // A mistyped recovery key.
    let mut mistyped = key.trim().to_owned().into_bytes();
    let seventh = "levi-rk1-".len() + 6 * 5;
    mistyped[seventh] = if mistyped[seventh] == b'7' { b'8' } else { b'7' };
    let mistyped = String::from_utf8(mistyped).unwrap();
    let wrong = says(tablet.run_with(&["recover", "--key-stdin"], &mistyped), 2, "group 7");
    assert!(!wrong.err.contains(&mistyped[seventh..seventh + 4]), "{}", wrong.err);
    let file = elsewhere.data.with_extension("recovery-key");
    init(&elsewhere, "elsewhere");
    let others = std::fs::read_to_string(file).unwrap();
    says(tablet.run_with(&["recover", "--key-stdin"], others), 2, "recovery key");
    says(tablet.run_with(&["recover", "--key-stdin", "--after", "77"], &key), 2, "no entry at slot 77");
    says(tablet.run_with(&["recover", "--key-stdin", "--keep", "fridge"], &key), 2, "\"fridge\"");
    says(laptop.run(&["recover"]), 2, "--key-stdin");
}

#[test]
fn of_two_devices_that_add_at_once_each_is_added_or_told_to_try_again() {
    let project = Project::new();
    let laptop = project.device("laptop");
    init(&laptop, "laptop");
    let phone = project.device("phone");
    pair(&laptop, &phone, "phone");
    let new = [project.device("tablet"), project.device("desktop")];
    let invitations =
        [(&laptop, &new[0]), (&phone, &new[1])].map(|(old, new)| Invitation::new(old, &fingerprint(new)));
    let joining = [0, 1].map(|which| {
        let mut child = new[which].start(&["pair", "-", "--name", ["tablet", "desktop"][which]]);
        child.stdin.take().unwrap().write_all(invitations[which].code.as_bytes()).unwrap();
        child
    });
    for (invitation, (mut joining, name)) in
        invitations.into_iter().zip(joining.into_iter().zip(["tablet", "desktop"]))
    {
        let added = invitation.end();
        if added.code == 0 {
            Outcome::of(joining.wait_with_output().unwrap()).assert_code(0);
        } else {
            assert!(added.err.contains("show a new code with `levi pair`"), "{added:?}");
            joining.kill().unwrap();
            joining.wait().unwrap();
            let device = &new[usize::from(name == "desktop")];
            pair(&laptop, device, name);
        }
    }
    assert_eq!(laptop.run(&["devices", "--json"]).assert_code(0).objects().len(), 5);
}

#[test]
fn a_list_that_is_rolled_back_stops_sealing_until_it_is_whole_again() {
    let project = Project::new();
    let laptop = project.device("laptop");
    init(&laptop, "laptop");
    laptop.run_with(&["sync"], message(1, "before")).assert_code(0);
    let lists = Scope::table(Table::DeviceList).method("GET");
    let empty = Canned::new(200).header("Content-Type", "application/json").body("[]");
    project.server.faults().plan(lists, Times::Always, Fault::Answer(empty));
    let stopped = laptop.run_with(&["sync"], message(2, "waits")).assert_code(8);
    assert!(stopped.out.contains("ends before slot 0"), "{}", stopped.out);
    // Every other process says so, without asking the server.
    project.server.go_down();
    let status = laptop.run(&["status"]).assert_code(8);
    assert!(
        status.out.contains("STOPPED: the server shows a device list that ends before slot 0"),
        "{}",
        status.out
    );
    let doctor = laptop.run(&["doctor", "--json"]).assert_code(8);
    assert!(doctor.out.contains("ends before slot 0"), "{}", doctor.out);
    project.server.come_up().unwrap();
    laptop.run(&["verify"]).assert_code(8);
    project.server.faults().clear();
    laptop.run_with(&["sync"], "").assert_code(0);
    assert_eq!(laptop.run(&["status"]).assert_code(0).code, 0);
    assert_eq!(project.numbers(SESSION), [1, 2]);
}

/// The command is killed between the entry and what follows it.
#[test]
fn an_interrupted_init_is_gone_on_with() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let lists = Scope::table(Table::DeviceList).method("POST");
    project.server.faults().plan(lists, Times::Next(1), Fault::StallAfterWrite);
    let mut killed = laptop.start(&["init", "--name", "laptop", "--recovery-key-file", "paper"]);
    project
        .server
        .wait_for(project::PATIENCE, |_| project.server.row_count(Table::DeviceList).unwrap() == 1)
        .unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = laptop.run(&["init", "--recovery-key-file", "paper"]).assert_code(0);
    assert!(resumed.out.contains("was interrupted; it is done now"), "{}", resumed.out);
    laptop.run_with(&["sync"], message(1, "goes on")).assert_code(0);
    let key = std::fs::read_to_string(laptop.data.with_file_name("paper")).unwrap();
    project.device("phone").run_with(&["recover", "--key-stdin"], key).assert_code(0);
}

/// New and old servers name a missing table differently.
#[test]
fn a_project_without_the_tables_of_the_list_goes_on_as_before() {
    for code in ["PGRST205", "42P01"] {
        let project = Project::new();
        for table in Table::TRUST {
            let missing = Canned::error(404, code, "the table is missing");
            project.server.faults().plan(Scope::table(table), Times::Always, Fault::Answer(missing));
        }
        let laptop = project.device("laptop");
        laptop.run_with(&["sync"], message(1, "sent as before")).assert_code(0);
        assert_eq!(laptop.pulled(SESSION), [(1, "sent as before".to_owned())]);
        let paper = ["init", "--recovery-key-file", "paper"];
        let refused = laptop.run(&paper).assert_code(5);
        assert!(refused.err.contains("levi doctor --server"), "{}", refused.err);
        laptop.run_with(&["sync"], message(2, "and after a refused init")).assert_code(0);
    }
}

/// It would cut nothing off, although its person means to be rid of a thief.
#[test]
fn a_device_of_the_list_does_not_recover() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let key = init(&laptop, "laptop");
    let phone = project.device("phone");
    pair(&laptop, &phone, "phone");
    let refused = phone.run_with(&["recover", "--key-stdin", "--after", "0"], &key).assert_code(2);
    assert!(refused.err.contains("recover in a new data folder"), "{}", refused.err);
    let new = project.device("new");
    new.run_with(&["recover", "--key-stdin", "--after", "0", "--name", "new"], &key).assert_code(0);
    // Interrupted before it had shared, it is run again.
    let again = new.run_with(&["recover", "--key-stdin", "--name", "new"], &key).assert_code(0);
    assert!(again.out.contains("this device is on the list"), "{}", again.out);
    phone.run(&["devices"]).assert_code(8);
    let active = new.run(&["devices", "--json"]).assert_code(0).objects();
    let active = active.iter().filter(|member| member["removed_ms"].is_null());
    assert_eq!(
        active.map(|member| member["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["recovery key", "new"]
    );
}
