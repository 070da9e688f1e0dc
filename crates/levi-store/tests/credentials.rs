//! `FileCredentials` and the device's keys.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use std::fs;
use std::sync::Mutex;

use levi_store::{FileCredentials, database_key, device_private_key};
use levi_types::{CredentialName, Credentials, CredentialsError, PortErrorKind, SecretString};
use rand_core::UnwrapErr;

const NAME: CredentialName = CredentialName::SignIn;

fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

#[test]
fn what_is_saved_is_found_again_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let credentials = FileCredentials::open(&path).unwrap();
    assert_eq!(credentials.load(&NAME).unwrap(), None);
    credentials.save(&NAME, &"one".into()).unwrap();
    credentials.save(&NAME, &"two\nlines \u{1f980}".into()).unwrap();
    credentials.save(&CredentialName::DeviceId, &"".into()).unwrap();

    let credentials = FileCredentials::open(&path).unwrap();
    assert_eq!(credentials.load(&NAME).unwrap(), Some("two\nlines \u{1f980}".into()));
    assert_eq!(credentials.load(&CredentialName::DeviceId).unwrap(), Some("".into()));
    credentials.remove(&NAME).unwrap();
    credentials.remove(&NAME).unwrap();
    assert_eq!(credentials.load(&NAME).unwrap(), None);
}

#[test]
fn the_temporary_file_of_a_killed_writer_is_ignored_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let credentials = FileCredentials::open(&path).unwrap();
    credentials.save(&NAME, &"old".into()).unwrap();
    fs::write(path.join(".sign-in.new"), "half of the n").unwrap();
    assert_eq!(credentials.load(&NAME).unwrap(), Some("old".into()));
    credentials.save(&NAME, &"new".into()).unwrap();
    assert_eq!(credentials.load(&NAME).unwrap(), Some("new".into()));
    assert!(!path.join(".sign-in.new").exists());
}

/// Readers and writers at the same time: every read is one of the values as a whole.
#[test]
fn a_reader_never_sees_half_a_replacement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    FileCredentials::open(&path).unwrap().save(&NAME, &"0".repeat(10_000).as_str().into()).unwrap();
    std::thread::scope(|scope| {
        for digit in ["1", "2"] {
            let credentials = FileCredentials::open(&path).unwrap();
            scope.spawn(move || {
                let value = SecretString::from(digit.repeat(10_000));
                (0..25).for_each(|_| credentials.save(&NAME, &value).unwrap());
            });
        }
        let credentials = FileCredentials::open(&path).unwrap();
        for _ in 0..200 {
            let value = credentials.load(&NAME).unwrap().unwrap();
            let first = value.expose().chars().next().unwrap();
            assert!(value.expose().len() == 10_000 && value.expose().chars().all(|digit| digit == first));
        }
    });
}

#[test]
fn a_missing_folder_is_an_error_and_not_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let credentials = FileCredentials::open(&path).unwrap();
    credentials.save(&NAME, &"kept".into()).unwrap();
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    assert_eq!(credentials.load(&NAME).unwrap_err().kind(), PortErrorKind::Denied);
    assert!(credentials.remove(&NAME).is_err());
    assert!(credentials.save(&NAME, &"lost".into()).is_err());
}

#[test]
fn a_file_that_is_not_text_is_corrupt_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let credentials = FileCredentials::open(&path).unwrap();
    credentials.save(&NAME, &"x".into()).unwrap();
    fs::write(path.join("sign-in"), b"hunter2 \xff").unwrap();
    let error = credentials.load(&NAME).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[cfg(unix)]
mod permissions {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set(path: &std::path::Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn everything_is_created_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        FileCredentials::open(&path).unwrap().save(&NAME, &"x".into()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(&path).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_others_may_read_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let credentials = FileCredentials::open(&path).unwrap();
        credentials.save(&NAME, &"x".into()).unwrap();
        let file = path.join("sign-in");
        for mode in [0o640, 0o604, 0o622] {
            set(&file, mode);
            let refused = credentials.load(&NAME).unwrap_err();
            assert_eq!(refused.kind(), PortErrorKind::Denied);
            assert!(refused.to_string().contains(&format!("chmod 600 {}", file.display())), "{refused}");
        }
        set(&path, 0o750);
        let refused = FileCredentials::open(&path).unwrap_err();
        assert!(refused.to_string().contains("chmod 700"), "{refused}");
    }
}

#[test]
fn keys_are_generated_once() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = FileCredentials::open(folder.path().join("credentials")).unwrap();
    let first = database_key(&credentials, &mut rng()).unwrap();
    assert!(first == database_key(&credentials, &mut rng()).unwrap());
    let device = device_private_key(&credentials, &mut rng()).unwrap();
    assert!(device == device_private_key(&credentials, &mut rng()).unwrap());
    assert_ne!(first.expose_bytes(), device.expose_bytes());
}

/// A store whose `load` fails while it is locked, as a keychain's does.
#[derive(Default)]
struct Lockable {
    locked: bool,
    kept: Mutex<Option<SecretString>>,
}

impl Credentials for Lockable {
    fn load(&self, _: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        if self.locked {
            return Err(CredentialsError::new(PortErrorKind::Denied, "locked"));
        }
        Ok(self.kept.lock().unwrap().clone())
    }

    fn save(&self, _: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        *self.kept.lock().unwrap() = Some(secret.clone());
        Ok(())
    }

    fn remove(&self, _: &CredentialName) -> Result<(), CredentialsError> {
        *self.kept.lock().unwrap() = None;
        Ok(())
    }
}

#[test]
fn a_locked_keychain_never_has_its_keys_overwritten() {
    let mut keychain = Lockable::default();
    let key = database_key(&keychain, &mut rng()).unwrap();
    keychain.locked = true;
    assert_eq!(database_key(&keychain, &mut rng()).unwrap_err().kind(), PortErrorKind::Denied);
    assert_eq!(device_private_key(&keychain, &mut rng()).unwrap_err().kind(), PortErrorKind::Denied);
    keychain.locked = false;
    assert!(key == database_key(&keychain, &mut rng()).unwrap());
}

#[test]
fn a_malformed_key_is_neither_used_nor_overwritten() {
    let keychain = Lockable::default();
    for text in ["", "not base64!", "c2hvcnQ="] {
        keychain.save(&CredentialName::DatabaseKey, &text.into()).unwrap();
        let error = database_key(&keychain, &mut rng()).unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Corrupt);
        assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        assert_eq!(keychain.load(&CredentialName::DatabaseKey).unwrap(), Some(text.into()));
    }
}

#[test]
fn a_store_that_does_not_keep_keys_is_noticed_before_anything_is_encrypted() {
    struct Forgetful;
    impl Credentials for Forgetful {
        fn load(&self, _: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
            Ok(None)
        }
        fn save(&self, _: &CredentialName, _: &SecretString) -> Result<(), CredentialsError> {
            Ok(())
        }
        fn remove(&self, _: &CredentialName) -> Result<(), CredentialsError> {
            Ok(())
        }
    }
    assert_eq!(database_key(&Forgetful, &mut rng()).unwrap_err().kind(), PortErrorKind::Unavailable);
}
