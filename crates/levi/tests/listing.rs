//! What a user has: sessions and devices, and which of them can be read here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod feed;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use feed::Writer;
use levi::core::Access;
use levi::transport::Table;
use levi::{Reader, SecretsCache};
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::{FakeSupabase, RewritingSupabase};
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_devices_are_listed_with_what_can_be_read_here() {
    let writer = Writer::on(World::on(FakeSupabase::builder().max_rows(2).start().unwrap(), 3).await);
    let (shared, closed) = (writer.session("shared").await, writer.unshared("closed").await);
    for number in 0..4 {
        writer.session(&number.to_string()).await;
    }
    writer.write(&shared, [1]).await;
    let inactive = uuid_of("device", "inactive").as_str().into();
    writer.world.register_with(&inactive, None).await;
    let reader = writer.reader();
    let list = async || {
        let (mut sessions, mut after) = (BTreeMap::new(), None);
        loop {
            let page = reader.sessions(after.as_ref(), 3).await.unwrap();
            let Some(cursor) = page.cursor else { return sessions };
            after = Some(cursor);
            sessions.extend(page.sessions.into_iter().map(|session| {
                let session = session.unwrap();
                (session.id.clone(), session)
            }));
        }
    };
    let sessions = list().await;
    assert_eq!(sessions.len(), 6);
    let session = &sessions[&shared];
    assert_eq!(session.title.as_deref(), Some("session shared"));
    assert_eq!(session.repository_name.as_deref(), Some("levi"));
    assert_eq!((&session.device_id, session.access), (&writer.world.devices[0].0, Access::Envelope));
    assert!(session.last_activity.is_some());
    assert_eq!(sessions[&closed].access, Access::NotShared);
    reader.pull(&shared, None, 10).await.unwrap();
    assert_eq!(list().await[&shared].access, Access::Key);

    let devices = reader.devices().await.unwrap();
    assert_eq!(devices.len(), 4);
    let devices: Vec<_> = devices.into_iter().map(Result::unwrap).collect();
    let of = |id: &levi::DeviceId| devices.iter().find(|device| device.id == *id).unwrap();
    assert!(of(&writer.world.devices[1].0).is_this_device && of(&writer.world.devices[1].0).receives_secrets);
    assert!(!of(&inactive).receives_secrets && !of(&inactive).is_this_device);
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

/// As in a table that is older than the column, or not Levi's.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_row_cannot_be_read_is_named_and_hides_no_other() {
    let world = World::new(3).await;
    let damaged = world.devices[2].0.clone();
    let server = Arc::new(RewritingSupabase::new(Arc::new(world.supabase())));
    let is_damaged = damaged.clone();
    server.rewrite(move |select, body| {
        if select.table != Table::Devices {
            return body;
        }
        let mut rows: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
        for row in rows.iter_mut().filter(|row| row["id"] == is_damaged.as_str()) {
            row["is_active"] = serde_json::Value::Null;
        }
        serde_json::to_vec(&rows).unwrap()
    });
    let (id, key) = world.device_key(1);
    let reader = Reader::new(server, world.auth.clone(), id, key, SecretsCache::new());
    let devices = reader.devices().await.unwrap();
    let (read, unreadable): (Vec<_>, Vec<_>) = devices.into_iter().partition(Result::is_ok);
    assert_eq!((read.len(), unreadable.len()), (2, 1));
    assert_eq!(unreadable[0].as_ref().unwrap_err().device_id, damaged);
}
