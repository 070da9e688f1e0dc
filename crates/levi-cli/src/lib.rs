#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod connection;
mod console;
mod demo;
mod device;
mod doctor;
mod error;
mod exit;
mod feed;
mod home;
mod ids;
mod login;
pub mod ndjson;
mod outbox;
mod owner;
mod places;
mod progress;
mod pull;
mod run;
mod settle;
mod share;
mod sign_up;
mod status;
mod sync;
mod text;

pub use exit::Exit;
pub use run::run;
