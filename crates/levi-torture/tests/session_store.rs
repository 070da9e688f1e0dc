//! A damaged session store: whichever page is lost, the readable rows are copied to a new store,
//! and the others are counted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::path::{Path, PathBuf};
use std::sync::Barrier;

use levi::store::RepairedStore;
use levi::{
    CodingSession, DatabaseKey, Repository, SessionId, SessionSecret, SessionStore as _, SqliteSessionStore,
};
use levi_types::{Delivery, DeliveryReport, PortErrorKind};

const SESSIONS: u64 = 60;
const PAGE: usize = 4096;

fn key() -> DatabaseKey {
    DatabaseKey::from_bytes([7; 32])
}

fn session(number: u64) -> SessionId {
    format!("00000000-0000-4000-8000-{number:012}").as_str().into()
}

/// A store with sessions of one user, in one file, and the secrets in it.
fn fill(path: &Path) -> Vec<SessionSecret> {
    let store = SqliteSessionStore::open(path, key()).unwrap();
    store.signed_in(&"ada".into()).unwrap();
    store.save_repository(&Repository::new("r", "levi", "/src/levi")).unwrap();
    let secrets: Vec<_> = (0..SESSIONS).map(|_| SessionSecret::generate(&mut rand::rng())).collect();
    for (number, secret) in (0..).zip(&secrets) {
        let titled =
            CodingSession { title: Some("t".repeat(200)), ..CodingSession::new(session(number), "r") };
        store.save_session(&titled).unwrap();
        store.save_secret(&session(number), secret).unwrap();
        let report = DeliveryReport {
            session_id: session(number),
            sequence_number: 9,
            message_id: "m".into(),
            delivery: Delivery::Sent,
        };
        store.record(&[report]).unwrap();
    }
    drop(store);
    secrets
}

/// How many of the secrets a store has; each is the right one.
fn secrets_in(store: &SqliteSessionStore, secrets: &[SessionSecret]) -> u64 {
    let mut found = 0;
    for (number, secret) in (0..).zip(secrets) {
        if let Some(stored) = store.session_secret(&session(number)).unwrap() {
            assert_eq!(stored.expose(), secret.expose());
            found += 1;
        }
    }
    found
}

fn repaired(path: &Path) -> (SqliteSessionStore, Option<RepairedStore>) {
    let report = SqliteSessionStore::repair(path, key()).unwrap();
    let store = SqliteSessionStore::open(path, key()).unwrap();
    // Who signed in last may be lost, and is named at every start.
    store.signed_in(&"ada".into()).unwrap();
    (store, report)
}

#[test]
fn whatever_page_is_lost_nothing_else_is_and_what_is_lost_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.sqlite");
    let secrets = fill(&sound);
    let bytes = std::fs::read(&sound).unwrap();
    assert!(SqliteSessionStore::repair(&sound, key()).unwrap().is_none(), "it is sound");
    let pages = bytes.len() / PAGE;
    assert!(pages > 12, "{pages}");
    for (page, filling) in (0..pages).flat_map(|page| [(page, 0_u8), (page, 0xa5)]) {
        let path = folder.path().join(format!("{page}-{filling}.sqlite"));
        let mut damaged = bytes.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(filling);
        std::fs::write(&path, &damaged).unwrap();
        let opened = SqliteSessionStore::open(&path, key());
        if let Err(error) = &opened {
            assert!(error.kind() == PortErrorKind::Corrupt || page == 0, "{page}: {error}");
        }
        let is_refused = opened.is_err();
        drop(opened);
        let before = std::fs::read(&path).unwrap();
        let (store, report) = repaired(&path);
        let found = secrets_in(&store, &secrets);
        match report {
            Some(report) => {
                assert!(is_refused, "{page}: {report}");
                assert_eq!(std::fs::read(&report.quarantined).unwrap(), before, "{page}");
                assert_eq!(report.secrets, found, "{page}");
                // What the database itself knew of the page is gone with the first one.
                let known = report.sessions + report.secrets + report.lost;
                assert!(known >= 2 * SESSIONS, "{page}: {report}");
                let most_on_a_page = 2 * SESSIONS - report.sessions - report.secrets;
                assert!(most_on_a_page <= 40, "{page}: {report}");
            }
            None => assert!(!is_refused && found == SESSIONS, "{page}: {found}"),
        }
        store.save_secret(&session(SESSIONS), &secrets[0]).unwrap();
        assert!(!store.sessions().unwrap().is_empty(), "{page}: they are still that user's");
    }
}

