#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod config;
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
mod notice;
mod notices;
mod options;
mod outbox;
mod owner;
mod patience;
mod pipeline;
mod plain_text;
mod profiles;
mod progress;
mod pull;
mod pull_follow;
mod run;
mod screen;
mod sequence_set;
mod sessions;
mod settings;
mod share;
mod shell;
mod status;
mod stop;
mod style;
mod sync;
mod text;
mod wait;

pub use exit::Exit;
pub use run::run;
