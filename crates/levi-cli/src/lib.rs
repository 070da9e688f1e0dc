#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod connection;
mod console;
#[cfg(feature = "demo")]
mod demo;
mod devices;
mod doctor;
mod error;
mod exit;
mod follow_status;
mod ids;
mod input;
mod login;
pub mod ndjson;
mod notices;
mod outbox;
mod owner;
mod patience;
mod pipeline;
mod progress;
mod pull;
mod pull_follow;
mod run;
mod sequence_set;
mod sessions;
mod share;
mod shell;
mod status;
mod sync;
mod text;
mod wait;

pub use exit::Exit;
pub use run::run;
