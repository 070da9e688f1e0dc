//! Plans written by hand.
#![allow(dead_code, reason = "each test file uses its own share")]

use std::time::Duration;

use levi_core::LeviConfig;
use levi_sim::{MessageKind, Plan, ScheduledEvent, SessionSetup, SessionState, Setup, SimEvent, StoreKind};

/// A plan of `sessions` sessions in which nothing goes wrong, with the default settings and no
/// flush interval.
pub(crate) fn calm(sessions: usize) -> Plan {
    let session = SessionSetup { key: true, state: SessionState::Known, repository: 0, user: 0 };
    let config = LeviConfig { flush_interval: Duration::ZERO, ..LeviConfig::default() };
    let setup = Setup {
        config,
        store: StoreKind::Memory,
        sessions: vec![session; sessions],
        database_key: true,
        latency: 1,
        lateness: 0,
        signed_in: true,
        taken_folders: false,
    };
    Plan { seed: 1, setup, events: Vec::new(), heal_at: Duration::from_secs(600) }
}

/// Something that happens `at` milliseconds after the start.
pub(crate) fn planned(at: u64, what: SimEvent) -> ScheduledEvent {
    ScheduledEvent { at: Duration::from_millis(at), what }
}

/// A durable message.
pub(crate) fn message(at: u64, session: usize, sequence_number: i64, kind: MessageKind) -> ScheduledEvent {
    planned(at, SimEvent::Enqueue { session, sequence_number, kind, size: 30, durable: true })
}
