#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use levi_devices::draft::{Stamp, genesis};
use levi_devices::entry::SignedEntry;
use levi_devices::keyring::Keyring;
use levi_devices::list::DeviceList;
use levi_devices::{EntryHash, Epoch, Member, MemberKeys, MemberType};
use levi_outbox::backoff::Backoff;
use levi_transport::{ApiError, Verdict};
use levi_types::{DeviceListStore, EpochStart, SessionId, StoreError, UserId};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::record::Keyrings;
use super::{DeviceListParts, LookError, SignedDeviceList};
use crate::secrets_cache::SecretsCache;

/// Far more than it takes, and reached only by a test that fails.
const TOO_LONG: Duration = Duration::from_secs(20);

/// Writes only once it is told to.
struct SlowStore {
    begun: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl DeviceListStore for SlowStore {
    fn device_list(&self, _: &UserId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn replace_device_list(&self, _: &UserId, _: Option<&[u8]>, _: &[u8]) -> Result<bool, StoreError> {
        self.begun.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        Ok(true)
    }

    fn epoch_starts(&self, _: &UserId, _: &SessionId) -> Result<Vec<EpochStart>, StoreError> {
        Ok(Vec::new())
    }

    fn keep_epoch_start(&self, _: &UserId, _: &SessionId, _: EpochStart) -> Result<(), StoreError> {
        Ok(())
    }
}

fn first_list(user: &UserId, keys: &MemberKeys) -> (DeviceList, Keyring) {
    let paper = MemberKeys::generate(&mut UnwrapErr(SysRng));
    let member = |id: &str, member_type, keys: &MemberKeys| {
        Member::new(id.into(), member_type, id, keys.public_keys().unwrap()).unwrap()
    };
    let (device, recovery) =
        (member("laptop", MemberType::Device, keys), member("paper", MemberType::Recovery, &paper));
    let entry = genesis(user, device, recovery, Stamp { slot: 0, time_ms: 0 });
    let secret = keys.epoch_secret(&entry);
    let entry = entry.commit(EntryHash::ZERO, &secret);
    let signed = SignedEntry::sign(&entry, keys, Some(&paper)).unwrap();
    (DeviceList::begin(user, &signed).unwrap(), Keyring::first(secret))
}

#[test]
fn a_store_that_writes_slowly_holds_up_nobody_who_seals() {
    let (user, keys, cache) =
        (UserId::from("u"), MemberKeys::generate(&mut UnwrapErr(SysRng)), SecretsCache::new());
    cache.signed_in(&user);
    let ((begun, has_begun), (go_on, waits)) = (channel(), channel());
    let store = Arc::new(SlowStore { begun, go_on: Mutex::new(waits) });
    let (list, keyring) = first_list(&user, &keys);
    let parts = DeviceListParts { device_id: "laptop".into(), keys, store, database_key: None, cache };
    let known = SignedDeviceList::new(parts);
    known.load(&user);
    let (asked, answered) = channel();
    thread::scope(|scope| {
        let keep = scope.spawn(|| known.keep(list, Some(keyring), None, Keyrings::Written));
        has_begun.recv_timeout(TOO_LONG).unwrap();
        // As everything that seals does.
        scope.spawn(|| {
            known.load(&user);
            let _ = asked.send(known.epoch_secret(&user, Epoch::FIRST));
        });
        let answer = answered.recv_timeout(TOO_LONG);
        go_on.send(()).unwrap();
        assert!(answer.is_ok(), "the store was waited for");
        keep.join().unwrap().unwrap();
    });
    assert!(known.state().may_seal());
}

#[test]
fn one_answer_stops_the_looks_for_no_longer_than_an_upload() {
    let asked = |retry_after| {
        let mut error = ApiError::new(Verdict::Busy, "429", "");
        error.retry_after = retry_after;
        LookError::Server(error).asked_wait()
    };
    assert_eq!(asked(None), Duration::ZERO);
    assert_eq!(asked(Some(Duration::from_secs(60))), Duration::from_secs(60));
    assert_eq!(asked(Some(Duration::from_secs(3_600))), Backoff::default().longest());
}
