//! Building a request body from messages: seal, base64, JSON.

use std::hint::black_box;
use std::time::Instant;

use chacha20::R20;
use chacha20::cipher::Array;
use levi_core::LeviConfig;
use levi_core::batcher::Input;
use levi_core::engine::{Effect, Engine, EngineParts, Event, Intake, Sealer};
use levi_crypto::MessageKey;
use levi_crypto::message::{self, MessagePosition};
use levi_outbox::Overwrite;
use levi_outbox::memory::MemoryOutbox;
use levi_transport::rows::{MessageBatch, encode_message_row};
use levi_types::{Monotonic, Now, SessionId, Wall};
use rand::RngExt as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::process::thread_time;
use crate::report::{Figure, Run, Target};
use crate::{Effort, Fallible, fixture};

const ROWS: usize = 50;

pub(crate) fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    let messages = Messages::new()?;
    let mut engine = Harness::new()?;
    let (mut baseline, mut levi, mut engine_times) = (Vec::new(), Vec::new(), Vec::new());
    let mut buffer = Vec::new();
    for _ in 0..effort.pick(31, 101) {
        baseline.push(micros_per_message(|| messages.baseline(&mut buffer)));
        levi.push(micros_per_message(|| messages.levi()));
        engine_times.push(micros_per_message(|| engine.turns()));
    }
    run.figure(Figure {
        what: format!("seal + base64 + JSON, {ROWS} rows of 1 KiB, a message"),
        against: "the same primitives written straight into one buffer".into(),
        unit: "CPU µs".into(),
        levi,
        baseline: baseline.clone(),
        target: Target::AtMost(1.3),
        note: "the functions that enqueueing and sending call, without the disk in between".into(),
    });
    run.figure(Figure {
        what: "enqueue, request and acknowledgement through the whole engine, outbox in memory, a message"
            .into(),
        against: "the same primitives written straight into one buffer".into(),
        unit: "CPU µs".into(),
        levi: engine_times,
        baseline,
        target: Target::None,
        note: "besides sealing: request, lanes, batcher, two commits in memory, status".into(),
    });
    Ok(())
}

/// Microseconds of processor time for each message, measured over 10 ms. Processor time, unlike wall-clock time, excludes
/// other programs.
pub(super) fn micros_per_message(mut batch: impl FnMut() -> usize) -> f64 {
    let (start, used) = (Instant::now(), thread_time());
    let mut rows = 0;
    while start.elapsed().as_millis() < 10 {
        rows += batch();
    }
    (thread_time() - used).as_secs_f64() * 1e6 / rows as f64
}

pub(crate) struct Messages {
    key: MessageKey,
    session: SessionId,
    content: String,
}

impl Messages {
    pub(crate) fn new() -> Fallible<Self> {
        Ok(Self { key: fixture::message_key()?, session: fixture::session(0), content: fixture::content() })
    }

