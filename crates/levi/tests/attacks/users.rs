//! A refresh that brings the sign-in of somebody else.

use levi::SyncContext;
use levi::transport::Table;
use levi::transport::rows::{SecretRow, upsert_of};

use super::attacker::Ghost;
use super::devices::{Device, PASSWORD};
use super::world::{World, request};
use super::{two_devices, two_devices_without_list};

/// Nothing of the first user is sent as the second, or sealed for the second one's devices.
async fn changes_at_a_refresh((world, laptop, phone): (World, Device, Device)) {
    let session = laptop.write(&world, "s", &["one"]).await;
    let eve = world.server.add_user("eve@example.org", PASSWORD).unwrap();
    let eves = Ghost::unregistered("eve's");
    world.server.seed(upsert_of(&[eves.row(&eve)])).unwrap();
    world.auth.refresh_brings(&eve);
    world.server.expire_tokens(&world.user_id);
    let receipt = laptop.levi.enqueue_durable(request(&session.id, 2, "two")).await.unwrap();
    let mut status = laptop.levi.watch_status();
    status.wait_for(|status| status.user_id.as_ref() == Some(&eve)).await.unwrap();
    // What is shared now is hers: there is nothing yet.
    let shared = laptop.sync().share_with_device(&eves.id).await.unwrap();
    assert!(shared.shared.is_empty(), "{shared:?}");
    status.wait_for(|status| !status.held.is_empty()).await.unwrap();
    assert_eq!(world.server.messages(&session.id).unwrap().len(), 1);
    let secrets = world.server.rows(Table::Secrets).unwrap().into_iter();
    let secrets: Vec<SecretRow> = secrets.map(|row| serde_json::from_value(row.into()).unwrap()).collect();
    assert!(secrets.iter().all(|row| row.device_id != eves.id), "{secrets:?}");
    // The user is back.
    world.auth.refresh_brings(&world.user_id);
    let access_token = world.server.sign_in(&world.user_id).unwrap().access_token;
    levi::Auth::refresh(&*world.auth, &access_token).await.unwrap();
    laptop.levi.set_context(SyncContext { access_token }).await;
    laptop.levi.synced(&receipt).await.unwrap();
    assert_eq!(phone.read(&session).await, ["one", "two"]);
    assert_eq!(laptop.read(&session).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_after_a_refresh_is_given_nothing_of_the_list() {
    let devices = two_devices().await;
    changes_at_a_refresh(devices).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_another_user_after_a_refresh_is_given_nothing_either() {
    changes_at_a_refresh(two_devices_without_list().await).await;
}
