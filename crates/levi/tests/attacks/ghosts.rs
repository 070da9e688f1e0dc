//! Devices that nobody paired, and keys that are exchanged in the table.

use levi::transport::Table;

use super::attacker::Ghost;
use super::{two_devices, two_devices_without_list};

#[tokio::test(flavor = "multi_thread")]
async fn a_ghost_of_the_server_or_of_a_stolen_token_is_given_nothing() {
    let (world, laptop, phone) = two_devices().await;
    let by_the_server = Ghost::by_the_server(&world);
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert!(!by_the_server.is_given_anything(&world));
    assert_eq!(phone.read(&session).await, ["secret"]);
    // Sharing by hand gives it nothing either.
    assert!(laptop.sync().share_with_device(&by_the_server.id).await.is_err());

    let (world, laptop, phone) = two_devices().await;
    let by_a_token = Ghost::by_a_token(&world).await;
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert!(!by_a_token.is_given_anything(&world));
    assert_eq!(phone.read(&session).await, ["secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_a_ghost_is_given_later_sessions() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let ghost = Ghost::by_a_token(&world).await;
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert_eq!(ghost.reads(&world, &session.id).await, Ok(vec!["secret".to_owned()]));
    assert_eq!(phone.read(&session).await, ["secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_exchanged_in_the_table_is_not_sealed_for() {
    let (world, laptop, phone) = two_devices().await;
    let thief = Ghost::unregistered("phone");
    assert_eq!(thief.id, phone.id);
    thief.exchange_key_of(&world, &phone);
    thief.exchange_key_of(&world, &laptop);
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert!(thief.reads(&world, &session.id).await.is_err());
    // The devices themselves read on, because the list has their keys.
    assert_eq!(phone.read(&session).await, ["secret"]);
    assert_eq!(laptop.read(&session).await, ["secret"]);
    assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 3, "two devices and the recovery key");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_an_exchanged_key_is_sealed_for() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let thief = Ghost::unregistered("phone");
    thief.exchange_key_of(&world, &phone);
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert_eq!(thief.reads(&world, &session.id).await, Ok(vec!["secret".to_owned()]));
    thief.exchange_key_of(&world, &laptop);
    // The laptop's own key is the one that it holds, whatever the table shows.
    assert_eq!(laptop.read(&session).await, ["secret"]);
}
