//! Envelopes that no member sealed for this session, or not now.

use levi::transport::Table;
use levi::transport::rows::{DeviceRow, SecretRow, upsert_of};
use levi::{CodingSession, DevicePrivateKey, SessionSecret};
use levi_testkit::fixtures::uuid_of;

use super::attacker::{Ghost, mint_envelope, mint_envelope_of, write_version_1};
use super::devices::Device;
use super::world::{World, request, secret};
use super::{two_devices, two_devices_without_list};

fn envelopes(world: &World) -> Vec<SecretRow> {
    let rows = world.server.rows(Table::Secrets).unwrap().into_iter();
    rows.map(|row| serde_json::from_value(row.into()).unwrap()).collect()
}

fn envelope_of(world: &World, session: &CodingSession, device: &Device) -> SecretRow {
    let of_it = |row: &SecretRow| row.session_id == session.id && row.device_id == device.id;
    envelopes(world).into_iter().find(of_it).unwrap()
}

/// The session as a device sees it that has not opened it before: every error is in the text.
async fn fresh_read(device: &Device, session: &CodingSession) -> String {
    device.read(session).await.join("; ")
}

/// In whose name an envelope is minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    TheGhosts,
    AMembers,
    /// The table shows the ghost's key for that member.
    AMembersWithItsKeyExchanged,
}

