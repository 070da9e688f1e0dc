//! A recovery key that was made and never came onto a list: its paper is thrown away, and somebody finds it.

use levi::core::OtherDevices;
use levi::devices::entry::{ListRow, SignedEntry};
use levi::devices::keyring::{Keyring, SealedKeyring};
use levi::devices::list::DeviceList;
use levi::devices::recovery::RecoveryKey;
use levi::devices::{Epoch, EpochSecret};
use levi::transport::Table;
use levi::transport::rows::DeviceListRow;
use levi_testkit::supabase::{Canned, FakeSupabase, Fault, Scope, Times};

use super::attacker::{keyring_of, keyring_rows, the_list};
use super::devices::Device;
use super::world::World;

/// The server does not take the next entry of the list, whatever else it takes.
fn refuse_the_next_entry(world: &World) {
    let refused = Fault::Answer(Canned::error(503, "57014", "canceling statement due to statement timeout"));
    world.server.faults().plan(Scope::table(Table::DeviceList).method("POST"), Times::Next(1), refused);
}

/// The entry that was sent last. The server has seen it, although it did not take it.
fn last_entry(world: &World) -> SignedEntry {
    let sent = world.server.requests().into_iter().rev();
    let mut entries = sent.filter(|sent| sent.table == Some(Table::DeviceList) && sent.method == "POST");
    let body = entries.next().unwrap().body.unwrap();
    let mut rows: Vec<DeviceListRow> = serde_json::from_slice(&body).unwrap();
    let DeviceListRow { entry, signature, cosignature, .. } = rows.remove(0);
    SignedEntry::from_row(&ListRow { slot: 0, entry, signature, cosignature }).unwrap()
}

/// The secret of `epoch` in the keyring that the finder of `paper` opens.
fn found(world: &World, paper: &RecoveryKey, list: &DeviceList, epoch: Epoch) -> EpochSecret {
    let recovery = list.recovery().unwrap().id();
    let row = keyring_rows(&world.server).into_iter().find(|row| row.member_id == *recovery).unwrap();
    let sealed = SealedKeyring::from_wire(Epoch::new(row.epoch).unwrap(), &row.enc, &row.sealed).unwrap();
    let keyring = Keyring::open(&sealed, list, recovery, &paper.member_keys()).unwrap();
    keyring.secret(epoch).unwrap().clone()
}

async fn world() -> (World, Device) {
    let world = World::on(FakeSupabase::builder().keep_bodies().start().unwrap(), 0).await;
    let laptop = Device::new(&world, "laptop").await;
    (world, laptop)
}

/// The keyring for a new recovery key is on the server before its entry is.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_recovery_key_that_was_given_up_opens_no_later_epoch() {
    let (world, laptop) = world().await;
    let key = laptop.init().await;
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    let mut never = the_list(&world);
    let discarded = RecoveryKey::generate(&mut rand::rng());
    refuse_the_next_entry(&world);
    laptop.admin().replace_recovery_key(&key, &discarded).await.unwrap_err();
    never.accept(&last_entry(&world)).unwrap();
    // The next entry follows the same one, and begins the same epoch.
    laptop.admin().remove(&phone.id).await.unwrap();
    let (list, second) = (the_list(&world), Epoch::new(2).unwrap());
    assert_eq!((never.epoch(), list.epoch()), (second, second));
    let keyring = keyring_of(&world, &laptop, &list);
    assert_ne!(&found(&world, &discarded, &never, second), keyring.secret(second).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recovery_key_of_a_list_that_never_began_opens_nothing_of_the_one_that_did() {
    let (world, laptop) = world().await;
    let discarded = RecoveryKey::generate(&mut rand::rng());
    refuse_the_next_entry(&world);
    laptop.admin().init("laptop", &discarded, OtherDevices::PairLater).await.unwrap_err();
    let never = DeviceList::begin(&world.user_id, &last_entry(&world)).unwrap();
    laptop.init().await;
    let keyring = keyring_of(&world, &laptop, &the_list(&world));
    assert_ne!(&found(&world, &discarded, &never, Epoch::FIRST), keyring.secret(Epoch::FIRST).unwrap());
}
