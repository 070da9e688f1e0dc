#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod connection;
mod console;
mod data_dir;
#[cfg(feature = "demo")]
mod demo;
mod device;
mod devices;
mod doctor;
mod error;
mod exit;
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
mod run;
mod sequence_set;
mod share;
mod status;
mod sync;
mod text;
mod wait;

pub use exit::Exit;
pub use run::run;
