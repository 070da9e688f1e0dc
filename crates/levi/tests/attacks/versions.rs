//! Downgrades: of the mode, and of a message's version.

use levi::transport::{Table, Upsert};
use levi::{DeviceListProblem, DeviceListState, SessionStore as _};
use levi_testkit::supabase::StoredMessage;

use super::attacker::{Ghost, write_version_1};
use super::devices::Device;
use super::world::World;
use super::{two_devices, two_devices_without_list};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_had_a_list_does_not_go_back_to_the_table() {
    let (world, mut laptop, phone) = two_devices().await;
    let ghost = Ghost::by_the_server(&world);
    // The tables of the list are hidden, as in a project that never had them.
    laptop.server.rewrite(|select, body| {
        if [Table::DeviceList, Table::Keyrings].contains(&select.table) { b"[]".to_vec() } else { body }
    });
    laptop.restart(&world).await;
    let session = world.session("s");
    laptop.store.save_session(&session).unwrap();
    let secret = super::world::secret();
    laptop.store.save_secret(&session.id, &secret).unwrap();
    let sync = laptop.sync();
    let synced = sync.sync_new_session(&session.id, &session.repository_id, &secret).await.unwrap();
    assert!(!synced.secret.is_done(), "{synced:?}");
    assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 0);
    laptop.until(|state| matches!(state, DeviceListState::Stopped(problem) if problem.is_alarm())).await;
    laptop.server.be_honest();
    laptop.until_listed(1).await;
    sync.distribute_secret(&session.id, &secret).await.unwrap();
    laptop.send(&session, 1, &["secret"]).await;
    assert_eq!(phone.read(&session).await, ["secret"]);
    assert!(!ghost.is_given_anything(&world));
}

