//! What every [`OutboxStore`] must do, as one suite.
//!
//! Each case gets a fresh store and panics where the store breaks a promise.
//!
//! ```
//! use levi_outbox::{conformance, memory::MemoryOutbox};
//!
//! conformance::run(|max_pending_bytes| Box::new(MemoryOutbox::new(max_pending_bytes)));
//! ```

// A failing case has nothing to say but where it failed; the harness shows the rest.
#![allow(clippy::expect_used, clippy::panic, reason = "a suite says no by panicking")]

mod children;
mod control;
mod fixture;
mod identity;
mod intake;
mod lanes;
mod overwrites;
mod parked;
mod synced;
mod views;

use crate::store::OutboxStore;

/// The bound that [`run`] asks each store to be made with, in bytes.
pub const MAX_PENDING_BYTES: u64 = 1_000;

/// One promise of a store.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The promise.
    pub name: &'static str,
    /// Panics if the store, fresh and bounded by [`MAX_PENDING_BYTES`], breaks it.
    pub run: fn(&mut dyn OutboxStore),
}

/// Runs every case against a store of its own, made with the bound it is given.
pub fn run(mut make: impl FnMut(u64) -> Box<dyn OutboxStore>) {
    for case in cases() {
        println!("{}", case.name);
        (case.run)(&mut *make(MAX_PENDING_BYTES));
    }
}

/// The suite, for those who run each case as a test of its own.
pub fn cases() -> impl Iterator<Item = Case> {
    [
        intake::CASES,
        lanes::CASES,
        parked::CASES,
        control::CASES,
        children::CASES,
        identity::CASES,
        identity::CASES_OF_NOBODY,
        overwrites::CASES,
        synced::CASES,
        views::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Lists functions as cases under their own names. Ada is signed in when they begin.
macro_rules! list_cases {
    ($($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[super::Case] =
            &[$(super::Case {
                name: stringify!($name),
                run: |store| {
                    super::fixture::sign_in(store, "ada");
                    $name(store);
                },
            }),+];
    };
}
use list_cases;

/// As [`list_cases`], for those that begin before anybody signed in.
macro_rules! list_cases_of_nobody {
    ($($name:ident),+ $(,)?) => {
        pub(super) const CASES_OF_NOBODY: &[super::Case] =
            &[$(super::Case { name: stringify!($name), run: $name }),+];
    };
}
use list_cases_of_nobody;
