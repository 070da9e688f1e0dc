//! The keychain: whole secrets, and what others do to them.

use keyring_core::mock;
use levi_types::{CredentialName, Credentials, CredentialsError, PortErrorKind, SecretString};

use super::{Arc, CredentialStore, Error, KeyringCredentials, Set};

const NAME: CredentialName = CredentialName::DatabaseKey;

/// The mock's next call on the entry answers with `error`.
fn inject(store: &Arc<CredentialStore>, error: Error) {
    let entry = store.build("levi-test", NAME.as_str(), None).unwrap();
    entry.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(error);
}

fn store() -> Arc<CredentialStore> {
    mock::Store::new().unwrap()
}

#[test]
fn what_was_saved_is_loaded_until_it_is_removed() {
    let keychain = KeyringCredentials::with_store(store(), "levi-test");
    assert_eq!(keychain.load(&NAME).unwrap(), None);
    keychain.save(&NAME, &"one".into()).unwrap();
    keychain.save(&NAME, &"two".into()).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), Some("two".into()));
    assert_eq!(keychain.load(&CredentialName::SignIn).unwrap(), None);
    keychain.remove(&NAME).unwrap();
    keychain.remove(&NAME).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), None);
}

/// The names of the parts that are stored, whole or left over.
fn stored_parts(store: &Arc<CredentialStore>) -> Vec<String> {
    let name = |set, number| super::split::part_name(NAME.as_str(), set, number);
    let names = Set::all().flat_map(|set| (0..6).map(move |number| name(set, number)));
    names.filter(|name| store.build("levi-test", name, None).unwrap().get_password().is_ok()).collect()
}

fn long(letter: &str, length: usize) -> SecretString {
    SecretString::from(letter.repeat(length))
}

#[test]
fn a_long_secret_is_replaced_whole_or_not_at_all() {
    let store = store();
    let keychain = KeyringCredentials::with_store(store.clone(), "levi-test");
    keychain.save(&NAME, &long("a", 5_000)).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), Some(long("a", 5_000)));
    keychain.save(&NAME, &long("b", 3_000)).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), Some(long("b", 3_000)));
    assert_eq!(stored_parts(&store).len(), 3, "the old parts are gone");
    // Full from the second part on, in whichever set.
    let stored = stored_parts(&store);
    for set in Set::all() {
        let part = super::split::part_name(NAME.as_str(), set, 1);
        let entry = store.build("levi-test", &part, None).unwrap();
        if !stored.contains(&part) {
            let full = Error::PlatformFailure("full".into());
            entry.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(full);
        }
    }
    assert!(keychain.save(&NAME, &long("c", 4_000)).is_err());
    assert_eq!(keychain.load(&NAME).unwrap(), Some(long("b", 3_000)));
    keychain.save(&NAME, &"short".into()).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), Some("short".into()));
    keychain.remove(&NAME).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), None);
    assert_eq!(stored_parts(&store), Vec::<String>::new());
}

#[test]
fn parts_of_two_secrets_are_never_read_as_one() {
    let store = store();
    let keychain = KeyringCredentials::with_store(store.clone(), "levi-test");
    keychain.save(&NAME, &long("a", 2_000)).unwrap();
    let second = stored_parts(&store).remove(1);
    let entry = store.build("levi-test", &second, None).unwrap();
    entry.set_password("0123456789abcdef of another process").unwrap();
    let error = keychain.load(&NAME).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Unavailable);
    assert!(error.to_string().contains("try again"), "{error}");
    keychain.save(&NAME, &long("b", 2_000)).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), Some(long("b", 2_000)));
}

#[test]
fn processes_that_store_at_once_leave_one_secret_whole() {
    let store = store();
    let letters = ["a", "b", "c", "d"];
    std::thread::scope(|scope| {
        for letter in letters {
            let keychain = KeyringCredentials::with_store(store.clone(), "levi-test");
            scope.spawn(move || {
                for round in 0..200 {
                    let saved = keychain.save(&NAME, &long(letter, 3_000 + round));
                    // All of them may choose the same set again and again, which is said.
                    let kind = saved.as_ref().err().map(CredentialsError::kind);
                    assert!(kind.is_none_or(|kind| kind == PortErrorKind::Unavailable), "{saved:?}");
                    let Ok(Some(read)) = keychain.load(&NAME) else { continue };
                    // Exposed to be compared.
                    let read = read.expose();
                    assert_eq!(read, read[..1].repeat(read.len()), "one secret of two");
                }
            });
        }
    });
    let keychain = KeyringCredentials::with_store(store.clone(), "levi-test");
    keychain.save(&NAME, &long("e", 3_000)).unwrap();
    assert_eq!(keychain.load(&NAME).unwrap(), Some(long("e", 3_000)));
    keychain.remove(&NAME).unwrap();
    assert_eq!(stored_parts(&store), Vec::<String>::new());
}

#[test]
fn a_removal_that_leaves_a_part_is_an_error_and_the_next_one_gets_it() {
    for refused in ["the entry", "the first part", "the last part", "a part left over"] {
        let store = store();
        let keychain = KeyringCredentials::with_store(store.clone(), "levi-test");
        let entry = |name: &str| store.build("levi-test", name, None).unwrap();
        keychain.save(&NAME, &long("a", 5_000)).unwrap();
        let parts = stored_parts(&store);
        // As after a crash between the new parts and the entry that names them.
        let mut free = Set::all().map(|set| super::split::part_name(NAME.as_str(), set, 0));
        let free = free.find(|name| !parts.contains(name)).unwrap();
        let left_over = |number: usize| format!("{}{number}", free.strip_suffix('0').unwrap());
        for number in 0..3 {
            entry(&left_over(number)).set_password("left over").unwrap();
        }
        let refusing = match refused {
            "the entry" => NAME.as_str().to_owned(),
            "the first part" => parts[0].clone(),
            "the last part" => parts[4].clone(),
            _ => left_over(1),
        };
        let locked = Error::NoStorageAccess("the collection is locked".into());
        entry(&refusing).as_any().downcast_ref::<mock::Cred>().unwrap().set_error(locked);
        let error = keychain.remove(&NAME).unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Denied, "{refused}");
        keychain.remove(&NAME).unwrap();
        assert_eq!(keychain.load(&NAME).unwrap(), None);
        assert_eq!(stored_parts(&store), Vec::<String>::new(), "after {refused}");
    }
}

#[test]
fn a_locked_keychain_is_never_an_empty_one() {
    let store = store();
    let keychain = KeyringCredentials::with_store(store.clone(), "levi-test");
    keychain.save(&NAME, &"kept".into()).unwrap();
    inject(&store, Error::NoStorageAccess("the collection is locked".into()));
    let refused = keychain.load(&NAME).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Denied);
    assert!(refused.to_string().contains("unlock it"), "{refused}");
    inject(&store, Error::PlatformFailure("no bus".into()));
    assert_eq!(keychain.load(&NAME).unwrap_err().kind(), PortErrorKind::Unavailable);
    assert_eq!(keychain.load(&NAME).unwrap(), Some("kept".into()));
}

#[test]
fn an_error_with_the_stored_bytes_does_not_show_them() {
    let store = store();
    let keychain = KeyringCredentials::with_store(store.clone(), "levi-test");
    inject(&store, Error::BadEncoding(b"hunter2".to_vec()));
    let error = keychain.load(&NAME).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt);
    let bytes = format!("{:?}", b"hunter2");
    assert!(!format!("{error:?} {error}").contains(bytes.trim_matches(['[', ']'])));
}