/// A device that is signed in and not paired yet: it has seen that there is a list, over a restart as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_has_seen_a_list_does_not_go_back_to_the_table() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.init().await;
    let mut phone = Device::new(&world, "phone").await;
    let not_on_list =
        |state: &DeviceListState| *state == DeviceListState::Stopped(DeviceListProblem::NotOnList);
    phone.until(not_on_list).await;
    let ghost = Ghost::by_the_server(&world);
    phone.server.rewrite(|select, body| {
        if [Table::DeviceList, Table::Keyrings].contains(&select.table) { b"[]".to_vec() } else { body }
    });
    for _ in 0..2 {
        let _ = phone.admin().devices().await;
        phone.until(not_on_list).await;
        let session = world.session("s");
        phone.store.save_session(&session).unwrap();
        let secret = super::world::secret();
        let synced =
            phone.sync().sync_new_session(&session.id, &session.repository_id, &secret).await.unwrap();
        assert!(!synced.secret.is_done(), "{synced:?}");
        assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 0);
        phone.restart(&world).await;
    }
    phone.server.be_honest();
    laptop.pair(&phone).await;
    let session = phone.write(&world, "t", &["secret"]).await;
    assert_eq!(laptop.read(&session).await, ["secret"]);
    assert!(!ghost.is_given_anything(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_version_1_is_refused_where_version_2_has_begun() {
    let (world, laptop, phone) = two_devices().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    let text = laptop.store.session_secret(&session.id).unwrap().unwrap();
    let secret = levi::SessionSecret::parse(text.expose()).unwrap();
    write_version_1(&world.server, &session.id, 2, &secret, "forged");
    laptop.send(&session, 3, &["three"]).await;
    let read = phone.read(&session).await;
    assert_eq!((&read[0], &read[2]), (&"one".into(), &"three".into()));
    assert!(read[1].contains("StaleEpoch { epoch: 0"), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_whoever_has_the_secret_writes_version_1() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    let text = laptop.store.session_secret(&session.id).unwrap().unwrap();
    let secret = levi::SessionSecret::parse(text.expose()).unwrap();
    write_version_1(&world.server, &session.id, 2, &secret, "by a removed device");
    assert_eq!(phone.read(&session).await, ["one", "by a removed device"]);
}

/// The server, or a stolen token, puts back what was there before an edit. Nobody notices that, as docs/trust.md says,
/// with a list or without. It opens in its own place only.
async fn put_back((world, laptop, phone): (World, Device, Device)) {
    let session = laptop.write(&world, "s", &["one", "two"]).await;
    let older = world.server.messages(&session.id).unwrap().remove(0);
    let edit = super::world::request(&session.id, 1, "one, edited");
    let receipt = laptop.levi.replace_durable(edit).await.unwrap();
    laptop.levi.synced(&receipt).await.unwrap();
    assert_eq!(phone.read(&session).await, ["one, edited", "two"]);
    put(&world, &session, 1, &older);
    assert_eq!(phone.read(&session).await, ["one", "two"]);
    put(&world, &session, 3, &older);
    laptop.send(&session, 4, &["four"]).await;
    let read = phone.read(&session).await;
    assert_eq!((&read[..2], &read[3]), (&["one".into(), "two".into()][..], &"four".into()));
    assert!(read[2].contains("Forged"), "{read:?}");
}

fn put(world: &World, session: &levi::CodingSession, number: i64, message: &StoredMessage) {
    let row = serde_json::json!([{
        "session_id": session.id,
        "sequence_number": number,
        "content_encrypted": message.content_encrypted,
        "content_nonce": message.content_nonce,
    }]);
    let (table, columns) = (Table::Messages, Table::Messages.columns().into());
    world.server.seed(Upsert { table, columns, body: row.to_string().into_bytes() }).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_of_a_message_is_read_in_its_own_place_only() {
    put_back(two_devices().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_an_older_version_of_a_message_is_read_likewise() {
    put_back(two_devices_without_list().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_goes_over_to_a_list_and_keeps_what_it_had() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.until(|state| *state == DeviceListState::DeviceTable).await;
    let phone = Device::new(&world, "phone").await;
    phone.until(|state| *state == DeviceListState::DeviceTable).await;
    let old = laptop.write(&world, "old", &["one", "two"]).await;
    assert!(!world.server.messages(&old.id).unwrap()[0].content_nonce.starts_with("v2:"));
    laptop.init().await;
    laptop.until_listed(1).await;
    laptop.send(&old, 3, &["three"]).await;
    laptop.pair(&phone).await;
    assert_eq!(phone.read(&old).await, ["one", "two", "three"]);
    // An edit of an old message belongs to the new epoch, and the messages after it stay readable.
    let receipt =
        laptop.levi.replace_durable(super::world::request(&old.id, 1, "one, edited")).await.unwrap();
    laptop.levi.synced(&receipt).await.unwrap();
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    assert_eq!(tablet.read(&old).await, ["one, edited", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_a_record_of_a_session_hides_none_of_its_messages() {
    let (world, laptop, phone) = two_devices().await;
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.write(&world, "s", &["one", "two"]).await;
    laptop.send(&session, 4, &["four", "five"]).await;
    // From here on the phone has the session's key, and has written nothing in it.
    assert_eq!(phone.read(&session).await.len(), 4);
    laptop.admin().remove(&tablet.id).await.unwrap();
    phone.admin().devices().await.unwrap();
    // Into a gap, then two texts that are another device's: the second edit comes after the first.
    phone.send(&session, 3, &["three"]).await;
    for (number, text) in [(1, "one, edited"), (2, "two, edited")] {
        let edit = super::world::request(&session.id, number, text);
        let receipt = phone.levi.replace_durable(edit).await.unwrap();
        phone.levi.synced(&receipt).await.unwrap();
    }
    let desk = Device::new(&world, "desk").await;
    laptop.pair(&desk).await;
    for device in [&desk, &laptop, &phone] {
        let read = device.read(&session).await;
        assert_eq!(read, ["one, edited", "two, edited", "three", "four", "five"], "{}", device.name);
    }
    assert!(world.server.messages(&session.id).unwrap()[0].content_nonce.starts_with("v2:2:"));
}
