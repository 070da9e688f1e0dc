//! A fake Supabase project in this process.

mod arrival;
mod auth;
mod builder;
mod connection;
mod cors;
mod database;
mod fake_supabase;
mod faults;
mod gateway;
mod http;
mod inspect;
mod listener;
mod plaintext;
mod realtime;
mod record;
mod rest;
mod rewriting;
mod role;
mod schema;
mod seed;
mod server;
mod stats;
mod timestamp;
mod value;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use auth::SignUps;
pub use builder::{FakeSupabaseBuilder, StartError};
pub use fake_supabase::FakeSupabase;
pub use faults::{Canned, Fault, Faults, ReadFault, Scope, Times};
pub use inspect::{InspectError, OrderViolation, StoredMessage};
pub use plaintext::{Form, Leak, PlaintextScanner};
pub use realtime::{RealtimeFault, RealtimeStats};
pub use record::{RequestRecord, TimedOut};
pub use rewriting::{Rewrite, RewritingSupabase};
pub use seed::SeedError;
pub use stats::{Stats, TableStats};

/// Ignores poisoning, because the panic that caused it has been printed and fails the test anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
