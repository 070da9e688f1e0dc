//! Envelopes that no member sealed for this session, or not now.

use levi::DevicePrivateKey;
use levi::transport::Table;
use levi::transport::rows::{SecretRow, upsert_of};

use super::attacker::{Ghost, mint_envelope, write_version_1};
use super::devices::Device;
use super::world::{World, secret};
use super::{two_devices, two_devices_without_list};

fn envelopes(world: &World) -> Vec<SecretRow> {
    let rows = world.server.rows(Table::Secrets).unwrap().into_iter();
    rows.map(|row| serde_json::from_value(row.into()).unwrap()).collect()
}

/// The session as a device sees it that has not opened it before: every error is in the text.
async fn fresh_read(device: &Device, session: &levi::CodingSession) -> String {
    device.read(session).await.join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_envelope_is_not_opened_whoever_it_says_sealed_it() {
    for in_the_name_of_a_member in [false, true] {
        let (world, laptop, phone) = two_devices().await;
        let session = laptop.begin(&world, "s").await;
        let (ghost, minted) = (Ghost::by_the_server(&world), secret());
        let sender = if in_the_name_of_a_member { &laptop.id } else { &ghost.id };
        let keys = (&phone.id, &phone.keys.envelope);
        mint_envelope(&world, &session.id, &minted, (sender, &ghost.keys.envelope), keys);
        write_version_1(&world.server, &session.id, 1, &minted, "forged");
        let read = fresh_read(&phone, &session).await;
        assert!(!read.contains("forged") && read.contains("session: "), "{read}");
        // Once its envelope is the owner's again, it reads what the owner wrote.
        laptop.sync().distribute_secret(&session.id, &stored(&laptop, &session)).await.unwrap();
        laptop.send(&session, 2, &["true"]).await;
        assert!(fresh_read(&phone, &session).await.ends_with("true"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_an_envelope_of_a_ghost_is_opened() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let session = laptop.begin(&world, "s").await;
    let (ghost, minted) = (Ghost::by_the_server(&world), secret());
    mint_envelope(
        &world,
        &session.id,
        &minted,
        (&ghost.id, &ghost.keys.envelope),
        (&phone.id, &phone.keys.envelope),
    );
    write_version_1(&world.server, &session.id, 1, &minted, "forged");
    assert_eq!(phone.read(&session).await, ["forged"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_of_another_session_device_or_time_is_not_opened() {
    let (world, laptop, phone) = two_devices().await;
    let (one, other) =
        (laptop.write(&world, "one", &["1"]).await, laptop.write(&world, "other", &["2"]).await);
    let rows = envelopes(&world);
    let of = |session: &levi::CodingSession, device: &Device| {
        rows.iter().find(|row| row.session_id == session.id && row.device_id == device.id).unwrap().clone()
    };
    for (moved, place) in [(of(&other, &phone), of(&one, &phone)), (of(&one, &laptop), of(&one, &phone))] {
        let row = SecretRow { session_id: place.session_id, device_id: place.device_id, ..moved };
        world.server.seed(upsert_of(&[row])).unwrap();
        let read = fresh_read(&phone, &one).await;
        assert!(read.contains("session: ") && !read.contains('2'), "{read}");
    }
    // An older envelope of the same session opens, and reads what was sealed under it: nothing is forged by it.
    world.server.seed(upsert_of(&[of(&one, &phone)])).unwrap();
    assert_eq!(phone.read(&one).await, ["1"]);
    assert_eq!(phone.read(&other).await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_gives_nobody_a_secret_that_is_sealed_with() {
    let (world, laptop, phone) = two_devices().await;
    laptop.admin().remove(&phone.id).await.unwrap();
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.begin(&world, "s").await;
    let minted = secret();
    let phones = DevicePrivateKey::from_bytes(*phone.keys.envelope.expose_bytes());
    mint_envelope(&world, &session.id, &minted, (&phone.id, &phones), (&tablet.id, &tablet.keys.envelope));
    // The removed device knows the minted secret, and not the epoch's: what it seals does not open.
    let _ = tablet.read(&session).await;
    laptop.send(&session, 1, &["true"]).await;
    laptop.sync().distribute_secret(&session.id, &stored(&laptop, &session)).await.unwrap();
    assert_eq!(fresh_read(&tablet, &session).await, "true");
}

fn stored(device: &Device, session: &levi::CodingSession) -> levi::SessionSecret {
    use levi::SessionStore as _;
    let text = device.store.session_secret(&session.id).unwrap().unwrap();
    levi::SessionSecret::parse(text.expose()).unwrap()
}