/// Changes the store, and leaves the pages that it changes behind as they were. Nothing leads to those.
fn keep_older_pages(path: &Path, change: impl FnOnce(&SqliteSessionStore)) {
    let before = std::fs::read(path).unwrap();
    change(&SqliteSessionStore::open(path, key()).unwrap());
    let mut bytes = std::fs::read(path).unwrap();
    let changed = |page: &usize| before[page * PAGE..][..PAGE] != bytes[page * PAGE..][..PAGE];
    let older: Vec<u8> = (1..before.len() / PAGE)
        .filter(changed)
        .flat_map(|page| before[page * PAGE..][..PAGE].to_vec())
        .collect();
    assert!(!older.is_empty());
    bytes.extend(older);
    std::fs::write(path, bytes).unwrap();
}

/// A page to which nothing leads any more has the secret as it was before.
#[test]
fn an_older_record_never_replaces_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let secrets = fill(&path);
    let later = SessionSecret::generate(&mut rand::rng());
    keep_older_pages(&path, |store| store.save_secret(&session(0), &later).unwrap());

    let (store, report) = repaired(&path);
    assert!(report.is_some(), "the file is longer than its header says");
    assert_eq!(store.session_secret(&session(0)).unwrap().unwrap().expose(), later.expose());
    let earlier = store.received_secrets(&"ada".into(), &session(0)).unwrap();
    assert!(earlier.iter().any(|kept| kept.secret.expose() == secrets[0].expose()), "it still reads");
}

/// What was deleted, and is read all the same, is not taken for certain.
#[test]
fn a_record_in_the_clear_that_may_be_gone_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    fill(&path);
    let report = |delivery| DeliveryReport {
        session_id: session(0),
        sequence_number: 10,
        message_id: "m".into(),
        delivery,
    };
    let parked = report(Delivery::Parked { code: "refused".into() });
    SqliteSessionStore::open(&path, key()).unwrap().record(&[parked]).unwrap();
    keep_older_pages(&path, |store| store.record(&[report(Delivery::Sent)]).unwrap());
    let (store, report) = repaired(&path);
    assert_eq!(store.progress(&session(0)).unwrap().unwrap().last_sent, 10);
    assert_eq!(store.unsent(&session(0)).unwrap().len(), 1);
    assert_eq!(report.unwrap().uncertain, 1);
}

/// With another key nothing opens, and nothing may be given up for that.
#[test]
fn a_repair_with_another_key_leaves_the_damaged_file_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    fill(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3 * PAGE..4 * PAGE].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let refused = SqliteSessionStore::repair(&path, DatabaseKey::from_bytes([8; 32])).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Denied, "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(SqliteSessionStore::repair(&path, key()).unwrap().is_some());
}

/// A damaged name makes no table of the daemon's.
#[test]
fn a_store_whose_schema_is_damaged_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.sqlite");
    let secrets = fill(&sound);
    let bytes = std::fs::read(&sound).unwrap();
    let name = b"levi_store_secrets";
    let places: Vec<_> = (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    let mut repairs = 0;
    for at in places {
        let path = folder.path().join(format!("{at}.sqlite"));
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let (store, report) = repaired(&path);
        repairs += usize::from(report.is_some());
        assert_eq!(secrets_in(&store, &secrets), SESSIONS, "{at}");
    }
    // Its name, the name of its table, and its statement. Others are left over from changes of the schema.
    assert!(repairs >= 3, "{repairs}");
}