    /// The baseline: the primitives alone, without types or errors, in one buffer.
    fn baseline(&self, body: &mut Vec<u8>) -> usize {
        let base64 = base64_simd::STANDARD;
        let mut sealed = Vec::with_capacity(self.content.len() + 16);
        body.clear();
        for number in 0..ROWS as i64 {
            let mut nonce = [0; 24];
            UnwrapErr(SysRng).fill(&mut nonce);
            let mut aad = [0; 64];
            aad[..15].copy_from_slice(b"levi/message/v1");
            aad[15..19].copy_from_slice(&36_u32.to_be_bytes());
            aad[19..55].copy_from_slice(self.session.as_str().as_bytes());
            aad[55..63].copy_from_slice(&number.to_be_bytes());
            sealed.clear();
            sealed.extend_from_slice(self.content.as_bytes());
            seal_baseline(&nonce, &aad[..63], &mut sealed);
            body.extend_from_slice(if number == 0 { b"[" } else { b"," });
            body.extend_from_slice(br#"{"session_id":""#);
            body.extend_from_slice(self.session.as_str().as_bytes());
            body.extend_from_slice(br#"","sequence_number":"#);
            body.extend_from_slice(number.to_string().as_bytes());
            body.extend_from_slice(br#","content_encrypted":""#);
            base64.encode_append(&sealed, body);
            body.extend_from_slice(br#"","content_nonce":""#);
            base64.encode_append(nonce, body);
            body.extend_from_slice(br#""}"#);
        }
        body.push(b']');
        black_box(&*body);
        ROWS
    }

    /// Makes stored rows of messages as enqueueing does, and a body of them as sending does.
    pub(crate) fn levi(&self) -> usize {
        let mut random = UnwrapErr(SysRng);
        let mut body = MessageBatch::with_capacity(ROWS * 1_600);
        for sequence_number in 0..ROWS as i64 {
            let place = MessagePosition { session_id: &self.session, sequence_number };
            let Ok(sealed) = message::seal(&self.key, place, &self.content, &mut random) else { return 0 };
            let mut payload = Vec::new();
            encode_message_row(
                &mut payload,
                &self.session,
                sequence_number,
                &sealed.ciphertext,
                &sealed.nonce,
            );
            body.push(&payload);
        }
        black_box(body.into_upsert());
        ROWS
    }
}

fn seal_baseline(nonce: &[u8; 24], aad: &[u8], buffer: &mut Vec<u8>) {
    let mut head = Array::default();
    head.copy_from_slice(&nonce[..16]);
    let subkey = chacha20::hchacha::<R20>(&Array([0; 32]), &head);
    let mut short = [0; 12];
    short[4..].copy_from_slice(&nonce[16..]);
    let Ok(key) = UnboundKey::new(&CHACHA20_POLY1305, &subkey).map(LessSafeKey::new) else { return };
    let nonce = Nonce::assume_unique_for_key(short);
    if let Ok(tag) = key.seal_in_place_separate_tag(nonce, Aad::from(aad), buffer) {
        buffer.extend_from_slice(tag.as_ref());
    }
}

/// An engine without a thread, a disk or a network.
pub(crate) struct Harness {
    engine: Engine,
    sealer: Sealer,
    session: SessionId,
    content: String,
    next: i64,
}

impl Harness {
    pub(crate) fn new() -> Fallible<Self> {
        let cache = levi::SecretsCache::new();
        let session = fixture::session(0);
        cache.remember(session.clone(), &fixture::secret()?);
        let sealer = Sealer::new(cache, fixture::secrets(), None);
        let mut engine = Engine::new(EngineParts {
            config: LeviConfig::default(),
            outbox: Box::new(MemoryOutbox::new(u64::MAX)),
            session_store: fixture::secrets(),
            sealer: sealer.clone(),
            random: Box::new(UnwrapErr(SysRng)),
        });
        engine.turn(now(), [Event::Input(Input::SignedIn)]);
        Ok(Self { engine, sealer, session, content: fixture::content(), next: 0 })
    }

    /// Enqueues a batch, takes the request, and handles the answer.
    pub(crate) fn turns(&mut self) -> usize {
        let first = self.next;
        self.next += ROWS as i64;
        let intake = |number| {
            let request = fixture::request(&self.session, number, &self.content);
            let overwrite = Overwrite::OwnOnly;
            let prepared = self.sealer.prepare(request, overwrite, now().wall, &mut UnwrapErr(SysRng));
            let message = prepared.ok()?;
            Some(Event::Enqueue(Intake { message, permit: None, reply: None, overwrite }))
        };
        let messages: Vec<Event> = (first..self.next).filter_map(intake).collect();
        let sent = self.engine.turn(now(), messages);
        let batches = sent.iter().filter_map(|effect| match effect {
            Effect::Send { batch, .. } => Some(*batch),
            _ => None,
        });
        let outcome = |batch| Event::Input(Input::Outcome { batch, result: Ok(()) });
        let answers: Vec<Event> = batches.map(outcome).collect();
        black_box(self.engine.turn(now(), answers));
        black_box(self.engine.status_if_changed());
        ROWS
    }
}

fn now() -> Now {
    Now {
        monotonic: Monotonic::from_start(std::time::Duration::ZERO),
        wall: Wall::from_millis(1_700_000_000_000),
    }
}
