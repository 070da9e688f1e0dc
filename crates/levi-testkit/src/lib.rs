#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod fixtures;
pub mod outbox;
pub mod supabase;