/// What else is in the file is the daemon's, and a repair would lose it.
#[test]
fn a_database_of_the_daemons_own_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.sqlite");
    fill(&path);
    let daemon = rusqlite::Connection::open(&path).unwrap();
    daemon.execute_batch("CREATE TABLE conversations (id INTEGER PRIMARY KEY)").unwrap();
    daemon.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3 * PAGE..4 * PAGE].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let refused = SqliteSessionStore::repair(&path, key()).unwrap_err();
    assert!(refused.to_string().contains("tables of the daemon's own"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

/// What a crash leaves of a store: the file and its log, with the secrets of this many sessions in the log.
fn crashed(folder: &Path, in_log: usize) -> (PathBuf, Vec<SessionSecret>) {
    let (path, left) = (folder.join("store.sqlite"), folder.join("left.sqlite"));
    drop(SqliteSessionStore::open(&path, key()).unwrap());
    let store = SqliteSessionStore::open(&path, key()).unwrap();
    store.signed_in(&"ada".into()).unwrap();
    let secrets: Vec<_> = (0..in_log).map(|_| SessionSecret::generate(&mut rand::rng())).collect();
    for (number, secret) in (0..).zip(&secrets) {
        store.save_secret(&session(number), secret).unwrap();
    }
    std::fs::copy(&path, &left).unwrap();
    std::fs::copy(log_of(&path), log_of(&left)).unwrap();
    (left, secrets)
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("sqlite-wal")
}

/// SQLite would take the log up to the damage, and write over the commits behind it.
#[test]
fn secrets_behind_damage_in_the_log_are_neither_written_over_nor_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (path, secrets) = crashed(folder.path(), 20);
    let mut log = std::fs::read(log_of(&path)).unwrap();
    log[32 + 24 + 100] ^= 1;
    std::fs::write(log_of(&path), &log).unwrap();

    let refused = SqliteSessionStore::open(&path, key()).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Corrupt, "{refused}");
    let problems = SqliteSessionStore::problems(&path).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("commits follow"), "{problems:?}");
    assert_eq!(std::fs::read(log_of(&path)).unwrap(), log);

    let report = SqliteSessionStore::repair(&path, key()).unwrap().unwrap();
    let store = SqliteSessionStore::open(&path, key()).unwrap();
    store.signed_in(&"ada".into()).unwrap();
    assert_eq!(secrets_in(&store, &secrets), 20, "{report}");
}

/// A log that a crash has cut off is no damage: nothing behind the cut was acknowledged.
#[test]
fn a_log_that_was_cut_off_by_a_crash_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, secrets) = crashed(folder.path(), 5);
    let log = std::fs::read(log_of(&path)).unwrap();
    std::fs::write(log_of(&path), &log[..log.len() - PAGE / 2]).unwrap();
    let store = SqliteSessionStore::open(&path, key()).unwrap();
    store.signed_in(&"ada".into()).unwrap();
    assert_eq!(secrets_in(&store, &secrets), 4);
}

/// It would go on with the damaged file, and what it keeps there would be lost.
#[test]
fn a_store_that_a_process_has_open_is_not_repaired_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let secrets = fill(&path);
    let open = SqliteSessionStore::open(&path, key()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3 * PAGE..4 * PAGE].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let refused = SqliteSessionStore::repair(&path, key()).unwrap_err();
    assert!(refused.to_string().contains("has the session store open"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    drop(open);
    let (store, report) = repaired(&path);
    assert_eq!(secrets_in(&store, &secrets), report.unwrap().secrets);
}

/// Of processes that complete an interrupted repair at once, none removes the log of another one.
#[test]
fn openings_after_an_interrupted_repair_take_nothing_from_one_another() {
    const OPENINGS: u64 = 6;
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.sqlite");
    let secrets = fill(&sound);
    for round in 0..20 {
        let path = folder.path().join(format!("{round}.sqlite"));
        std::fs::write(&path, "damaged").unwrap();
        std::fs::write(log_of(&path), "damaged too").unwrap();
        std::fs::copy(&sound, path.with_extension("sqlite.repaired")).unwrap();
        let (start, written) = (Barrier::new(OPENINGS as usize), Barrier::new(OPENINGS as usize));
        std::thread::scope(|threads| {
            for number in SESSIONS..SESSIONS + OPENINGS {
                let (path, secrets, start, written) = (&path, &secrets, &start, &written);
                threads.spawn(move || {
                    start.wait();
                    let store = SqliteSessionStore::open(path, key()).unwrap();
                    store.save_secret(&session(number), &secrets[0]).unwrap();
                    written.wait();
                });
            }
        });
        let store = SqliteSessionStore::open(&path, key()).unwrap();
        for number in SESSIONS..SESSIONS + OPENINGS {
            assert!(store.session_secret(&session(number)).unwrap().is_some(), "round {round}: {number}");
        }
    }
}
