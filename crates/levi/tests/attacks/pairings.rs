//! Pairing messages that were made with another code, replayed, exchanged, or late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use levi::core::DeviceListError;
use levi::devices::pairing::{Invitation, PairingCode, PairingError};
use levi::transport::Table;
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
    // It is known at once, and no row of it comes to be.
    let refused = phone.admin().join(&wrong, "phone", WITHIN).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::CodeNotShown), "{refused}");
    assert_eq!(world.server.row_count(Table::Pairings).unwrap(), 1, "that the right one is shown");
    let nobody = invitation.request(SOON).await.unwrap_err();
    assert!(matches!(nobody, DeviceListError::TimedOut), "{nobody}");
    laptop.pair(&phone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_told_to_the_device_that_asked() {
    let (world, laptop) = listed().await;
    let phone = Device::new(&world, "phone").await;
    let admin = laptop.admin();
    let invitation = admin.invite().await.unwrap();
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let theirs = phone.admin();
    let join = tokio::spawn(async move { theirs.join(&code, "phone", WITHIN).await });
    let asked = invitation.request(WITHIN).await.unwrap();
    invitation.decline(&asked).await.unwrap();
    let refused = join.await.unwrap().unwrap_err();
    assert!(matches!(refused, DeviceListError::Pairing(PairingError::Declined)), "{refused}");
    assert_eq!(laptop.admin().devices().await.unwrap().len(), 2, "the laptop and the recovery key");
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
        let rows = world.server.rows(Table::Pairings).unwrap().into_iter();
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

/// What the server does to the answer that a new device is shown.
enum Answer {
    /// A request in its place: both are sealed under keys of the same code.
    Request,
    /// One byte of it.
    Altered,
    /// That of another pairing.
    Swapped(String),
}

impl Answer {
    fn shown(&self, row: &mut PairingRow) {
        let answer = row.answer.as_mut();
        match self {
            Self::Request => row.answer = Some(row.request.clone()),
            Self::Swapped(other) => row.answer = Some(other.clone()),
            Self::Altered => {
                if let Some(answer) = answer {
                    let other = if &answer[80..81] == "A" { "B" } else { "A" };
                    answer.replace_range(80..81, other);
                }
            }
        }
    }
}

/// Adds `new` to the list, and returns the code and the answer that it was shown.
async fn pair_and_keep_the_answer(laptop: &Device, new: &Device) -> (PairingCode, String) {
    let admin = laptop.admin();
    let invitation = admin.invite().await.unwrap();
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let kept = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&kept);
    new.server.rewrite(move |select, body| {
        if select.table == Table::Pairings {
            let rows: Vec<PairingRow> = serde_json::from_slice(&body).unwrap();
            let answers = rows.into_iter().filter_map(|row| row.answer);
            answers.for_each(|answer| *keep.lock().unwrap() = answer);
        }
        body
    });
    let (theirs, used, name) = (new.admin(), code.clone(), new.name.clone());
    let join = tokio::spawn(async move { theirs.join(&used, &name, WITHIN).await });
    let asked = invitation.request(WITHIN).await.unwrap();
    invitation.accept(asked).await.unwrap();
    join.await.unwrap().unwrap();
    new.server.be_honest();
    let answer = kept.lock().unwrap().clone();
    (code, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_swapped_or_altered_is_refused_by_the_new_device() {
    let (world, laptop) = listed().await;
    let (other, phone) = (Device::new(&world, "other").await, Device::new(&world, "phone").await);
    let (_, others) = pair_and_keep_the_answer(&laptop, &other).await;
    for answer in [Answer::Request, Answer::Altered, Answer::Swapped(others)] {
        let admin = laptop.admin();
        let invitation = admin.invite().await.unwrap();
        let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
        phone.server.rewrite(move |select, body| match select.table == Table::Pairings {
            true => super::changed::<PairingRow>(&body, |row| answer.shown(row)),
            false => body,
        });
        let theirs = phone.admin();
        let join = tokio::spawn(async move { theirs.join(&code, "phone", WITHIN).await });
        let asked = invitation.request(WITHIN).await.unwrap();
        // Whoever refuses the answer signs nothing, so that nobody is added.
        tokio::select! {
            added = invitation.accept(asked) => panic!("added: {added:?}"),
            joined = join => {
                let refused = joined.unwrap().unwrap_err();
                assert!(matches!(refused, DeviceListError::Pairing(PairingError::Forged)), "{refused}");
            }
        }
    }
    phone.server.be_honest();
    laptop.pair(&phone).await;
    let session = laptop.write(&world, "s", &["true"]).await;
    assert_eq!(phone.read(&session).await, ["true"]);
}

/// The holder of a token deletes the row of a pairing, waits until somebody uses the code again, and shows the answer of
/// then.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_shown_again_answers_no_other_request() {
    let (world, laptop) = listed().await;
    let (phone, late) = (Device::new(&world, "phone").await, Device::new(&world, "late").await);
    let (code, answer) = pair_and_keep_the_answer(&laptop, &phone).await;
    let used = Invitation::with_code(&world.user_id, code.clone(), 0).row_id();
    let rows = world.server.rows(Table::Pairings).unwrap().into_iter();
    let rows: Vec<PairingRow> = rows.map(|row| serde_json::from_value(row.into()).unwrap()).collect();
    world.server.delete_rows_of(&world.user_id, Table::Pairings).unwrap();
    let others: Vec<PairingRow> = rows.into_iter().filter(|row| row.id != used).collect();
    world.server.seed(upsert_of(&others)).unwrap();
    late.server.rewrite(move |select, body| match select.table == Table::Pairings {
        true => super::changed::<PairingRow>(&body, |row| row.answer = Some(answer.clone())),
        false => body,
    });
    let refused = late.admin().join(&code, "late", WITHIN).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::Pairing(PairingError::NotFresh)), "{refused}");
    late.server.be_honest();
    laptop.pair(&late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_more_than_ten_minutes_old_adds_nobody() {
    let (world, laptop) = listed().await;
    let phone = Device::new(&world, "phone").await;
    let admin = laptop.admin();
    let invitation = admin.invite().await.unwrap();
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let theirs = phone.admin();
    let join = tokio::spawn(async move { theirs.join(&code, "phone", WITHIN).await });
    let asked = invitation.request(WITHIN).await.unwrap();
    laptop.sleep(Duration::from_secs(601));
    // Neither a request is opened now, nor is one answered that was opened before.
    let late = invitation.request(WITHIN).await.unwrap_err();
    assert!(matches!(late, DeviceListError::Pairing(PairingError::Expired)), "{late}");
    let refused = invitation.accept(asked).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::Pairing(PairingError::Expired)), "{refused}");
    join.abort();
    assert_eq!(laptop.admin().devices().await.unwrap().len(), 2, "the laptop and the recovery key");
    laptop.pair(&phone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_nobody_is_paired() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let refused = laptop.admin().invite().await.map(drop).unwrap_err();
    assert!(matches!(refused, DeviceListError::NoList), "{refused}");
    // A device that is in the table is given what comes later, and asks nobody.
    let phone = Device::new(&world, "phone").await;
    let session = laptop.write(&world, "s", &["true"]).await;
    assert_eq!(phone.read(&session).await, ["true"]);
}