/// Mints an envelope of `session` for the phone, and writes a message under it.
fn mint(world: &World, session: &CodingSession, (laptop, phone): (&Device, &Device), name: Name) {
    let (ghost, minted) = (Ghost::by_the_server(world), secret());
    if name == Name::AMembersWithItsKeyExchanged {
        ghost.exchange_key_of(world, laptop);
    }
    let sender = if name == Name::TheGhosts { &ghost.id } else { &laptop.id };
    let recipient = (&phone.id, &phone.keys.envelope);
    mint_envelope(world, &session.id, &minted, (sender, &ghost.keys.envelope), recipient);
    write_version_1(&world.server, &session.id, 1, &minted, "forged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_envelope_is_not_opened_whoever_it_says_sealed_it() {
    for name in [Name::TheGhosts, Name::AMembers, Name::AMembersWithItsKeyExchanged] {
        let (world, laptop, phone) = two_devices().await;
        let session = laptop.begin(&world, "s").await;
        mint(&world, &session, (&laptop, &phone), name);
        let read = fresh_read(&phone, &session).await;
        assert!(!read.contains("forged") && read.contains("session: "), "{name:?}: {read}");
        // Once its envelope is the owner's again, it reads what the owner wrote.
        laptop.sync().distribute_secret(&session.id, &stored(&laptop, &session)).await.unwrap();
        laptop.send(&session, 2, &["true"]).await;
        assert!(fresh_read(&phone, &session).await.ends_with("true"), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_an_envelope_of_a_ghost_is_opened() {
    for name in [Name::TheGhosts, Name::AMembersWithItsKeyExchanged] {
        let (world, laptop, phone) = two_devices_without_list().await;
        let session = laptop.begin(&world, "s").await;
        mint(&world, &session, (&laptop, &phone), name);
        assert_eq!(phone.read(&session).await, ["forged"], "{name:?}");
    }
    // The table's key is what an envelope is opened with, so that another key than that opens nothing.
    let (world, laptop, phone) = two_devices_without_list().await;
    let session = laptop.begin(&world, "s").await;
    mint(&world, &session, (&laptop, &phone), Name::AMembers);
    assert!(fresh_read(&phone, &session).await.contains("session: "));
}

/// An envelope opens for the session, the device and the user for whom it was sealed, list or not.
async fn only_its_own_place((world, laptop, phone): (World, Device, Device)) {
    let (one, other) =
        (laptop.write(&world, "one", &["1"]).await, laptop.write(&world, "other", &["2"]).await);
    let genuine = envelope_of(&world, &one, &phone);
    for moved in [envelope_of(&world, &other, &phone), envelope_of(&world, &one, &laptop)] {
        let (session_id, device_id) = (genuine.session_id.clone(), genuine.device_id.clone());
        world.server.seed(upsert_of(&[SecretRow { session_id, device_id, ..moved }])).unwrap();
        let read = fresh_read(&phone, &one).await;
        assert!(read.contains("session: ") && !read.contains('2'), "{read}");
    }
    // The same two devices are another user's, too.
    let other_user = uuid_of("user", "other").as_str().into();
    let (sender, recipient) = ((&laptop.id, &laptop.keys.envelope), (&phone.id, &phone.keys.envelope));
    mint_envelope_of(&other_user, &world, &one.id, &stored(&laptop, &one), sender, recipient);
    assert!(fresh_read(&phone, &one).await.contains("session: "));
    world.server.seed(upsert_of(&[genuine])).unwrap();
    assert_eq!(phone.read(&one).await, ["1"]);
    assert_eq!(phone.read(&other).await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_of_another_session_device_or_user_is_not_opened() {
    only_its_own_place(two_devices().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_an_envelope_of_another_session_device_or_user_is_not_opened_either() {
    only_its_own_place(two_devices_without_list().await).await;
}

/// An envelope with the session's secret of before opens, and reads what was sealed under that: nothing is forged by it.
async fn an_older_one((world, laptop, phone): (World, Device, Device)) {
    let session = laptop.write(&world, "s", &["one"]).await;
    let older = envelope_of(&world, &session, &phone);
    let newer = secret();
    laptop.store.save_secret(&session.id, &newer).unwrap();
    laptop.sync().distribute_secret(&session.id, &newer).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    let genuine = envelope_of(&world, &session, &phone);
    world.server.seed(upsert_of(&[older])).unwrap();
    let read = phone.read(&session).await;
    assert!(read[0] == "one" && read[1].starts_with("2: "), "{read:?}");
    world.server.seed(upsert_of(&[genuine])).unwrap();
    assert_eq!(phone.read(&session).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_envelope_hides_what_came_later_and_forges_nothing() {
    an_older_one(two_devices().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_an_older_envelope_does_the_same() {
    an_older_one(two_devices_without_list().await).await;
}

/// The removed phone mints an envelope for `to`, in its own name and with its own key.
fn mint_by(phone: &Device, world: &World, session: &CodingSession, to: &Device) -> SessionSecret {
    let minted = secret();
    let key = DevicePrivateKey::from_bytes(*phone.keys.envelope.expose_bytes());
    mint_envelope(world, &session.id, &minted, (&phone.id, &key), (&to.id, &to.keys.envelope));
    minted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_gives_nobody_a_secret_that_is_sealed_with() {
    let (world, laptop, phone) = two_devices().await;
    laptop.admin().remove(&phone.id).await.unwrap();
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.begin(&world, "s").await;
    mint_by(&phone, &world, &session, &tablet);
    // The envelope opens, because what members sealed before they were removed stays readable.
    assert_eq!(tablet.read(&session).await, [""; 0]);
    // It is not sealed with: the message waits for a secret of a member's.
    let receipt = tablet.levi.enqueue_durable(request(&session.id, 2, "true")).await.unwrap();
    let mut status = tablet.levi.watch_status();
    status.wait_for(|status| status.totals.pending_rows == 1).await.unwrap();
    laptop.send(&session, 1, &["first"]).await;
    laptop.sync().distribute_secret(&session.id, &stored(&laptop, &session)).await.unwrap();
    assert!(fresh_read(&tablet, &session).await.starts_with("first"));
    tablet.levi.network_changed();
    tablet.levi.synced(&receipt).await.unwrap();
    // Sealed with what the phone minted, it would be nothing that the laptop reads.
    assert_eq!(laptop.read(&session).await, ["first", "true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_an_envelope_of_a_deactivated_device_is_read_with() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let tablet = Device::without_list(&world, "tablet").await;
    deactivate(&world, &phone);
    let session = laptop.begin(&world, "s").await;
    let minted = mint_by(&phone, &world, &session, &tablet);
    write_version_1(&world.server, &session.id, 1, &minted, "by a removed device");
    assert_eq!(tablet.read(&session).await, ["by a removed device"]);
    laptop.sync().distribute_secret(&session.id, &stored(&laptop, &session)).await.unwrap();
    laptop.send(&session, 2, &["true"]).await;
    assert!(fresh_read(&tablet, &session).await.ends_with("true"));
}

/// What is called a removal where there is no list.
pub(crate) fn deactivate(world: &World, device: &Device) {
    let row = DeviceRow {
        public_key: Some(device.keys.envelope.public_key().to_base64()),
        is_active: false,
        ..DeviceRow::new(device.id.clone(), world.user_id.clone(), "removed", "desktop")
    };
    world.server.seed(upsert_of(&[row])).unwrap();
}

pub(crate) fn stored(device: &Device, session: &CodingSession) -> SessionSecret {
    use levi::SessionStore as _;
    let text = device.store.session_secret(&session.id).unwrap().unwrap();
    SessionSecret::parse(text.expose()).unwrap()
}
