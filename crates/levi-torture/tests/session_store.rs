//! A damaged session store: whichever page is lost, the readable rows are copied to a new store,
//! and the others are counted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::path::Path;

use levi::store::RepairedStore;
use levi::{
    CodingSession, DatabaseKey, Repository, SessionId, SessionSecret, SessionStore as _, SqliteSessionStore,
    repair_session_store,
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
    let report = repair_session_store(path, key()).unwrap();
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
    assert!(repair_session_store(&sound, key()).unwrap().is_none(), "it is sound");
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

/// A page to which nothing leads any more has the secret as it was before.
#[test]
fn an_older_record_never_replaces_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let secrets = fill(&path);
    let before = std::fs::read(&path).unwrap();
    let later = SessionSecret::generate(&mut rand::rng());
    SqliteSessionStore::open(&path, key()).unwrap().save_secret(&session(0), &later).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let changed = |page: &usize| before[page * PAGE..][..PAGE] != bytes[page * PAGE..][..PAGE];
    let older: Vec<u8> = (1..before.len() / PAGE)
        .filter(changed)
        .flat_map(|page| before[page * PAGE..][..PAGE].to_vec())
        .collect();
    assert!(!older.is_empty());
    bytes.extend(older);
    std::fs::write(&path, bytes).unwrap();

    let (store, report) = repaired(&path);
    assert!(report.is_some(), "the file is longer than its header says");
    assert_eq!(store.session_secret(&session(0)).unwrap().unwrap().expose(), later.expose());
    let earlier = store.received_secrets(&"ada".into(), &session(0)).unwrap();
    assert!(earlier.iter().any(|kept| kept.secret.expose() == secrets[0].expose()), "it still reads");
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
    let refused = repair_session_store(&path, DatabaseKey::from_bytes([8; 32])).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Denied, "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(repair_session_store(&path, key()).unwrap().is_some());
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
    let refused = repair_session_store(&path, key()).unwrap_err();
    assert!(refused.to_string().contains("tables of the daemon's own"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
