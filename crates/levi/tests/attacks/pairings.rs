//! Pairing messages that were made with another code, replayed, exchanged, or late.

use std::time::Duration;

use levi::core::DeviceListError;
use levi::devices::pairing::{PairingCode, PairingError};
use levi::transport::rows::{PairingRow, upsert_of};

use super::attacker::Ghost;
use super::devices::Device;
use super::world::World;

const WITHIN: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(50);

async fn listed() -> (World, Device) {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.init().await;
    (world, laptop)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_code_reaches_nobody() {
    let (world, laptop) = listed().await;
    let phone = Device::new(&world, "phone").await;
    let admin = laptop.admin();
    let invitation = admin.invite().await.unwrap();
    let wrong = PairingCode::generate(&mut rand::rng());
    let refused = phone.admin().join(&wrong, "phone", SOON).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::TimedOut), "{refused}");
    let nobody = invitation.request(SOON).await.unwrap_err();
    assert!(matches!(nobody, DeviceListError::TimedOut), "{nobody}");
    laptop.pair(&phone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_used_once_and_its_row_cannot_be_taken_over() {
    let (world, laptop) = listed().await;
    let (phone, late) = (Device::new(&world, "phone").await, Device::new(&world, "late").await);
    let admin = laptop.admin();
    let invitation = admin.invite().await.unwrap();
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let (theirs, used) = (phone.admin(), code.clone());
    let join = tokio::spawn(async move { theirs.join(&used, "phone", WITHIN).await });
    let asked = invitation.request(WITHIN).await.unwrap();
    let refused = late.admin().join(&code, "late", SOON).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::CodeUsed), "{refused}");
    invitation.accept(asked).await.unwrap();
    join.await.unwrap().unwrap();
    // The row stays, empty, so that the code stays used.
    let refused = late.admin().join(&code, "late", SOON).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::CodeUsed), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_or_exchanged_request_is_not_opened() {
    let (world, laptop) = listed().await;
    let phone = Device::new(&world, "phone").await;
    for alter in ["a byte", "another request"] {
        let admin = laptop.admin();
        let invitation = admin.invite().await.unwrap();
        let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
        let (theirs, used) = (phone.admin(), code.clone());
        let join = tokio::spawn(async move { theirs.join(&used, "phone", WITHIN).await });
        let asked = invitation.request(WITHIN).await.unwrap();
        drop(asked);
        let rows = world.server.rows(levi::transport::Table::Pairings).unwrap().into_iter();
        let rows: Vec<PairingRow> = rows.map(|row| serde_json::from_value(row.into()).unwrap()).collect();
        let mut row = rows.last().unwrap().clone();
        match alter {
            "a byte" => row.request.replace_range(8..9, if &row.request[8..9] == "A" { "B" } else { "A" }),
            _ => {
                // The server answers a request of its own making: it does not know the code.
                let ghost = Ghost::unregistered("ghost");
                let public = ghost.keys.public_keys().unwrap();
                let member = levi::devices::Member::new(
                    ghost.id.clone(),
                    levi::devices::MemberType::Device,
                    "phone",
                    public,
                );
                let other = PairingCode::generate(&mut rand::rng());
                let join = levi::devices::pairing::Join::new(
                    &world.user_id,
                    &other,
                    member.unwrap(),
                    &mut rand::rng(),
                );
                row.request = join.request(&mut rand::rng()).unwrap();
            }
        }
        world.server.seed(upsert_of(&[row])).unwrap();
        let refused = invitation.request(WITHIN).await.unwrap_err();
        assert!(matches!(refused, DeviceListError::Pairing(PairingError::Forged)), "{alter}: {refused}");
        join.abort();
    }
    laptop.pair(&phone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_replayed_or_altered_is_refused_by_the_new_device() {
    let (world, laptop) = listed().await;
    let phone = Device::new(&world, "phone").await;
    let admin = laptop.admin();
    let invitation = admin.invite().await.unwrap();
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    phone.server.rewrite(|select, body| match select.table == levi::transport::Table::Pairings {
        true => super::changed::<PairingRow>(&body, |row| {
            // A request in place of an answer: both are sealed under keys of the same code.
            row.answer = Some(row.request.clone());
        }),
        false => body,
    });
    let refused = phone.admin().join(&code, "phone", WITHIN).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::Pairing(PairingError::Forged)), "{refused}");
    phone.server.be_honest();
    laptop.pair(&phone).await;
}
