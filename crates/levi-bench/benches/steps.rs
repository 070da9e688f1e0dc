//! The single steps of each crate: `cargo bench -p levi-bench`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first error")]

use divan::Bencher;
use levi_core::LeviConfig;
use levi_core::batcher::{Batcher, Input};
use levi_crypto::envelope::{self, DevicePrivateKey, Route};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::{MessageKey, SessionSecret};
use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox};
use levi_outbox::{
    Change, Due, DueLane, Encryption, Enqueued, LaneId, LaneKey, NewRow, OutboxStore, Overwrite, RowHead,
    RowId, RowKey,
};
use levi_transport::rows::encode_message_row;
use levi_types::{Monotonic, Now, SessionId, Wall};

fn main() {
    divan::main();
}

const NOW: Now = Now {
    monotonic: Monotonic::from_start(std::time::Duration::ZERO),
    wall: Wall::from_millis(1_700_000_000_000),
};

fn session() -> SessionId {
    "4be0643f-1d98-473b-97cd-ca98a65347dd".into()
}

#[divan::bench(args = [64, 1024, 16 * 1024])]
fn crypto_seal(bencher: Bencher<'_, '_>, bytes: usize) {
    let (key, session, content) = (MessageKey::from_bytes([7; 32]), session(), "x".repeat(bytes));
    let place = MessagePosition { session_id: &session, sequence_number: 7 };
    bencher.bench_local(|| message::seal(&key, place, &content, &mut rand::rng()).unwrap());
}

#[divan::bench]
fn crypto_envelope(bencher: Bencher<'_, '_>) {
    let secret = SessionSecret::generate(&mut rand::rng());
    let sender = DevicePrivateKey::generate(&mut rand::rng());
    let recipient = DevicePrivateKey::generate(&mut rand::rng()).public_key();
    let (user, session) = ("u".into(), session());
    let (from, to) = ("a".into(), "b".into());
    let route =
        Route { user_id: &user, session_id: &session, sender_device_id: &from, recipient_device_id: &to };
    bencher.bench_local(|| envelope::seal(&secret, route, &sender, &recipient, &mut rand::rng()).unwrap());
}

#[divan::bench(args = [64, 1024, 16 * 1024])]
fn transport_encode_row(bencher: Bencher<'_, '_>, bytes: usize) {
    let (session, ciphertext) = (session(), vec![7; bytes]);
    let mut out = Vec::new();
    bencher.bench_local(move || {
        out.clear();
        encode_message_row(&mut out, &session, 7, &ciphertext, &[7; 24]);
        out.len()
    });
}

#[divan::bench(args = [1, 50, 256])]
fn outbox_store_and_acknowledge(bencher: Bencher<'_, '_>, rows: i64) {
    let mut store = SqliteOutbox::in_memory(SqliteOptions::default()).unwrap();
    let mut next = 0;
    bencher.bench_local(|| {
        let row = |number| {
            let payload = vec![7; 1500];
            NewRow::message(session(), number, "m".into(), payload, Encryption::SessionKey, NOW.wall)
        };
        let new: Vec<NewRow> = (next..next + rows).map(row).collect();
        next += rows;
        let answers = store.commit(&[], &new).unwrap();
        let keys: Vec<RowKey> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                Enqueued::Stored { key, .. } => Some(key),
                _ => None,
            })
            .collect();
        let lane = store.due(due_query()).unwrap().lanes[0].lane;
        store.commit(&[Change::Acknowledge { lane, rows: keys, at: NOW.wall }], &[]).unwrap();
    });
}

fn due_query() -> levi_outbox::DueQuery<'static> {
    levi_outbox::DueQuery {
        user: None,
        now: NOW.wall,
        horizon: NOW.wall,
        except: &[],
        max_lanes: 1,
        heads_per_lane: 1,
        max_heads: 1,
    }
}

#[divan::bench(args = [1, 8, 128])]
fn batcher_load_and_draft(bencher: Bencher<'_, '_>, lanes: i64) {
    let lane = |lane: i64| DueLane {
        lane: LaneId(lane),
        key: LaneKey::Messages(format!("session {lane}").as_str().into()),
        attempts: 0,
        more: true,
        heads: (0..1_000 / lanes.max(1))
            .map(|number| RowHead {
                key: RowKey { id: RowId(lane * 1_000 + number), version: 1 },
                sequence_number: number,
                bytes: 1_500,
                encryption: Encryption::SessionKey,
                enqueued_at: NOW.wall,
                overwrite: Overwrite::OwnOnly,
            })
            .collect(),
    };
    bencher
        .with_inputs(|| Due { lanes: (1..=lanes).map(lane).collect(), more: false, next_due: None })
        .bench_local_values(|due| {
            let mut batcher = Batcher::new(LeviConfig::default(), 1);
            batcher.handle(NOW, Input::SignedIn);
            batcher.handle(NOW, Input::Loaded(due));
            std::iter::from_fn(|| batcher.poll_action()).count()
        });
}
