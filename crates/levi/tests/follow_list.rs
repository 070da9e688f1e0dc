//! Devices that keep a signed list and only read: nothing asks for the list but what they cannot open.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod devices;
mod world;

use std::time::Duration;

use devices::Device;
use levi::core::MessageError;
use levi::{Arrival, Change, Follow, Pace, Reader};
use world::World;

const PACE: Pace =
    Pace { first: Duration::from_millis(2), active_for: Duration::ZERO, longest: Duration::from_millis(20) };
const WITHIN: Duration = Duration::from_secs(30);

/// A reader in a process of its own, as of `levi pull --follow`: it has no worker, and another list in memory.
fn reader_of(world: &World, device: &Device) -> Reader {
    device.other_process(world).reader(device.id.clone(), device.keys.envelope.clone()).unwrap()
}

/// Follows until this text has come, and returns the changes with it.
async fn until(follow: &mut Follow<'_>, text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let is_it = |change: &Change| change.content.as_deref().is_ok_and(|content| content == text);
    while !changes.iter().any(is_it) {
        let page = tokio::time::timeout(WITHIN, follow.next()).await;
        let page = page.unwrap_or_else(|_| panic!("{text:?} does not come; {changes:?} did"));
        changes.extend(page.unwrap().changes);
    }
    changes
}

fn shown(changes: &[Change]) -> Vec<(Option<&str>, Arrival)> {
    changes.iter().map(|change| (change.content.as_deref().ok(), change.arrival)).collect()
}

/// Adding a device begins no epoch, so nothing but the sender of its envelopes tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_paired_later_is_read_by_whoever_follows_since_before() {
    let world = World::new(0).await;
    let (laptop, desk) = (Device::new(&world, "laptop").await, Device::new(&world, "desk").await);
    laptop.init().await;
    laptop.pair(&desk).await;
    laptop.write(&world, "first", &["one"]).await;
    let (reader, puller) = (reader_of(&world, &desk), reader_of(&world, &desk));
    let mut follow = reader.follow(None).with_pace(PACE);
    assert_eq!(shown(&until(&mut follow, "one").await), [(Some("one"), Arrival::New)]);
    let first = world.session("first");
    puller.pull(&first.id, None, 10).await.unwrap();

    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    let second = phone.write(&world, "second", &["two"]).await;
    assert_eq!(shown(&until(&mut follow, "two").await), [(Some("two"), Arrival::New)]);
    let page = puller.pull(&second.id, None, 10).await.unwrap();
    assert_eq!(page.messages[0].as_ref().unwrap().content, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_older_than_its_own_pairing_reads_everything_once_it_is_paired() {
    let world = World::new(0).await;
    let (laptop, phone) = (Device::new(&world, "laptop").await, Device::new(&world, "phone").await);
    laptop.init().await;
    let session = laptop.write(&world, "first", &["one", "two"]).await;
    let reader = reader_of(&world, &phone);
    let mut follow = reader.follow(None).with_pace(PACE);
    let closed = tokio::time::timeout(WITHIN, follow.next()).await.unwrap().unwrap().changes;
    assert!(
        closed.len() == 2
            && closed.iter().all(|change| matches!(change.content, Err(MessageError::NotOnList))),
        "{closed:?}"
    );
    // `levi pair` in another terminal.
    laptop.pair(&phone).await;
    let unlocked = until(&mut follow, "two").await;
    let expected = [(Some("one"), Arrival::Unlocked), (Some("two"), Arrival::Unlocked)];
    assert_eq!(shown(&unlocked), expected);
    laptop.send(&session, 3, &["three"]).await;
    assert_eq!(shown(&until(&mut follow, "three").await), [(Some("three"), Arrival::New)]);
}

/// The one that stays goes on; the one that was removed gets rows that it cannot read, and does not ask all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_while_following_is_heard_of_by_both() {
    let world = World::new(0).await;
    let (laptop, desk) = (Device::new(&world, "laptop").await, Device::new(&world, "desk").await);
    let phone = Device::new(&world, "phone").await;
    laptop.init().await;
    laptop.pair(&desk).await;
    laptop.pair(&phone).await;
    let session = laptop.write(&world, "first", &["one"]).await;
    let (stays, goes) = (reader_of(&world, &desk), reader_of(&world, &phone));
    let mut stays = stays.follow(None).with_pace(PACE);
    let mut goes = goes.follow(None).with_pace(PACE);
    until(&mut stays, "one").await;
    until(&mut goes, "one").await;

    laptop.admin().remove(&phone.id).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    assert_eq!(shown(&until(&mut stays, "two").await), [(Some("two"), Arrival::New)]);
    let page = tokio::time::timeout(WITHIN, goes.next()).await.unwrap().unwrap();
    assert!(matches!(page.changes[..], [Change { content: Err(MessageError::UnknownEpoch { .. }), .. }]));

    let counts = |what: &str| {
        let requests = world.server.requests();
        requests.iter().filter(|request| request.target.contains(what)).count()
    };
    let (lists, polls) = (counts("levi_device_list"), counts("order=change_id"));
    // Enough polls for the row to be tried again many times, while the clock stands still.
    let waits = async {
        while counts("order=change_id") < polls + 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        page = goes.next() => panic!("nothing comes: {page:?}"),
        () = waits => {}
    }
    let lists = counts("levi_device_list") - lists;
    // Eight attempts at the row and a look a minute, with two requests each; and what the workers ask.
    assert!(lists <= 30, "{lists} requests for the list in 200 polls");
}
