#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod connection;
mod console;
mod demo;
mod device;
mod error;
mod exit;
mod feed;
mod home;
mod ids;
mod login;
mod ndjson;
mod places;
mod progress;
mod pull;
mod run;
mod settle;
mod sync;
mod text;

pub use exit::Exit;
pub use run::run;
