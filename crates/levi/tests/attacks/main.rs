//! What the server, the holder of a stolen token, and a removed device try against a user's devices. Each attack is
//! refused or noticed, and what honest devices write is still delivered. Where a test is called `without_a_list_...`, it
//! asserts what docs/trust.md says of devices that use the table only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "../devices/mod.rs"]
mod devices;
#[path = "../world/mod.rs"]
mod world;

mod abandoned;
mod attacker;
mod envelopes;
mod geneses;
mod ghosts;
mod keyrings;
mod lists;
mod pairings;
mod recovery_envelopes;
mod removed;
mod users;
mod versions;

use std::sync::Arc;

use devices::Device;
use world::World;

/// Two devices on the list, the first of which began it.
async fn two_devices() -> (World, Device, Device) {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.init().await;
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    (world, laptop, phone)
}

/// Two devices that use the table only.
async fn two_devices_without_list() -> (World, Device, Device) {
    let world = World::new(0).await;
    let laptop = Device::without_list(&world, "laptop").await;
    let phone = Device::without_list(&world, "phone").await;
    (world, laptop, phone)
}

/// A row as JSON, changed.
fn changed<T: serde::Serialize + serde::de::DeserializeOwned>(
    body: &[u8],
    change: impl Fn(&mut T),
) -> Vec<u8> {
    let mut rows: Vec<T> = serde_json::from_slice(body).unwrap();
    rows.iter_mut().for_each(change);
    serde_json::to_vec(&rows).unwrap()
}

/// The server's tables as the holder of its secret key sees them.
type Server = Arc<levi_testkit::supabase::FakeSupabase>;
